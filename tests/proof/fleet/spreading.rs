use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::size;
use super::super::support::pause;
use super::{Fleet, Look, NODES, Spread, figures};

/// From the sending of a change until every node serves it, over so many changes.
fn spread(fleet: &Fleet, changes: usize, rest: Duration) -> Vec<Duration> {
    let mut looks: Vec<Look> = fleet.nodes.iter().map(Look::at).collect();
    let mut times = Vec::new();
    for number in 0..changes {
        let group = if number % 2 == 0 { "green" } else { "blue" };
        let began = Instant::now();
        let revision = loop {
            let path = "/v1/routes/any/switch";
            let answer = fleet.control(number).post(path, &json!({ "to": group }));
            // Without an answer of Redis nobody knows whether it happened: it is asked for again.
            match answer.status {
                503 => println!("change {number}: {}", answer.json["detail"]),
                _ => break answer.is(200).revision(),
            }
        };
        looks.iter_mut().for_each(|look| look.wait_for(revision));
        times.push(began.elapsed());
        pause(rest);
    }
    times
}

/// The times, with requests on all nodes, while `fault` goes on.
fn measured(
    fleet: &Fleet,
    changes: usize,
    rest: Duration,
    fault: impl Fn(&AtomicBool) + Sync,
) -> Vec<Duration> {
    let (is_over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let times = thread::scope(|scope| {
        for number in 0..NODES {
            let (is_over, asked) = (&is_over, &asked);
            scope.spawn(move || {
                let count = fleet.load(number, &|| is_over.load(Ordering::Relaxed));
                asked.fetch_add(count, Ordering::Relaxed);
            });
        }
        scope.spawn(|| fault(&is_over));
        let times = scope.spawn(|| spread(fleet, changes, rest)).join();
        is_over.store(true, Ordering::Relaxed);
        times.unwrap()
    });
    println!("{} requests meanwhile, 0 failed", asked.into_inner());
    times
}

#[test]
fn a_change_is_served_by_all_five_nodes_within_100_ms() {
    let fleet = Fleet::start();
    let changes = size(30, 1000);
    let times = measured(&fleet, changes, Duration::ZERO, |_| {});
    let (p50, p99, max) = figures(times);
    println!("{changes} changes, sent to served everywhere: p50 {p50:?}, p99 {p99:?}, max {max:?}");
    if size(0, 1) == 1 {
        assert!(p99 <= Duration::from_millis(100), "p99 {p99:?}");
        assert!(max <= Duration::from_millis(250), "max {max:?}");
    }
    assert!(fleet.origins.iter().all(|origin| origin.count() > 0));
}

#[test]
fn a_change_is_served_by_all_within_2_s_although_connections_to_redis_are_cut() {
    let fleet = Fleet::start();
    let changes = size(30, 1000);
    // Each node's every 5 s on average at full size: 12 times a minute.
    let most = size(1_000, 10_000) as u64;
    let cuts = AtomicUsize::new(0);
    let cut = |is_over: &AtomicBool| {
        let (began, mut spread) = (Instant::now(), Spread(7));
        let mut next: Vec<u64> = (0..NODES).map(|_| spread.below(most)).collect();
        while !is_over.load(Ordering::Relaxed) {
            let now = u64::try_from(began.elapsed().as_millis()).unwrap();
            for (way, next) in fleet.ways.iter().zip(&mut next) {
                if now >= *next {
                    way.cut();
                    cuts.fetch_add(1, Ordering::Relaxed);
                    *next = now + spread.below(most);
                }
            }
            pause(Duration::from_millis(1));
        }
    };
    let rest = Duration::from_millis(size(10, 30) as u64);
    let (p50, p99, max) = figures(measured(&fleet, changes, rest, cut));
    println!(
        "{changes} changes, {} cuts, sent to served everywhere: p50 {p50:?}, p99 {p99:?}, max {max:?}",
        cuts.into_inner()
    );
    assert!(max <= Duration::from_secs(2), "max {max:?}");
}
