//! What switches leave behind.

use crate::support::{Edge, Origin};
use crate::{switched, told, two_groups};
use std::collections::HashMap;
use std::thread;

#[test]
fn reading_stores_nothing() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let mut client = edge.client();
    for number in 0..200 {
        let host = format!("random-{number}.example");
        for path in ["/", "/_switch_upstream", "/upstream_switch"] {
            assert_eq!(client.get(path, &[("Host", &host)]).status, 200);
        }
    }
    let state = edge.control().get("/v1/state").is(200);
    assert_eq!(
        (
            state.revision(),
            state.json["routes"].as_array().unwrap().len()
        ),
        (1, 1)
    );
}

#[test]
fn an_answered_switch_survives_a_power_cut() {
    let (blue, green) = (Origin::start(), Origin::start());
    let mut edge = two_groups(&blue, &green).start();
    let path = "/upstream_switch?ups=green";
    assert_eq!(edge.client().host("lb.example").get(path, &[]).status, 200);
    edge.kill9();
    edge.start_again();
    let mut client = edge.client().host("lb.example");
    assert_eq!(client.get("/", &[]).text(), green.name());
    let answer = client.get("/_switch_upstream?upstream=blue", &[]);
    assert_eq!(told(&answer), switched("lb.example", "green", "blue"));
}

#[test]
fn each_answer_names_the_target_that_it_replaced() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let (clients, calls) = (8, 25);
    let steps: Vec<(String, String)> = thread::scope(|scope| {
        let callers: Vec<_> = (0..clients)
            .map(|client| {
                let edge = &edge;
                scope.spawn(move || chain(edge, client, calls))
            })
            .collect();
        callers
            .into_iter()
            .flat_map(|caller| caller.join().unwrap())
            .collect()
    });
    let next: HashMap<&str, &str> = steps
        .iter()
        .map(|(from, to)| (from.as_str(), to.as_str()))
        .collect();
    assert_eq!(next.len(), clients * calls, "no target was replaced twice");
    let mut at = "blue";
    for _ in 0..clients * calls {
        at = next[at];
    }
    assert!(!next.contains_key(at), "the chain has an end");
    println!(
        "{} switches of one host by {clients} clients form one chain",
        steps.len()
    );
}

/// Switches to one target after the other that nobody else switches to.
fn chain(edge: &Edge, client: usize, calls: usize) -> Vec<(String, String)> {
    let mut connection = edge.client().host("lb.example");
    let step = |call: usize| {
        let to = format!("127.0.0.{}:{}", client + 1, call + 1);
        let text = connection
            .get(&format!("/_switch_upstream?upstream={to}"), &[])
            .text();
        let from = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("Current upstream is :"));
        (from.unwrap_or_else(|| panic!("{text}")).to_owned(), to)
    };
    (0..calls).map(step).collect()
}
