//! Requests under a storm of changes.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::size;
use super::support::{Client, Control, Edge, Ledger, Origin, Response};

/// What the writer's thread knows must be true after each 200.
struct Expected<'a> {
    origins: &'a [Origin],
    /// Which of the first four take part in `web`: in it, and not down.
    serving: [bool; 4],
    is_switched: bool,
}

impl Expected<'_> {
    /// `spare` has the last two origins, `web` the first four.
    fn allows(&self, body: &str) -> bool {
        let of = |range: std::ops::Range<usize>| {
            let names = range.filter(|&at| at >= 4 || self.serving[at]);
            names.map(|at| self.origins[at].name()).collect::<Vec<_>>()
        };
        let names = if self.is_switched { of(4..6) } else { of(0..4) };
        names.iter().any(|name| body.contains(name))
    }
}

#[test]
fn no_request_fails_and_none_goes_by_the_old_rule_while_the_state_changes() {
    let (requests, changes) = (size(4_000, 200_000), size(100, 1_000));
    let origins = Origin::many(6);
    origins.iter().for_each(Origin::keep_only_nonces);
    let edge = Edge::builder()
        .upstream("web", &origins[..4])
        .upstream("spare", &origins[4..])
        .route("*", "web")
        .start();
    let ledger = Ledger::new();
    let began = Instant::now();
    let checked = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| keep_asking(&edge, &ledger, requests / CLIENTS));
        }
        let checked = scope.spawn(|| change_all(&edge, &ledger, &origins, changes));
        checked.join().unwrap()
    });
    let tally = ledger.settle(&origins);
    println!(
        "{changes} changes in {:?}: {checked} requests checked against the rule of the last 200; {tally}",
        began.elapsed()
    );
    assert!(tally.sent >= requests);
    tally.assert_flawless();
}

const CLIENTS: usize = 4;

/// Asks over one connection, and over a new one where the edge said `close`.
struct Asker<'a> {
    edge: &'a Edge,
    ledger: &'a Ledger,
    client: Client,
}

impl<'a> Asker<'a> {
    fn new(edge: &'a Edge, ledger: &'a Ledger) -> Self {
        Self {
            edge,
            ledger,
            client: edge.client(),
        }
    }

    fn ask(&mut self) -> io::Result<Response> {
        let client = &mut self.client;
        let answer = self
            .ledger
            .record(|nonce| client.try_get("/", &[("X-Nonce", nonce)]));
        let is_kept = answer.as_ref().is_ok_and(|answer| {
            answer
                .header("connection")
                .is_none_or(|value| !value.eq_ignore_ascii_case("close"))
        });
        if !is_kept {
            self.client = self.edge.client();
        }
        answer
    }
}

fn keep_asking(edge: &Edge, ledger: &Ledger, count: usize) {
    let mut asker = Asker::new(edge, ledger);
    for _ in 0..count {
        // The ledger has the failure.
        let _ = asker.ask();
    }
}

/// Makes the changes; after each, requests that begin now must go by it.
fn change_all(edge: &Edge, ledger: &Ledger, origins: &[Origin], changes: usize) -> usize {
    let control = edge.control();
    let mut asker = Asker::new(edge, ledger);
    let mut expected = Expected {
        origins,
        serving: [true; 4],
        is_switched: false,
    };
    let mut checked = 0;
    for number in 0..changes {
        change(&control, &mut expected, number);
        for _ in 0..3 {
            let answer = asker.ask().unwrap();
            assert!(
                expected.allows(&answer.text()),
                "after change {number}: {} although {:?}, switched: {}",
                answer.text(),
                expected.serving,
                expected.is_switched
            );
            checked += 1;
        }
        if size(0, 1) == 1 {
            // Spread over the whole load: about 1,000 changes in 60 s.
            pause(Duration::from_millis(40), &mut asker);
        }
    }
    checked
}

/// Lets time pass by asking on, so that nothing here sleeps.
fn pause(time: Duration, asker: &mut Asker<'_>) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        let _ = asker.ask();
    }
}

/// One of the six kinds in turn; the first origin always stays, so that no rail stands in the way.
fn change(control: &Control, expected: &mut Expected<'_>, number: usize) {
    let at = 1 + (number / 6) % 3;
    let address = expected.origins[at].address().to_string();
    let servers = "/v1/upstreams/web/servers";
    if number % 6 == 5 {
        expected.is_switched = !expected.is_switched;
    }
    let to = if expected.is_switched { "spare" } else { "web" };
    let weight = json!({ "weight": 1 + (number / 6) % 5 });
    let call = || match number % 6 {
        0 => control.act(&format!("{servers}/{address}/down")),
        1 => control.act(&format!("{servers}/{address}/up")),
        2 => control.delete(&format!("{servers}/{address}")),
        3 => control.post(servers, &json!({ "address": address })),
        4 => control.patch(&format!("{servers}/{address}"), &weight),
        _ => control.post("/v1/routes/any/switch", &json!({ "to": to })),
    };
    let mut answer = call();
    // The disk took longer than a change waits: whether it happened is unknown, so it is made again.
    while answer.status == 503 {
        println!("change {number}: {}", answer.text);
        answer = call();
    }
    let was_made_before = matches!((number % 6, answer.status), (2, 404) | (3, 409));
    assert!(
        (200..300).contains(&answer.status) || was_made_before,
        "change {number}: {} {}",
        answer.status,
        answer.text
    );
    match number % 6 {
        0 | 2 => expected.serving[at] = false,
        1 | 3 => expected.serving[at] = true,
        _ => {}
    }
}
