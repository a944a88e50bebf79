//! Answers of no use, hostile ones, late ones, none: what serves stays, and nobody waits.

use crate::support::{self, A, AAAA, Edge, NameServer, Origin, SRV, Says, until};
use crate::{HOST, SERVICE, by_host, edge, ip, lines, resolved, wait_for_state};
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn what_is_of_no_use_keeps_the_last_addresses_and_is_told_once() {
    let (dns, origins) = (NameServer::start(), Origin::side_by_side(2));
    dns.a(HOST, 1, &[ip(1), ip(2)]);
    let edge = by_host(&dns, &origins);
    let mut client = edge.client();
    let broken = [
        Says::Code(2),
        Says::Code(3),
        Says::Code(0),
        Says::Code(5),
        Says::Bytes(vec![0xff; 40]),
        Says::Bytes(Vec::new()),
        // One record is announced, and none is there.
        Says::Bytes(vec![0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]),
        Says::Records(1, vec![vec![1, 2, 3]]),
        Says::Records(1, vec![vec![169, 254, 169, 254], vec![0, 0, 0, 0]]),
        Says::OnlyByTcp(1, Vec::new()),
    ];
    for says in broken {
        let told = format!("{says:?}");
        dns.says(HOST, A, says);
        let resolution = wait_for_state(&edge, "failing");
        assert!(resolution["problem"].is_string(), "{told}: {resolution}");
        assert_eq!(resolved(&edge).len(), 2, "{told}");
        assert_eq!(client.get("/", &[]).status, 200, "{told}");
        let metrics = edge.control().get("/metrics").is(200).text;
        let port = origins[0].port();
        let series = format!("pointsman_name_resolved{{name=\"{HOST}:{port}\"}} 0");
        assert!(metrics.contains(&series), "{told}: {metrics}");
        dns.wait_for_more(HOST, A, 1);
        dns.a(HOST, 1, &[ip(1), ip(2)]);
        wait_for_state(&edge, "resolved");
    }
    assert_eq!(lines(&edge, "cannot be resolved"), 10, "{}", edge.stderr());
    assert_eq!(lines(&edge, "is resolved again"), 10, "{}", edge.stderr());
    assert_eq!(lines(&edge, "stands for"), 1, "{}", edge.stderr());
}

#[test]
fn a_silent_name_server_keeps_the_last_addresses_and_holds_up_no_request() {
    let (dns, origins) = (NameServer::start(), Origin::side_by_side(2));
    dns.a(HOST, 1, &[ip(1), ip(2)]);
    let edge = by_host(&dns, &origins);
    for kind in [A, AAAA] {
        dns.says(HOST, kind, Says::Silence);
    }
    wait_for_state(&edge, "failing");
    let began = Instant::now();
    let mut client = edge.client();
    for _ in 0..10 {
        assert_eq!(client.get("/", &[]).status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(1));
    dns.a(HOST, 1, &[ip(2)]);
    dns.says(HOST, AAAA, Says::Code(0));
    wait_for_state(&edge, "resolved");
    until("the other address is gone", || {
        (resolved(&edge).len() == 1).then_some(())
    });
}

#[test]
fn an_answer_that_does_not_fit_comes_over_tcp() {
    let (dns, origins) = (NameServer::start(), Origin::side_by_side(2));
    let records = vec![ip(1).octets().to_vec(), ip(2).octets().to_vec()];
    dns.says(HOST, A, Says::OnlyByTcp(60, records));
    let edge = by_host(&dns, &origins);
    assert_eq!(resolved(&edge).len(), 2);
    assert!(dns.asked(HOST, A).iter().any(|question| question.by_tcp));
}

#[test]
fn of_an_answer_without_end_the_same_64_addresses_are_taken_and_the_rest_is_told() {
    let dns = NameServer::start();
    let many: Vec<Vec<u8>> = (0..2000u16)
        .map(|n| [&[127, 1][..], &n.to_be_bytes()].concat())
        .collect();
    dns.says(
        HOST,
        A,
        Says::OnlyByTcp(1, many.iter().rev().cloned().collect()),
    );
    let edge = edge(&dns, &json!([HOST]));
    let first = resolved(&edge);
    assert_eq!((first.len(), first[0].as_str()), (64, "127.1.0.0:80"));
    edge.wait_for_stderr("2000 addresses: the first 64 are taken");
    dns.says(HOST, A, Says::OnlyByTcp(1, many));
    dns.wait_for_more(HOST, A, 4);
    assert_eq!(resolved(&edge), first);
    assert_eq!(lines(&edge, "stands for"), 1);
}

#[test]
fn a_group_whose_name_has_no_address_yet_answers_503_with_that_reason() {
    let (dns, origin) = (NameServer::start(), Origin::start());
    let edge = by_host(&dns, std::slice::from_ref(&origin));
    let answer = edge.client().get("/early", &[]);
    assert_eq!(
        (answer.status, answer.text()),
        (503, "503 name_unresolved\n".to_owned())
    );
    assert_eq!(edge.record("/early")["reason"], "name_unresolved");
    dns.a(HOST, 60, &[ip(1)]);
    wait_for_state(&edge, "resolved");
    assert_eq!(edge.client().get("/", &[]).status, 200);
}

#[test]
fn a_start_does_not_wait_for_a_name_server_that_is_silent() {
    let (dns, origin) = (NameServer::start(), Origin::start());
    for kind in [A, AAAA] {
        dns.says(HOST, kind, Says::Silence);
    }
    let began = Instant::now();
    let edge = by_host(&dns, std::slice::from_ref(&origin));
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(edge.client().get("/", &[]).status, 503);
}

#[test]
fn check_asks_no_name_server() {
    let dns = NameServer::start();
    dns.a(HOST, 60, &[ip(1)]);
    let web = json!({ "upstreams": { "web": { "servers": [HOST, format!("srv:{SERVICE}")] } } });
    let builder = Edge::builder().with(&web.to_string()).with(&dns.yaml());
    let file = builder.write_file();
    let checked = support::pointsman()
        .arg("check")
        .arg("-c")
        .arg(file)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    assert!(dns.asked(HOST, A).is_empty() && dns.asked(SERVICE, SRV).is_empty());
}

#[test]
fn after_a_restart_the_last_addresses_serve_before_dns_answers() {
    let (dns, origins) = (NameServer::start(), Origin::side_by_side(2));
    dns.a(HOST, 1, &[ip(1), ip(2)]);
    let mut edge = by_host(&dns, &origins);
    assert_eq!(resolved(&edge).len(), 2);
    for says in [Says::Silence, Says::Code(3)] {
        for kind in [A, AAAA] {
            dns.says(HOST, kind, says.clone());
        }
        edge.restart();
        assert_eq!(edge.client().get("/", &[]).status, 200);
        assert_eq!(resolved(&edge).len(), 2);
    }
    // Also after a power cut, once they were kept.
    edge.kill9();
    edge.start_again();
    assert_eq!(edge.client().get("/", &[]).status, 200);
}
