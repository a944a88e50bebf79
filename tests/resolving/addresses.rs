//! What a name stands for: its addresses, their shares, their checks, and what happens when the records change.

use crate::support::{A, AAAA, Edge, Ledger, NameServer, Origin, until};
use crate::{HOST, SERVICE, by_host, by_service, edge, ip, member, publish, resolved};
use serde_json::json;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn every_address_of_a_name_takes_its_share() {
    let (dns, origins) = (NameServer::start(), Origin::side_by_side(3));
    dns.a(HOST, 60, &[ip(1), ip(2), ip(3)]);
    let edge = by_host(&dns, &origins);
    let mut client = edge.client();
    for _ in 0..30 {
        assert_eq!(client.get("/", &[]).status, 200);
    }
    assert!(origins.iter().all(|origin| origin.count() == 10));
    assert_eq!(member(&edge)["requests"], 30);
    // No revision came of it.
    assert_eq!(edge.control().get("/v1/state").is(200).revision(), 1);
}

#[test]
fn both_families_are_asked_for() {
    let (dns, origin) = (NameServer::start(), Origin::start());
    dns.a(HOST, 60, &[ip(1)]);
    dns.aaaa(HOST, 60, &[Ipv6Addr::LOCALHOST]);
    let edge = by_host(&dns, std::slice::from_ref(&origin));
    assert!(!dns.asked(HOST, AAAA).is_empty());
    let port = origin.port();
    let (v4, v6) = (format!("127.0.0.1:{port}"), format!("[::1]:{port}"));
    // A machine without IPv6 takes the others alone.
    let has_v6 = std::net::UdpSocket::bind("[::1]:0").is_ok();
    let expected = if has_v6 { vec![v4, v6] } else { vec![v4] };
    assert_eq!(resolved(&edge), expected);
}

#[test]
fn a_name_is_asked_for_again_when_its_ttl_ends_and_not_before() {
    let (dns, origin) = (NameServer::start(), Origin::start());
    dns.a(HOST, 2, &[ip(1)]);
    let _edge = by_host(&dns, std::slice::from_ref(&origin));
    dns.wait_for_more(HOST, A, 2);
    let asked = dns.asked(HOST, A);
    for pair in asked.windows(2) {
        let pause = pair[1].at - pair[0].at;
        assert!(pause >= Duration::from_secs(2), "{pause:?}");
        assert!(pause < Duration::from_secs(4), "{pause:?}");
    }
}

#[test]
fn no_request_fails_while_the_records_move_from_server_to_server() {
    let (dns, origins) = (NameServer::start(), Origin::many(4));
    publish(&dns, 1, &[&origins[0], &origins[1]]);
    let edge = by_service(&dns);
    let (ledger, is_over) = (Ledger::new(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let call = || {
            let mut client = edge.client();
            while !is_over.load(Ordering::SeqCst) {
                ledger
                    .record(|nonce| client.try_get("/", &[("X-Nonce", nonce)]))
                    .unwrap();
            }
        };
        let clients = [scope.spawn(call), scope.spawn(call)];
        for [a, b] in [[1, 2], [2, 3], [3, 0], [0, 1]] {
            publish(&dns, 1, &[&origins[a], &origins[b]]);
            let seen = origins[b].count();
            until("the new server takes requests", || {
                (origins[b].count() > seen + 20).then_some(())
            });
        }
        is_over.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().unwrap();
        }
    });
    let tally = ledger.settle(&origins);
    tally.assert_flawless();
    // A server that is no longer named gets nothing more.
    let seen = origins[3].count();
    let mut client = edge.client();
    for _ in 0..20 {
        client.get("/", &[]);
    }
    assert_eq!(origins[3].count(), seen);
}

#[test]
fn weights_share_and_priorities_back_up() {
    let (dns, mut origins) = (NameServer::start(), Origin::many(3));
    for target in ["a.example", "b.example", "c.example"] {
        dns.a(target, 60, &[ip(1)]);
    }
    let ports: Vec<u16> = origins.iter().map(Origin::port).collect();
    dns.srv(
        SERVICE,
        60,
        &[
            (20, 9, ports[2], "c.example"),
            (10, 3, ports[0], "a.example"),
            (10, 1, ports[1], "b.example"),
        ],
    );
    let edge = by_service(&dns);
    let mut client = edge.client();
    for _ in 0..40 {
        assert_eq!(client.get("/", &[]).status, 200);
    }
    let counts: Vec<usize> = origins.iter().map(Origin::count).collect();
    assert_eq!(counts, [30, 10, 0]);
    // Without one of the first priority the next one serves.
    for origin in &mut origins[..2] {
        origin.refuse();
    }
    let with_retries = json!({ "retry": { "attempts": 3 } });
    let patched = edge.control().patch("/v1/upstreams/web", &with_retries);
    let _ = patched.is(200);
    assert_eq!(edge.client().get("/", &[]).text(), origins[2].name());
}

#[test]
fn a_name_can_be_added_drained_and_removed_while_it_runs() {
    let (dns, origins) = (NameServer::start(), Origin::side_by_side(2));
    let literal = Origin::start();
    dns.a(HOST, 60, &[ip(1), ip(2)]);
    let edge = edge(&dns, &json!([literal.address()]));
    let (control, name) = (edge.control(), format!("{HOST}:{}", origins[0].port()));
    let servers = "/v1/upstreams/web/servers";
    let _ = control
        .post(servers, &json!({ "address": name, "weight": 2 }))
        .is(201);
    until("the name's servers take requests", || {
        edge.client().get("/", &[]);
        origins
            .iter()
            .all(|origin| origin.count() > 0)
            .then_some(())
    });
    let _ = control.act(&format!("{servers}/{name}/drain")).is(200);
    let seen: usize = origins.iter().map(Origin::count).sum();
    for _ in 0..10 {
        assert_eq!(edge.client().get("/", &[]).text(), literal.name());
    }
    assert_eq!(origins.iter().map(Origin::count).sum::<usize>(), seen);
    let shown = edge.ctl(&["status"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains(&name) && shown.contains(&origins[1].address().to_string()),
        "{shown}"
    );
    let _ = control.delete(&format!("{servers}/{name}")).is(204);
    let asked = dns.asked(HOST, A).len();
    assert_eq!(edge.client().get("/", &[]).text(), literal.name());
    assert_eq!(dns.asked(HOST, A).len(), asked);
}

#[test]
fn each_address_is_checked_and_one_that_is_down_gets_nothing() {
    let (dns, mut origins) = (NameServer::start(), Origin::side_by_side(2));
    dns.a(HOST, 1, &[ip(1), ip(2)]);
    origins[1].refuse();
    let name = format!("{HOST}:{}", origins[0].port());
    let checks = json!({ "interval": "50ms", "fall": 1, "rise": 1, "type": "tcp" });
    let web = json!({ "upstreams": { "web": { "servers": [name], "health": checks } } });
    let edge = Edge::builder()
        .with(&web.to_string())
        .with(&dns.yaml())
        .route("*", "web")
        .start();
    let health =
        |place: usize| member(&edge)["resolution"]["servers"][place]["status"]["health"].clone();
    until("both have a verdict", || {
        (health(0) == "up" && health(1) == "down").then_some(())
    });
    // What is known of them outlives the answers that say the same.
    dns.wait_for_more(HOST, A, 2);
    assert_eq!((health(0), health(1)), (json!("up"), json!("down")));
    let before = origins[0].count();
    for _ in 0..10 {
        assert_eq!(edge.client().get("/", &[]).status, 200);
    }
    assert_eq!(origins[0].count(), before + 10);
}

#[test]
fn localhost_is_found_without_a_name_server() {
    let (dns, origin) = (NameServer::start(), Origin::start());
    let edge = edge(&dns, &json!([format!("localhost:{}", origin.port())]));
    let expected = format!("127.0.0.1:{}", origin.port());
    assert!(resolved(&edge).contains(&expected));
}
