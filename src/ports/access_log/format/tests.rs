//! Exact lines, hostile fields, and the promise of exactly one line for whatever comes.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn record() -> Record<'static> {
    Record {
        unix_ms: 1_795_188_802_045,
        client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        listener: "0.0.0.0:8080",
        scheme: "https",
        request_id: "01f3",
        method: "GET",
        target: b"/",
        version: http::Version::HTTP_10,
        host: b"example.org",
        status: 200,
        body_bytes: 54,
        duration: Duration::from_micros(12_034),
        waited: None,
        referer: None,
        user_agent: None,
        x_forwarded_for: None,
        route: Some("default"),
        upstream: Some("web"),
        revision: 7,
        reason: None,
        attempts: &[],
    }
}

fn line(format: LogFormat, record: &Record<'_>) -> String {
    String::from_utf8(Formatter::default().line(format, record).to_vec()).unwrap()
}

fn json(record: &Record<'_>) -> serde_json::Value {
    serde_json::from_str(&line(LogFormat::Json, record)).unwrap()
}

#[test]
fn main_is_nginxs_main() {
    assert_eq!(
        line(LogFormat::Main, &record()),
        "127.0.0.1 - - [20/Nov/2026:15:33:22 +0000] \"GET / HTTP/1.0\" 200 54 \"-\" \"-\" \"-\"\n"
    );
}

#[test]
fn main_ends_with_x_forwarded_for() {
    let record = Record {
        user_agent: Some(b"curl/8.5.0"),
        x_forwarded_for: Some(b"10.1.1.1, 10.2.2.2"),
        ..record()
    };
    assert_eq!(
        line(LogFormat::Main, &record),
        "127.0.0.1 - - [20/Nov/2026:15:33:22 +0000] \"GET / HTTP/1.0\" 200 54 \"-\" \"curl/8.5.0\" \"10.1.1.1, 10.2.2.2\"\n"
    );
}

#[test]
fn combined_escapes_as_nginx_does() {
    let record = Record {
        client: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        method: "POST",
        target: b"/a\"b\\c\r\n\x1b[2J\xff",
        version: http::Version::HTTP_2,
        referer: Some(b""),
        user_agent: Some("é".as_bytes()),
        ..record()
    };
    assert_eq!(
        line(LogFormat::Combined, &record),
        "::1 - - [20/Nov/2026:15:33:22 +0000] \"POST /a\\x22b\\x5Cc\\x0D\\x0A\\x1B[2J\\xFF HTTP/2.0\" 200 54 \"\" \"\\xC3\\xA9\"\n"
    );
}

#[test]
fn an_unreadable_request_on_a_unix_socket_is_logged_as_nginx_would() {
    let record = Record {
        client: None,
        method: "",
        target: b"",
        status: 400,
        body_bytes: 0,
        ..record()
    };
    assert_eq!(
        line(LogFormat::Combined, &record),
        "unix: - - [20/Nov/2026:15:33:22 +0000] \"\" 400 0 \"-\" \"-\"\n"
    );
}

#[test]
fn json_lists_every_attempt() {
    let attempts = [
        Attempt {
            server: "10.0.0.1:80",
            status: None,
            failure: Some("connect_timeout"),
            duration: Duration::from_secs(2),
        },
        Attempt {
            server: "10.0.0.2:80",
            status: Some(200),
            failure: None,
            duration: Duration::from_micros(1_007),
        },
    ];
    let record = Record {
        attempts: &attempts,
        user_agent: Some(b"curl/8.5.0"),
        version: http::Version::HTTP_11,
        ..record()
    };
    assert_eq!(
        line(LogFormat::Json, &record),
        concat!(
            r#"{"time":"2026-11-20T15:33:22.045Z","request_id":"01f3","client":"127.0.0.1","listener":"0.0.0.0:8080","scheme":"https","#,
            r#""method":"GET","host":"example.org","target":"/","version":"HTTP/1.1","status":200,"bytes":54,"duration_ms":12.034,"waited_ms":null,"#,
            r#""route":"default","upstream":"web","revision":7,"reason":null,"attempt_count":2,"attempts":["#,
            r#"{"server":"10.0.0.1:80","status":null,"failure":"connect_timeout","duration_ms":2000.000},"#,
            r#"{"server":"10.0.0.2:80","status":200,"failure":null,"duration_ms":1.007}],"#,
            r#""referer":null,"user_agent":"curl/8.5.0","x_forwarded_for":null}"#,
            "\n"
        )
    );
}

#[test]
fn json_keeps_every_key_when_there_is_nothing_to_say() {
    let record = Record {
        client: None,
        route: None,
        upstream: None,
        reason: Some("no_route"),
        status: 404,
        ..record()
    };
    let parsed = json(&record);
    assert_eq!(parsed.as_object().unwrap().len(), 22);
    assert!(
        ["client", "route", "upstream", "referer"]
            .iter()
            .all(|key| parsed[key].is_null())
    );
    assert_eq!(parsed["reason"], "no_route");
    assert_eq!(parsed["attempts"], serde_json::json!([]));
}

#[test]
fn json_gives_back_what_was_sent() {
    let target = "/a\"b\\c\r\n\u{1b}[2J\u{7f}\u{2028}é";
    assert_eq!(
        json(&Record {
            target: target.as_bytes(),
            ..record()
        })["target"],
        target
    );
}

#[test]
fn a_user_agent_of_a_megabyte_is_cut_and_says_so() {
    let agent = vec![b'x'; 1 << 20];
    let parsed = json(&Record {
        user_agent: Some(&agent),
        ..record()
    });
    let logged = parsed["user_agent"].as_str().unwrap();
    assert!(logged.ends_with('…'));
    assert_eq!(logged.len(), HEADER_LIMIT);
}

#[test]
fn the_longest_possible_line_stays_within_its_limit() {
    let text = "x".repeat(1 << 20);
    let bytes = text.as_bytes();
    let attempt = Attempt {
        server: &text,
        status: Some(u16::MAX),
        failure: Some("a_failure_whose_name_alone_is_longer_than_any_word_that_this_log_will_take"),
        duration: Duration::MAX,
    };
    let longest = Record {
        client: Some(IpAddr::V6(Ipv6Addr::from([0xffff; 8]))),
        listener: &text,
        scheme: "http",
        request_id: &text,
        method: &text,
        target: bytes,
        host: bytes,
        status: u16::MAX,
        body_bytes: u64::MAX,
        duration: Duration::MAX,
        referer: Some(bytes),
        user_agent: Some(bytes),
        x_forwarded_for: Some(bytes),
        route: Some(&text),
        upstream: Some(&text),
        revision: u64::MAX,
        reason: Some(&text),
        attempts: &[attempt; 100],
        ..record()
    };
    for format in [LogFormat::Json, LogFormat::Combined, LogFormat::Main] {
        let line = line(format, &longest);
        assert!(line.len() <= MAX_LINE_BYTES, "{format:?}: {}", line.len());
    }
    assert_eq!(json(&longest)["attempt_count"], 100);
    assert_eq!(
        json(&longest)["attempts"].as_array().unwrap().len(),
        MAX_ATTEMPTS
    );
}

#[test]
fn a_name_of_the_greatest_length_is_never_cut() {
    let name = "n".repeat(255);
    let parsed = json(&Record {
        route: Some(&name),
        upstream: Some(&name),
        ..record()
    });
    assert_eq!(parsed["route"], name);
    assert_eq!(parsed["upstream"], name);
}

#[test]
fn the_second_kept_from_the_line_before_is_not_used_for_another() {
    let mut formatter = Formatter::default();
    let later = Record {
        unix_ms: record().unix_ms + 1_000,
        ..record()
    };
    formatter.line(LogFormat::Main, &record());
    let line = String::from_utf8(formatter.line(LogFormat::Main, &later).to_vec()).unwrap();
    assert!(line.contains("[20/Nov/2026:15:33:23 +0000]"), "{line}");
}

proptest! {
    #[test]
    fn whatever_the_fields_hold_it_is_exactly_one_line(
        target: Vec<u8>, host: Vec<u8>, method: String, request_id: String, reason: Option<String>,
        referer: Option<Vec<u8>>, user_agent: Option<Vec<u8>>, x_forwarded_for: Option<Vec<u8>>,
        server: String, unix_ms: u64, status: u16, body_bytes: u64, duration: Duration, client: Option<IpAddr>,
    ) {
        let attempts = [Attempt { server: &server, status: Some(status), failure: None, duration }];
        let record = Record {
            unix_ms, client, request_id: &request_id, method: &method, target: &target, host: &host, status,
            body_bytes, duration, referer: referer.as_deref(), user_agent: user_agent.as_deref(),
            x_forwarded_for: x_forwarded_for.as_deref(), reason: reason.as_deref(), attempts: &attempts, ..record()
        };
        for format in [LogFormat::Json, LogFormat::Combined, LogFormat::Main] {
            let line = line(format, &record);
            prop_assert!(line.ends_with('\n'));
            prop_assert!(!line.trim_end_matches('\n').contains(char::is_control), "{line:?}");
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert!(line.len() <= MAX_LINE_BYTES);
        }
        let parsed = json(&record);
        prop_assert_eq!(parsed["status"].as_u64(), Some(u64::from(status)));
        if target.len() < TARGET_LIMIT / 6 {
            prop_assert_eq!(parsed["target"].as_str().unwrap(), String::from_utf8_lossy(&target));
        }
    }

    #[test]
    fn a_line_of_nginxs_has_only_the_quotes_of_its_fields(agent: Vec<u8>, target: Vec<u8>) {
        let record = Record { user_agent: Some(&agent), target: &target, ..record() };
        let line = line(LogFormat::Main, &record);
        prop_assert!(line.is_ascii());
        prop_assert_eq!(line.matches('"').count(), 8);
    }
}
