//! Failing requests take a server out for a while, and never more than the group can spare.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Edge, Origin, Port, Reply, until};

fn edge(servers: Value, keys: &str) -> Edge {
    let web = json!({ "upstreams": { "web": { "servers": servers } } });
    Edge::builder()
        .with(&web.to_string())
        .with(&format!("upstreams: {{ web: {{ {keys} }} }}"))
        .route("*", "web")
        .start()
}

fn member(address: SocketAddr, fail_timeout: &str) -> Value {
    json!({ "address": address, "fail_timeout": fail_timeout })
}

/// The state of each server, as the control endpoint shows it.
fn states(edge: &Edge) -> Vec<String> {
    let shown = edge.control().get("/v1/upstreams/web").is(200).json;
    let state = |server: &Value| server["status"]["state"].as_str().unwrap().to_owned();
    shown["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(state)
        .collect()
}

fn statuses(edge: &Edge, count: usize) -> Vec<u16> {
    (0..count)
        .map(|_| edge.client().get("/", &[]).status)
        .collect()
}

fn metric(edge: &Edge, name: &str) -> u64 {
    let text = edge.control().get("/metrics").text;
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_server_that_refuses_is_asked_once_and_then_left_alone() {
    let (nobody, origin) = (Port::reserve(), Origin::start());
    let servers = json!([
        member(nobody.address(), "60s"),
        member(origin.address(), "60s")
    ]);
    let edge = edge(servers, "retry: { attempts: 1 }");
    let failed = statuses(&edge, 100)
        .iter()
        .filter(|&&status| status == 502)
        .count();
    assert_eq!(failed, 1);
    assert_eq!(states(&edge), ["ejected", "up"]);
    assert_eq!(metric(&edge, "pointsman_ejections_total"), 1);
    edge.wait_for_stderr("is ejected for 60s");
}

#[test]
fn it_comes_back_when_it_answers_again() {
    let (mut back, origin) = (Origin::start(), Origin::start());
    back.refuse();
    let servers = json!([
        member(back.address(), "200ms"),
        member(origin.address(), "60s")
    ]);
    let edge = edge(servers, "");
    assert_eq!(statuses(&edge, 4), [200; 4]);
    back.come_back();
    until("both are asked", || {
        assert_eq!(statuses(&edge, 1), [200]);
        (back.count() > 2).then_some(())
    });
    assert_eq!(states(&edge), ["up", "up"]);
}

#[test]
fn a_client_that_leaves_during_the_trial_does_not_keep_the_server_out() {
    let (mut back, origin) = (Origin::start(), Origin::start());
    back.refuse();
    let servers = json!([member(back.address(), "3s"), member(origin.address(), "3s")]);
    let edge = edge(servers, "");
    statuses(&edge, 2);
    assert_eq!(states(&edge), ["ejected", "up"]);
    back.hold();
    back.come_back();
    until("the trial has begun", || {
        let mut client = edge.client();
        client.send("GET /left HTTP/1.1\r\nHost: a\r\n\r\n");
        let _answered = client.is_closed(Duration::from_millis(50));
        (back.count() > 0).then_some(())
    });
    back.release();
    let began = Instant::now();
    until("the next request tells", || {
        statuses(&edge, 2);
        (states(&edge) == ["up", "up"]).then_some(())
    });
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn the_last_server_and_more_than_half_are_never_ejected() {
    let nobody: Vec<Port> = (0..4).map(|_| Port::reserve()).collect();
    let all: Vec<Value> = nobody
        .iter()
        .map(|port| member(port.address(), "60s"))
        .collect();
    let group = edge(all.into(), "retry: { attempts: 1 }");
    assert_eq!(statuses(&group, 20), [502; 20]);
    let out = states(&group)
        .iter()
        .filter(|state| *state == "ejected")
        .count();
    assert_eq!(out, 2);
    let one = edge(json!([member(nobody[0].address(), "60s")]), "");
    assert_eq!(statuses(&one, 3), [502; 3]);
    assert_eq!(states(&one), ["up"]);
}

#[test]
fn a_bad_answer_ejects_by_rate_alone() {
    let origins = Origin::many(2);
    origins[0].always(Reply::status(500));
    let servers = json!([origins[0].address(), origins[1].address()]);
    let by_number = edge(servers.clone(), "");
    statuses(&by_number, 40);
    assert_eq!(states(&by_number), ["up", "up"]);
    let by_rate = edge(servers, "outlier: { min_requests: 10, eject: 60s }");
    let bad = statuses(&by_rate, 100)
        .iter()
        .filter(|&&status| status == 500)
        .count();
    assert_eq!(bad, 10);
    assert_eq!(states(&by_rate), ["ejected", "up"]);
}

#[test]
fn when_every_server_fails_a_tenth_of_the_requests_is_tried_again() {
    let origins = Origin::many(3);
    for origin in &origins {
        origin.always(Reply::Reset);
    }
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let edge = edge(json!(addresses), "retry: { attempts: 3 }");
    const N: usize = 1000;
    let mut client = edge.client();
    for _ in 0..N {
        assert_eq!(client.get("/", &[]).status, 502);
        client = edge.client();
    }
    let attempts: usize = origins.iter().map(Origin::count).sum();
    println!("{attempts} attempts of {N} requests");
    assert!(attempts <= N + N / 10, "{attempts}");
    assert!(metric(&edge, "pointsman_retries_denied_total") > 0);
}

/// Of 20 clients at once, on a server that breaks off every third request: most are under way when it is ejected.
#[test]
fn answers_to_requests_from_before_an_ejection_do_not_end_it() {
    let origins = Origin::many(2);
    let turn = std::sync::atomic::AtomicUsize::new(0);
    origins[0].by(
        move |_| match turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 3 {
            2 => Reply::Reset,
            _ => Reply::Name,
        },
    );
    origins
        .iter()
        .for_each(|origin| origin.delay(Duration::from_millis(50)));
    let servers = json!([
        member(origins[0].address(), "60s"),
        member(origins[1].address(), "60s")
    ]);
    let edge = edge(servers, "retry: { attempts: 1 }");
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| statuses(&edge, 10));
        }
    });
    assert_eq!(states(&edge), ["ejected", "up"]);
    assert_eq!(metric(&edge, "pointsman_ejections_total"), 1);
    assert!(origins[0].count() <= 30, "{}", origins[0].count());
}

#[test]
fn a_server_that_was_ejected_gets_no_request_after_a_restart_or_a_kill() {
    let (nobody, origin) = (Port::reserve(), Origin::start());
    let servers = json!([
        member(nobody.address(), "60s"),
        member(origin.address(), "60s")
    ]);
    let mut edge = edge(servers, "retry: { attempts: 1 }");
    until("one is ejected", || {
        statuses(&edge, 1);
        (states(&edge) == ["ejected", "up"]).then_some(())
    });
    for is_killed in [false, false, true, true] {
        if is_killed {
            edge.kill9();
            edge.start_again();
        } else {
            edge.restart();
        }
        assert_eq!(states(&edge), ["ejected", "up"]);
        assert_eq!(statuses(&edge, 20), [200; 20]);
    }
}
