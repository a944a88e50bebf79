//! What durable state costs: a start, a change, a group of changes, and a change while a checkpoint
//! of a large state is written. `cargo bench --bench store`

#![allow(
    clippy::expect_used,
    reason = "a bench that cannot go on may stop with a panic"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use pointsman::change::Change;
use pointsman::spec::{Digest, Meta, Revision};
use pointsman::store::{Store, StoreSettings, Stored, digest, open};
use tempfile::TempDir;

fn change(json: &str) -> Change {
    serde_json::from_str(json).expect("a change")
}

/// A state of so many groups of so many servers each, with a route each.
fn state(groups: usize, servers: usize) -> Change {
    let (mut upstreams, mut routes) = (Vec::new(), Vec::new());
    for g in 0..groups {
        let members: Vec<String> = (0..servers)
            .map(|s| format!(r#""10.{}.{}.{}:8080""#, g / 250, g % 250, s + 1))
            .collect();
        upstreams.push(format!(
            r#""group-{g}":{{"servers":[{}],"health":{{"path":"/healthz"}}}}"#,
            members.join(",")
        ));
        routes.push(format!(
            r#"{{"id":"r{g}","hosts":["h{g}.example"],"to":"group-{g}"}}"#
        ));
    }
    change(&format!(
        r#"{{"op":"put_state","state":{{"upstreams":{{{}}},"routes":[{}]}}}}"#,
        upstreams.join(","),
        routes.join(",")
    ))
}

/// The newest revision as its follower needs it.
struct Tip {
    number: u64,
    digest: Digest,
}

impl Tip {
    fn newest(&self) -> Option<u64> {
        (self.number > 0).then_some(self.number)
    }

    fn next(&mut self, change: Change) -> Revision {
        self.number += 1;
        let revision = Revision {
            number: self.number,
            meta: Meta {
                time: 1_700_000_000_000 + self.number,
                author: "bench".into(),
                source: "127.0.0.1:40000".into(),
                reason: "deploy 1.2.3".into(),
                ..Meta::default()
            },
            changes: vec![change],
            diff: serde_json::from_str(
                r#"[{"path":"/upstreams/group-1/servers/10.0.1.1:8080/weight","before":1,"after":2}]"#,
            )
            .expect("a diff"),
            parent: self.digest,
        };
        self.digest = digest(&revision);
        revision
    }

    fn weight(&mut self) -> Revision {
        let (group, weight) = (self.number % 200, self.number % 100);
        self.next(change(&format!(
            r#"{{"op":"patch_server","upstream":"group-{group}","address":"10.0.{group}.1:8080","server":{{"weight":{weight}}}}}"#
        )))
    }
}

fn fresh() -> (TempDir, StoreSettings, Tip) {
    let directory = TempDir::new_in(".").expect("a directory on the disk under test");
    let settings = StoreSettings::Sqlite(directory.path().join("state.db"));
    let digest = Digest::default();
    (directory, settings, Tip { number: 0, digest })
}

fn filled(store: &dyn Store, tip: &mut Tip, groups: usize, servers: usize) -> Stored {
    let first = tip.next(state(groups, servers));
    store.commit(None, &[first]).expect("committed");
    store.load().expect("readable").expect("a state")
}

fn start(c: &mut Criterion) {
    for replayed in [0, 2000] {
        let (_directory, settings, mut tip) = fresh();
        let store = open(&settings).expect("opened").store;
        let state = filled(&*store, &mut tip, 10_000, 3);
        let checkpoint = store.checkpoint(1, state.digest, &state.spec);
        checkpoint.expect("written");
        println!("{:?}", store.backlog().expect("read"));
        for _ in 0..replayed / 50 {
            let expected = tip.newest();
            let group: Vec<Revision> = (0..50).map(|_| tip.weight()).collect();
            store.commit(expected, &group).expect("committed");
        }
        drop(store);
        let name = format!("open_and_load_10000_upstreams_30000_servers_replay_{replayed}");
        c.bench_function(&name, |b| {
            b.iter_with_large_drop(|| open(&settings).expect("opened").store.load());
        });
    }
}

fn commit(c: &mut Criterion) {
    let (_directory, settings, mut tip) = fresh();
    let store = open(&settings).expect("opened").store;
    filled(&*store, &mut tip, 10_000, 3);
    for size in [1, 64] {
        c.bench_function(&format!("commit_{size}"), |b| {
            let next = || {
                let expected = tip.newest();
                let group: Vec<Revision> = (0..size).map(|_| tip.weight()).collect();
                (expected, group)
            };
            b.iter_batched(
                next,
                |(expected, group)| store.commit(expected, &group).expect("committed"),
                BatchSize::PerIteration,
            );
        });
    }
}

/// Not a mean but the tail: each commit's time while checkpoints of 100,000 servers are written
/// one after the other.
fn commits_during_checkpoints(_: &mut Criterion) {
    let (_directory, settings, mut tip) = fresh();
    let store = open(&settings).expect("opened").store;
    let state = filled(&*store, &mut tip, 10_000, 10);
    let alone = tail(&*store, &mut tip, &AtomicBool::new(true));
    println!("commit alone: {alone}");
    let done = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            for _ in 0..5 {
                let written = store.checkpoint(1, state.digest, &state.spec);
                written.expect("written");
            }
            println!("checkpoint of 100,000 servers: {:?}", begun.elapsed() / 5);
            done.store(true, Ordering::SeqCst);
        });
        tail(&*store, &mut tip, &done)
    });
    println!("commit beside checkpoints: {beside}");
    println!("{:?}", store.backlog().expect("read"));
}

fn tail(store: &dyn Store, tip: &mut Tip, done: &AtomicBool) -> String {
    let mut times: Vec<Duration> = Vec::new();
    while times.len() < 1000 || !done.load(Ordering::SeqCst) {
        let expected = tip.newest();
        let revision = [tip.weight()];
        let begun = Instant::now();
        store.commit(expected, &revision).expect("committed");
        times.push(begun.elapsed());
    }
    times.sort();
    let at = |share: f64| times.get(((times.len() - 1) as f64 * share) as usize);
    format!(
        "{} commits, p50 {:?}, p99 {:?}, max {:?}",
        times.len(),
        at(0.5).copied().unwrap_or_default(),
        at(0.99).copied().unwrap_or_default(),
        at(1.0).copied().unwrap_or_default()
    )
}

criterion_group! {
    name = store;
    config = Criterion::default().sample_size(20);
    targets = start, commit, commits_during_checkpoints
}
criterion_main!(store);
