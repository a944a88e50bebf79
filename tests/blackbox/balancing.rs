//! Which server of a group gets which request, as the origins see it.

use crate::support::{Edge, Origin, Port, until};
use serde_json::{Value, json};
use std::time::Duration;

/// One group `web` with these servers and keys, and a route to it.
fn edge(servers: Value, keys: &Value) -> Edge {
    let mut web = keys.clone();
    web["servers"] = servers;
    let file = json!({ "upstreams": { "web": web } });
    Edge::builder()
        .with(&file.to_string())
        .route("*", "web")
        .start()
}

fn addresses(origins: &[Origin]) -> Value {
    origins
        .iter()
        .map(|origin| json!(origin.address()))
        .collect()
}

#[test]
fn weights_5_1_1_give_a_a_b_a_c_a_a() {
    let origins = Origin::many(3);
    let weighted =
        |index: usize, weight| json!({ "address": origins[index].address(), "weight": weight });
    let edge = edge(
        json!([weighted(0, 5), weighted(1, 1), weighted(2, 1)]),
        &json!({ "balance": "round_robin" }),
    );
    let names: Vec<String> = origins.iter().map(Origin::name).collect();
    let (mut kept, mut sequence) = (edge.client(), String::new());
    for turn in 0..21 {
        // The turn is the group's, whichever connection a request comes on.
        let answer = if turn % 2 == 0 {
            kept.get("/", &[])
        } else {
            edge.client().get("/", &[])
        };
        let index = names.iter().position(|name| *name == answer.text());
        sequence.push(['a', 'b', 'c'][index.unwrap()]);
    }
    assert_eq!(sequence, "aabacaa".repeat(3));
}

#[test]
fn round_robin_without_weights_takes_turns_in_file_order() {
    let origins = Origin::many(3);
    let edge = edge(addresses(&origins), &json!({}));
    let mut client = edge.client();
    for _ in 0..4 {
        for origin in &origins {
            assert_eq!(client.get("/", &[]).text(), origin.name());
        }
    }
}

#[test]
fn random_reaches_every_server_about_equally() {
    let origins = Origin::many(3);
    let edge = edge(addresses(&origins), &json!({ "balance": "random" }));
    let mut client = edge.client();
    for _ in 0..300 {
        client.get("/", &[]);
    }
    for origin in &origins {
        // 100 expected, standard deviation 8: six of them.
        assert!((50..=150).contains(&origin.count()), "{}", origin.count());
    }
}

#[test]
fn least_connections_avoids_a_server_that_is_busy() {
    let origins = Origin::many(2);
    let edge = edge(
        addresses(&origins),
        &json!({ "balance": "least_connections" }),
    );
    origins.iter().for_each(Origin::hold);
    let mut slow = edge.client();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let busy = until("the request has arrived", || {
        origins.iter().position(|origin| origin.count() == 1)
    });
    let idle = &origins[1 - busy];
    idle.release();
    let mut client = edge.client();
    for _ in 0..10 {
        assert_eq!(client.get("/", &[]).text(), idle.name());
    }
    origins[busy].release();
    assert_eq!(slow.response().text(), origins[busy].name());
}

#[test]
fn requests_with_the_same_key_go_to_the_same_server_and_back_to_it_after_a_restart() {
    let origins = Origin::many(4);
    let mut edge = edge(
        addresses(&origins),
        &json!({ "balance": "hash", "hash": { "key": "cookie:user" } }),
    );
    let served = |edge: &Edge, user: u32| {
        let cookie = format!("a=b; user={user}");
        edge.client().get("/", &[("Cookie", &cookie)]).text()
    };
    let first: Vec<String> = (0..40).map(|user| served(&edge, user)).collect();
    let mut used = first.clone();
    used.sort();
    used.dedup();
    assert!(used.len() > 1, "40 users on one server");
    edge.restart();
    let again: Vec<String> = (0..40).map(|user| served(&edge, user)).collect();
    assert_eq!(again, first);
}

#[test]
fn the_server_that_answers_fastest_gets_most_requests() {
    let origins = Origin::many(2);
    let edge = edge(addresses(&origins), &json!({ "balance": "least_time" }));
    origins[0].delay(Duration::from_millis(500));
    let mut client = edge.client();
    for _ in 0..100 {
        client.get("/", &[]);
    }
    assert!(origins[0].count() < 20, "{}", origins[0].count());
}

/// That is no slow answer, and no failure of its.
#[test]
fn a_server_that_closes_idle_connections_stays_the_fastest() {
    let origins = Origin::many(2);
    origins[0].close_after(2);
    origins[1].delay(Duration::from_millis(300));
    let edge = edge(addresses(&origins), &json!({ "balance": "least_time" }));
    (0..60).for_each(|_| assert_eq!(edge.client().get("/", &[]).status, 200));
    assert!(origins[0].count() >= 40, "{}", origins[0].count());
    let shown = edge.control().get("/v1/upstreams/web").is(200).json;
    assert_eq!(shown["servers"][0]["status"]["failures"], 0);
}

#[test]
fn servers_that_are_admin_down_or_draining_get_no_request() {
    let origins = Origin::many(3);
    let edge = edge(
        json!([
            { "address": origins[0].address(), "admin": "down" },
            { "address": origins[1].address(), "admin": "drain" },
            origins[2].address(),
        ]),
        &json!({}),
    );
    let mut client = edge.client();
    for _ in 0..10 {
        assert_eq!(client.get("/", &[]).text(), origins[2].name());
    }
    assert_eq!((origins[0].connections(), origins[1].connections()), (0, 0));
}

#[test]
fn a_server_works_on_no_more_requests_than_its_limit_and_then_takes_the_next() {
    let origins = Origin::many(2);
    let limited = |origin: &Origin| json!({ "address": origin.address(), "max_connections": 1 });
    let edge = edge(
        json!([limited(&origins[0]), limited(&origins[1])]),
        &json!({}),
    );
    origins.iter().for_each(Origin::hold);
    let mut held: Vec<_> = (0..2).map(|_| edge.client()).collect();
    for client in &mut held {
        client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    until("each has one request", || {
        origins
            .iter()
            .all(|origin| origin.count() == 1)
            .then_some(())
    });
    let answer = edge.client().get("/full", &[]);
    assert_eq!(
        (answer.status, answer.text()),
        (503, "503 servers_full\n".into())
    );
    assert_eq!(edge.record("/full")["reason"], "servers_full");
    let status = edge.control().get("/v1/upstreams/web/servers").text;
    assert_eq!(status.matches(r#""state":"full""#).count(), 2, "{status}");
    origins.iter().for_each(Origin::release);
    for client in &mut held {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(edge.client().get("/", &[]).status, 200);
    assert_eq!(origins.iter().map(Origin::count).sum::<usize>(), 3);
}

#[test]
fn a_backup_rests_while_a_primary_is_available() {
    let origins = Origin::many(2);
    let edge = edge(
        json!([{ "address": origins[0].address(), "backup": true }, origins[1].address()]),
        &json!({}),
    );
    let mut client = edge.client();
    for _ in 0..10 {
        assert_eq!(client.get("/", &[]).text(), origins[1].name());
    }
}

#[test]
fn a_backup_serves_when_every_primary_is_admin_down() {
    let origins = Origin::many(2);
    let edge = edge(
        json!([{ "address": origins[0].address(), "backup": true }, { "address": origins[1].address(), "admin": "down" }]),
        &json!({}),
    );
    let mut client = edge.client();
    for _ in 0..10 {
        assert_eq!(client.get("/", &[]).text(), origins[0].name());
    }
}

#[test]
fn a_backup_is_the_second_try_when_the_only_primary_refuses() {
    let (backup, nobody) = (Origin::start(), Port::reserve());
    let edge = edge(
        json!([{ "address": backup.address(), "backup": true }, nobody.address()]),
        &json!({}),
    );
    assert_eq!(edge.client().get("/", &[]).text(), backup.name());
}

#[test]
fn a_group_whose_servers_are_all_admin_down_answers_503_no_server() {
    let origin = Origin::start();
    let edge = edge(
        json!([{ "address": origin.address(), "admin": "down" }]),
        &json!({}),
    );
    let answer = edge.client().get("/nobody", &[]);
    assert_eq!(
        (answer.status, answer.text()),
        (503, "503 no_server\n".into())
    );
    let record = edge.record("/nobody");
    assert_eq!(
        (
            &record["reason"],
            &record["upstream"],
            &record["route"],
            &record["attempts"]
        ),
        (
            &json!("no_server"),
            &json!("web"),
            &json!("any"),
            &json!([])
        )
    );
}
