//! What a state of 100,000 servers in 10,000 groups costs: from nothing, and one change in it.
//! `cargo bench --bench install`

#![allow(
    clippy::expect_used,
    reason = "a bench that cannot go on may stop with a panic"
)]

mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use pointsman::change::{self, Change};
use pointsman::domain::rails::rails;
use pointsman::domain::snapshot::{Publisher, Snapshot, shared};
use pointsman::spec::Spec;

const GROUPS: usize = 10_000;
const SERVERS: usize = 10;

fn from_nothing(c: &mut Criterion) {
    let spec = Arc::new(support::spec(GROUPS, SERVERS, "round_robin"));
    let (publisher, _reader) = shared(Snapshot::default());
    c.bench_function("build and publish 100,000 servers in 10,000 groups", |b| {
        b.iter(|| publisher.publish(Arc::new(Snapshot::build(1, spec.clone(), None))));
    });
}

/// What the controller does for a change, but for the store.
fn one_change(c: &mut Criterion) {
    let spec = Arc::new(support::spec(GROUPS, SERVERS, "round_robin"));
    let before = Arc::new(Snapshot::build(1, spec, None));
    let (publisher, _reader) = shared(Snapshot::default());
    for (name, change) in [
        (
            "weight",
            r#"{"op":"patch_server","upstream":"group-5000","address":"ADDRESS","server":{"weight":7}}"#,
        ),
        (
            "down",
            r#"{"op":"patch_server","upstream":"group-5000","address":"ADDRESS","server":{"admin":"down"}}"#,
        ),
        (
            "add a server",
            r#"{"op":"add_server","upstream":"group-5000","server":"192.0.2.1:80"}"#,
        ),
        (
            "switch a route",
            r#"{"op":"switch","route":"route-5000","to":"group-1"}"#,
        ),
        (
            "switch a host anew",
            r#"{"op":"switch","host":"new.example","to":"group-1"}"#,
        ),
        (
            "add a group",
            r#"{"op":"put_upstream","name":"new","upstream":{"servers":["192.0.2.1:80"]}}"#,
        ),
    ] {
        let change = change.replace("ADDRESS", &support::address(5_000, 0));
        let change: Change = serde_json::from_str(&change).expect("a change");
        c.bench_function(&format!("one change of 100,000 servers: {name}"), |b| {
            // The old snapshot is freed outside: readers hold it for as long as they look.
            b.iter_batched(
                || change.clone(),
                |change| install(&before, &change, &publisher),
                BatchSize::PerIteration,
            );
        });
    }
}

fn install(before: &Arc<Snapshot>, change: &Change, publisher: &Publisher) -> Arc<Snapshot> {
    let mut spec = Spec::clone(before.spec());
    change.apply(&mut spec, 2).expect("applied");
    black_box(change::entries(before.spec(), &spec));
    let next = Arc::new(Snapshot::build(2, Arc::new(spec), Some(before)));
    assert!(rails(before, &next).is_empty());
    publisher.publish(next.clone());
    next
}

criterion_group! {
    name = install_benches;
    config = Criterion::default().sample_size(20);
    targets = from_nothing, one_change
}
criterion_main!(install_benches);
