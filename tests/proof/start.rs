//! How long it takes from exec to the first proxied 200.

use std::time::{Duration, Instant};

use serde_json::{Map, json};

use super::size;
use super::support::{Client, Edge, Origin};

#[test]
fn a_large_state_serves_soon_after_exec() {
    let (groups, rounds) = (size(1_000, 10_000), size(1, 11));
    let origins = Origin::many(1);
    let address = origins[0].address().to_string();
    let mut edge = Edge::to(&origins);
    let mut state = edge.control().get("/v1/state").json;
    let upstreams: Map<_, _> = (0..groups)
        .map(|number| (format!("group-{number}"), json!({ "servers": [address] })))
        .collect();
    state["upstreams"]
        .as_object_mut()
        .unwrap()
        .extend(upstreams);
    let answer = edge.control().put("/v1/state", &state);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut times: Vec<Duration> = (0..rounds).map(|_| start(&mut edge)).collect();
    times.sort();
    println!(
        "exec to first proxied 200 with {groups} upstreams: median {:?} of {times:?}",
        times[times.len() / 2]
    );
    if size(0, 1) == 1 {
        assert!(times[times.len() / 2] <= Duration::from_millis(300));
    }
}

fn start(edge: &mut Edge) -> Duration {
    edge.kill9();
    let began = Instant::now();
    edge.spawn_again();
    loop {
        if let Ok(mut client) = Client::try_connect(&edge.address())
            && client
                .try_get("/", &[])
                .is_ok_and(|answer| answer.status == 200)
        {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "no answer: {}",
            edge.stderr()
        );
    }
    began.elapsed()
}
