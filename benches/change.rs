//! A change end to end, through the controller and SQLite, in a state of 100,000 servers: from the
//! call to the durable answer, one after the other and from 16 at once, while checkpoints are written.
//! `cargo bench --bench change` (the directory of the state is made in the working directory)

#![allow(
    clippy::expect_used,
    reason = "a bench that cannot go on may stop with a panic"
)]

mod support;

use std::time::{Duration, Instant};

use pointsman::change::Change;
use pointsman::controller::{Controller, StartSettings, Submission, start};
use pointsman::ports::telemetry::Metrics;
use pointsman::spec::{ForbiddenAddresses, Meta, Span};
use pointsman::store::{History, Opened, StoreSettings, open};

const GROUPS: usize = 10_000;
const SERVERS: usize = 10;
const SUBMITTERS: usize = 16;
const EACH: Duration = Duration::from_secs(10);

fn main() {
    // `cargo test --benches` runs this too: it is no test.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = tempfile::TempDir::new_in(".").expect("a directory on the disk under test");
    let place = StoreSettings::Sqlite(directory.path().join("state.db"));
    let (opened, controller) = controller(&place);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for submitters in [1, SUBMITTERS] {
        let before = controller.snapshot().load().revision();
        let submit = |first| runtime.spawn(submit(controller.clone(), first, submitters));
        let tasks: Vec<_> = (0..submitters).map(submit).collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(runtime.block_on(task).expect("ended"));
        }
        let revisions = controller.snapshot().load().revision() - before;
        assert_eq!(revisions, times.len() as u64, "each change is a revision");
        println!("{submitters} at once: {}", figures(times));
        println!("  {:?}", opened.store.backlog().expect("read"));
    }
}

fn controller(place: &StoreSettings) -> (Opened, Controller) {
    let opened = open(place).expect("opened");
    let settings = StartSettings {
        seed: support::spec(GROUPS, SERVERS, "round_robin"),
        reset: false,
        forbidden: ForbiddenAddresses::default(),
        // Short, so that old revisions are taken away meanwhile.
        history: History {
            revisions: 1000,
            age: Span::from_secs(0),
            size: 1 << 26,
        },
    };
    let controller = start(opened.store.clone(), settings, Metrics::new()).expect("started");
    (opened, controller)
}

/// Submits one change after the other in groups of its own; answers how long each took.
async fn submit(controller: Controller, first: usize, step: usize) -> Vec<Duration> {
    let end = Instant::now() + EACH;
    let mut times = Vec::new();
    for group in (0..).map(|number| (first + number * step) % GROUPS) {
        if Instant::now() >= end {
            break;
        }
        for change in changes(group) {
            let begun = Instant::now();
            let meta = Meta {
                time: 1_700_000_000_000 + times.len() as u64,
                author: "bench".into(),
                reason: format!("group {group}"),
                ..Meta::default()
            };
            let submitted = controller.submit(Submission::new(vec![change], meta));
            assert!(submitted.await.expect("done").is_new, "group {group}");
            times.push(begun.elapsed());
        }
    }
    times
}

/// What operators do all day, each of it another state than before, also in the next round.
fn changes(group: usize) -> [Change; 6] {
    let (first, second) = (support::address(group, 0), support::address(group, 1));
    let weight = fastrand::u16(2..);
    let other = (group + 1 + fastrand::usize(..GROUPS - 1)) % GROUPS;
    let change = |json: String| serde_json::from_str(&json).expect("a change");
    let on = |op: &str, address: &str, server: &str| {
        change(format!(
            r#"{{"op":"{op}","upstream":"group-{group}","address":"{address}"{server}}}"#
        ))
    };
    [
        on(
            "patch_server",
            &first,
            &format!(r#","server":{{"weight":{weight}}}"#),
        ),
        on("patch_server", &second, r#","server":{"admin":"drain"}"#),
        on("patch_server", &second, r#","server":{"admin":"up"}"#),
        change(format!(
            r#"{{"op":"add_server","upstream":"group-{group}","server":"192.0.2.1:80"}}"#
        )),
        on("remove_server", "192.0.2.1:80", ""),
        change(format!(
            r#"{{"op":"switch","route":"route-{group}","to":"group-{other}"}}"#
        )),
    ]
}

fn figures(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: f64| {
        let place = ((times.len() - 1) as f64 * share) as usize;
        times.get(place).copied().unwrap_or_default()
    };
    format!(
        "{:.0} changes a second; call to durable answer p50 {:?}, p99 {:?}, max {:?}",
        times.len() as f64 / EACH.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0)
    )
}
