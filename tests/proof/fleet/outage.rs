use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::size;
use super::super::support::{Edge, Ledger, RedisServer, pause, until};
use super::{Fleet, Look, NODES};

/// For each node.
const CLIENTS: usize = 2;
/// At full size some minutes; what takes longer hangs.
const LONGEST: Duration = Duration::from_secs(1800);

/// Asks without a pause until `is_over`, on a connection that is kept as long as the node keeps it.
fn ask(edge: &Edge, ledger: &Ledger, asked: &AtomicUsize, is_over: &AtomicBool) {
    let mut client = edge.client();
    while !is_over.load(Ordering::Relaxed) {
        let answer = ledger.record(|nonce| client.try_get("/", &[("X-Nonce", nonce)]));
        asked.fetch_add(1, Ordering::Relaxed);
        if !answer.is_ok_and(|answer| answer.headers.keeps_connection("HTTP/1.1")) {
            client = edge.client();
        }
    }
}

/// A change on one of the nodes: its status. Even ones point the route elsewhere than odd ones.
fn change(node: &Edge, number: usize) -> u16 {
    let group = if number.is_multiple_of(2) {
        "green"
    } else {
        "blue"
    };
    let path = "/v1/routes/any/switch";
    let answer = node.control().post(path, &json!({ "to": group }));
    answer.status
}

#[test]
fn no_request_fails_while_redis_is_killed_in_the_middle() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut fleet = Fleet::over(RedisServer::with(&durable));
    let (ledger, asked, is_over) = (Ledger::new(), AtomicUsize::new(0), AtomicBool::new(false));
    let (wanted, began) = (size(10_000, 1_000_000), Instant::now());
    let reached = |part: usize| {
        while asked.load(Ordering::Relaxed) < wanted / 10 * part && began.elapsed() < LONGEST {
            pause(Duration::from_millis(1));
        }
    };
    let Fleet {
        redis,
        nodes,
        origins,
        ..
    } = &mut fleet;
    let nodes: &[Edge] = nodes;
    let (mut stored, mut refused) = (0, 0);
    thread::scope(|scope| {
        for number in 0..NODES * CLIENTS {
            let (ledger, asked, is_over) = (&ledger, &asked, &is_over);
            scope.spawn(move || ask(&nodes[number % NODES], ledger, asked, is_over));
        }
        let over = OnDrop(&is_over);
        for number in 0..20 {
            assert_eq!(change(&nodes[number % NODES], number), 200);
            stored += 1;
        }
        // A node that is behind may find that there is nothing to change, now and below.
        let everywhere = || {
            let revision = |node: &Edge| Look::at(node).revision();
            let newest = nodes.iter().map(revision).max().unwrap();
            nodes
                .iter()
                .for_each(|node| Look::at(node).wait_for(newest));
        };
        everywhere();
        assert_eq!(change(&nodes[0], 19), 200);
        everywhere();
        reached(3);
        redis.kill();
        for node in nodes {
            // Another group than the last one.
            assert_eq!(change(node, 20), 503);
            refused += 1;
        }
        reached(7);
        redis.start_again();
        for number in 0..20 {
            until("a change is stored", || {
                (change(&nodes[number % NODES], number) == 200).then_some(())
            });
            stored += 1;
        }
        reached(10);
        drop(over);
    });
    println!(
        "{stored} changes stored, {refused} refused while Redis was away, in {:?}",
        began.elapsed()
    );
    let tally = ledger.settle(&*origins);
    assert!(tally.sent >= wanted, "it took too long");
    tally.assert_flawless();
}

/// Ends the clients also where a check fails.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
