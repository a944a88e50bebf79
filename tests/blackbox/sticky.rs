//! Clients that come back to the server that they had, by a cookie that names no address.

use crate::support::{Edge, EdgeBuilder, Ledger, Origin, Reply, Response, until};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

fn addresses(origins: &[Origin]) -> Value {
    origins
        .iter()
        .map(|origin| json!(origin.address()))
        .collect()
}

/// With a secret of its own in its directory.
fn prepared(servers: &Value, keys: &Value) -> EdgeBuilder {
    let builder = Edge::builder();
    let path = builder.directory().join("secret");
    secret(
        &path.display().to_string(),
        b"0123456789abcdef0123456789abcdef",
        0o600,
    );
    let mut web = json!({ "servers": servers, "sticky": { "cookie": "srv", "secret_file": path } });
    if let (Value::Object(web), Value::Object(keys)) = (&mut web, keys) {
        web.extend(keys.clone());
    }
    let file = json!({ "upstreams": { "web": web } });
    builder.with(&file.to_string()).route("*", "web")
}

fn edge(servers: &Value, keys: &Value) -> Edge {
    prepared(servers, keys).start()
}

fn secret(path: &str, content: &[u8], mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The pair that a browser keeps of our cookie.
fn given(response: &Response) -> Option<String> {
    let mut all = response.headers.all("Set-Cookie");
    let ours = all.find(|cookie| cookie.starts_with("srv="))?;
    Some(ours.split(';').next().unwrap().to_owned())
}

/// A client with a cookie for this origin.
fn bound_to(edge: &Edge, origin: &Origin) -> String {
    until("a client is bound to the origin", || {
        let answer = edge.client().get("/bind", &[]);
        (answer.text() == origin.name()).then(|| given(&answer).unwrap())
    })
}

fn with(edge: &Edge, cookie: &str) -> Response {
    edge.client().get("/", &[("Cookie", cookie)])
}

/// The number of the group's server in paths of the control endpoint.
fn server(origin: &Origin) -> String {
    format!("/v1/upstreams/web/servers/{}", origin.address())
}

#[test]
fn a_client_comes_back_to_its_server_whatever_the_turn() {
    let origins = Origin::many(3);
    let edge = edge(&addresses(&origins), &json!({}));
    for origin in &origins {
        let cookie = bound_to(&edge, origin);
        for _ in 0..10 {
            let answer = with(&edge, &cookie);
            assert_eq!(answer.text(), origin.name());
            assert_eq!(
                given(&answer),
                None,
                "a client that has its cookie gets no other"
            );
        }
    }
}

#[test]
fn the_cookie_is_for_us_alone_and_says_nothing_of_the_server() {
    let origin = Origin::start();
    let reply = Reply::Answer {
        status: 200,
        headers: vec![("Set-Cookie".into(), "theirs=1; Path=/x".into())],
        body: Vec::new(),
    };
    origin.always(reply);
    let edge = edge(&addresses(std::slice::from_ref(&origin)), &json!({}));
    let answer = edge.client().get("/", &[]);
    let all: Vec<&str> = answer.headers.all("Set-Cookie").collect();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0], "theirs=1; Path=/x");
    assert!(
        all[1].ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"),
        "{}",
        all[1]
    );
    let cookie = given(&answer).unwrap();
    // Nothing of the address in any of the ways to write it; that the id is keyed is shown beside the code.
    for part in ["127.0.0.1", "7f000001", &origin.address().to_string()] {
        assert!(!cookie.contains(part), "{cookie} has {part}");
    }
    origin.forget();
    let line = format!("a=b; {cookie}; c=d; {cookie}");
    edge.client()
        .get("/", &[("Cookie", &line), ("Cookie", &cookie)]);
    let seen = origin.requests().remove(0);
    assert_eq!(seen.headers.all("Cookie").collect::<Vec<_>>(), ["a=b; c=d"]);
}

#[test]
fn a_draining_server_keeps_its_clients_and_gets_no_others() {
    let origins = Origin::many(2);
    let edge = edge(&addresses(&origins), &json!({}));
    let cookie = bound_to(&edge, &origins[0]);
    let _ = edge
        .control()
        .act(&(server(&origins[0]) + "/drain"))
        .is(200);
    for _ in 0..10 {
        let answer = with(&edge, &cookie);
        assert_eq!(answer.text(), origins[0].name());
        assert_eq!(given(&answer), None);
        assert_eq!(edge.client().get("/", &[]).text(), origins[1].name());
    }
    let _ = edge.control().act(&(server(&origins[0]) + "/down")).is(200);
    let answer = with(&edge, &cookie);
    assert_eq!(answer.text(), origins[1].name());
    let moved = given(&answer).unwrap();
    let _ = edge.control().act(&(server(&origins[0]) + "/up")).is(200);
    for _ in 0..4 {
        assert_eq!(with(&edge, &moved).text(), origins[1].name());
    }
}

#[test]
fn a_client_whose_server_is_gone_is_bound_to_another() {
    let mut origins = Origin::many(3);
    let edge = edge(&addresses(&origins), &json!({}));
    let cookies = [bound_to(&edge, &origins[0]), bound_to(&edge, &origins[1])];
    let _ = edge.control().delete(&server(&origins[0])).is(204);
    let answer = with(&edge, &cookies[0]);
    let moved = given(&answer).unwrap();
    assert_eq!(with(&edge, &moved).text(), answer.text());
    // Refused and tried elsewhere: never twice at the same server, and the answer binds to whom it came from.
    origins[1].refuse();
    let answer = with(&edge, &cookies[1]);
    assert_eq!(answer.text(), origins[2].name());
    let moved = given(&answer).unwrap();
    assert_eq!(with(&edge, &moved).text(), origins[2].name());
}

#[test]
fn cookies_outlive_a_restart() {
    let origins = Origin::many(3);
    let mut edge = edge(&addresses(&origins), &json!({ "balance": "random" }));
    let cookies: Vec<String> = origins
        .iter()
        .map(|origin| bound_to(&edge, origin))
        .collect();
    edge.restart();
    for (origin, cookie) in origins.iter().zip(&cookies) {
        for _ in 0..5 {
            let answer = with(&edge, cookie);
            assert_eq!((answer.text(), given(&answer)), (origin.name(), None));
        }
    }
    // Another secret: they say nothing any more, and are replaced.
    let path = edge.directory().join("secret");
    secret(&path.display().to_string(), &[7; 40], 0o600);
    edge.restart();
    for cookie in &cookies {
        let answer = with(&edge, cookie);
        assert_eq!(answer.status, 200);
        assert!(given(&answer).is_some_and(|new| new != *cookie));
    }
}

#[test]
fn what_we_did_not_sign_is_balanced_and_replaced() {
    let origins = Origin::many(2);
    let edge = edge(&addresses(&origins), &json!({}));
    let sound = bound_to(&edge, &origins[0]);
    let mut forged = sound.clone();
    let last = forged.pop();
    forged.push(if last == Some('0') { '1' } else { '0' });
    let [garbage, zeros, long] = ["srv=\"%00;=", "srv=", "srv="].map(str::to_owned);
    let zeros = zeros + &"0".repeat(96);
    let long = long + &"a".repeat(20_000);
    for cookie in [&forged, &garbage, &zeros, &long, &"srv=".to_owned()] {
        let mut reached = HashSet::new();
        for _ in 0..4 {
            let answer = with(&edge, cookie);
            assert_eq!(answer.status, 200);
            assert!(given(&answer).is_some(), "{cookie}");
            reached.insert(answer.text());
        }
        assert_eq!(reached.len(), 2, "{cookie} binds nobody");
    }
    let huge = format!("srv={}", "a".repeat(100_000));
    assert_eq!(with(&edge, &huge).status, 431);
    // The first sound one of several counts, wherever it stands.
    let other = bound_to(&edge, &origins[1]);
    for line in [
        format!("{forged}; {sound}; {other}"),
        format!("srv=; srv=x; {sound}"),
    ] {
        for _ in 0..4 {
            let answer = with(&edge, &line);
            assert_eq!(
                (answer.text(), given(&answer)),
                (origins[0].name(), None),
                "{line}"
            );
        }
    }
}

#[test]
fn the_cookie_ends_and_is_renewed_before_for_who_comes_back() {
    let origins = Origin::many(2);
    let keys = json!({ "sticky": { "cookie": "srv", "max_age": "4s", "secret_file": "secret" } });
    let edge = edge(&addresses(&origins), &keys);
    let first = bound_to(&edge, &origins[0]);
    let renewed = until("half of its time is over", || {
        let answer = with(&edge, &first);
        assert_eq!(answer.text(), origins[0].name());
        given(&answer)
    });
    assert_ne!(first, renewed);
    until("the first has ended", || {
        (with(&edge, &first).text() == origins[1].name()).then_some(())
    });
    let answer = with(&edge, &renewed);
    assert_eq!(answer.text(), origins[0].name(), "the renewed one goes on");
}

#[test]
fn a_file_that_is_no_secret_is_refused_by_its_field() {
    let origin = Origin::start();
    let servers = addresses(std::slice::from_ref(&origin));
    for (content, mode, why) in [
        (
            Some(&[1; 31][..]),
            0o600,
            "has 31 bytes, fewer than the 32 that a secret needs",
        ),
        (Some(&[1; 32]), 0o644, "can be read or written by everyone"),
        (None, 0, "cannot be read: No such file"),
    ] {
        let builder = prepared(&servers, &json!({}));
        let path = builder.directory().join("secret");
        match content {
            Some(content) => secret(&path.display().to_string(), content, mode),
            None => fs::remove_file(&path).unwrap(),
        }
        let refused = builder.try_start().err().unwrap();
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("pointsman.yaml:"),
            "{}",
            refused.stderr
        );
    }
    let edge = edge(&servers, &json!({}));
    let patch = |sticky: Value| {
        edge.control()
            .patch("/v1/upstreams/web", &json!({ "sticky": sticky }))
    };
    let refused = patch(json!({ "secret_file": "nowhere" })).is(422);
    assert_eq!(
        refused.json["errors"][0]["pointer"],
        "/upstreams/web/sticky/secret_file"
    );
    let refused = patch(json!({ "cookie": "a b" })).is(422);
    assert_eq!(
        refused.json["errors"][0]["pointer"],
        "/upstreams/web/sticky/cookie"
    );
    for missing in ["secret_file", "cookie"] {
        let refused = patch(json!({ missing: null }));
        assert!((400..=422).contains(&refused.status), "{}", refused.text);
        assert!(refused.text.contains(missing), "{}", refused.text);
    }
    assert!(
        given(&edge.client().get("/", &[])).is_some(),
        "nothing changed"
    );
    let _ = patch(Value::Null).is(200);
    assert_eq!(given(&edge.client().get("/", &[])), None);
}

#[test]
fn no_request_is_lost_and_no_client_moves_while_other_servers_change() {
    let origins = Origin::many(4);
    let edge = edge(&addresses(&origins), &json!({ "balance": "random" }));
    let (ledger, is_over) = (Ledger::new(), AtomicBool::new(false));
    let cookies: Vec<String> = origins[..2]
        .iter()
        .map(|origin| bound_to(&edge, origin))
        .collect();
    std::thread::scope(|scope| {
        let client = |who: usize| {
            let mut client = edge.client();
            for _ in 0..500 {
                let cookie = ("Cookie", cookies[who % 2].as_str());
                let answer =
                    ledger.record(|nonce| client.try_get("/", &[("X-Nonce", nonce), cookie]));
                assert_eq!(answer.unwrap().text(), origins[who % 2].name());
            }
        };
        let clients: Vec<_> = (0..4).map(|who| scope.spawn(move || client(who))).collect();
        let (edge, origins, is_over) = (&edge, &origins, &is_over);
        let changes = scope.spawn(move || {
            let control = edge.control();
            let mut changes = 0;
            while !is_over.load(Ordering::SeqCst) {
                // Their own servers drain and come back; the others come and go.
                for origin in &origins[..2] {
                    let _ = control.act(&(server(origin) + "/drain")).is(200);
                    let _ = control.act(&(server(origin) + "/up")).is(200);
                }
                for origin in &origins[2..] {
                    let _ = control.delete(&server(origin)).is(204);
                    let again = json!({ "address": origin.address() });
                    let _ = control.post("/v1/upstreams/web/servers", &again).is(201);
                }
                changes += 8;
            }
            changes
        });
        let ends: Vec<_> = clients
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        is_over.store(true, Ordering::SeqCst);
        assert!(changes.join().unwrap() >= 8);
        assert!(ends.iter().all(Result::is_ok));
    });
    let tally = ledger.settle(&origins);
    tally.assert_flawless();
    assert_eq!(tally.sent, 2000);
}

#[test]
fn the_cookie_is_for_tls_alone_where_the_client_spoke_it() {
    let origin = Origin::start();
    let servers = addresses(std::slice::from_ref(&origin));
    let trusting = prepared(&servers, &json!({})).listener("trusted_proxies: [127.0.0.1]");
    for (edge, is_believed) in [
        (trusting.start(), true),
        (edge(&servers, &json!({})), false),
    ] {
        for (scheme, secure) in [("https", is_believed), ("http", false)] {
            let answer = edge.client().get("/", &[("X-Forwarded-Proto", scheme)]);
            let cookie = answer.header("Set-Cookie").unwrap();
            assert_eq!(cookie.ends_with("; Secure"), secure, "{cookie}");
        }
    }
}
