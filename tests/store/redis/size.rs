//! Values that others wrote under our keys: what is too large is not taken into memory.

use std::time::Duration;

use pointsman::spec::Spec;
use pointsman::store::{Head, Redis, Registry, Store, StoreError};

use crate::lineage::Lineage;
use crate::support::{RedisServer, until};

/// More than is taken from one answer.
const LARGE: usize = 80 << 20;

/// The most that this process has had in memory, in bytes.
fn most_in_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse::<usize>().unwrap() << 10
}

/// A value of this size, made in Redis itself, by a script that has it as `large`.
fn write(server: &RedisServer, script: &str) {
    let text = format!("local large = string.rep('x', {LARGE}) {script} return 1");
    server.call(&["EVAL", &text, "0"]);
}

/// Never an answer; on a busy machine it takes some tries until it is not the time that is over first.
fn is_refused<T: std::fmt::Debug>(mut ask: impl FnMut() -> Result<T, StoreError>) {
    until("it is said to be too large", || match ask() {
        Err(StoreError::Contradiction { reason, .. }) => {
            assert!(reason.contains("more than 64 MiB"), "{reason}");
            Some(())
        }
        Err(StoreError::Unreachable { .. }) => None,
        other => panic!("{other:?}"),
    });
}

#[test]
fn a_value_that_no_node_wrote_is_not_taken_into_memory() {
    let server = RedisServer::start();
    let store = Redis::new(server.settings());
    let mut lineage = Lineage::default();
    lineage.grow(&store, 3);
    let before = most_in_memory();
    let at = Head {
        number: 3,
        digest: lineage.last().digest,
    };
    write(
        &server,
        "redis.call('XADD', '{pointsman}:log', '4-0', 'time', '1', 'digest', 'd', 'parent', 'p', 'body', large)",
    );
    is_refused(|| store.next(at, 256, Duration::ZERO));
    is_refused(|| store.next(at, 256, Duration::from_millis(500)));
    is_refused(|| store.history(None, 10));
    // What is beside it is read on the same connection.
    let loaded = until("the state is read", || store.load().ok());
    assert_eq!(loaded, Some(lineage.last()));
    write(
        &server,
        "redis.call('HSET', '{pointsman}:nodes', 'x', large)",
    );
    is_refused(|| store.nodes());
    let highest = until("the number is read", || store.highest().ok());
    assert_eq!(highest, 3);
    server.call(&["DEL", "{pointsman}:nodes"]);
    write(
        &server,
        "redis.call('HSET', '{pointsman}:head', 'fleet', large)",
    );
    is_refused(|| store.load());
    write(
        &server,
        "redis.call('HSET', '{pointsman}:checkpoints', '3', large)",
    );
    let taken = most_in_memory().saturating_sub(before);
    println!("{} MiB more in memory", taken >> 20);
    assert!(taken < LARGE / 2, "{taken}");
    // An operator's force still mends it, but for a head that says it is another's.
    server.call(&["HDEL", "{pointsman}:head", "fleet"]);
    let mut revision = lineage.more(1).remove(0);
    revision.number = 5;
    store.establish(&revision, &Spec::default()).unwrap();
    assert_eq!(store.load().unwrap().map(|state| state.number), Some(5));
}

#[test]
fn many_small_elements_are_not_taken_into_memory_either() {
    let server = RedisServer::start();
    let store = Redis::new(server.settings());
    let script = "for i = 1, 550000 do redis.call('HSET', '{pointsman}:nodes', i, '') end return 1";
    server.call(&["EVAL", script, "0"]);
    let before = most_in_memory();
    // On a busy machine the time is over first; nothing of it is taken either way.
    let refused = store.nodes().unwrap_err();
    let taken = most_in_memory().saturating_sub(before);
    println!("{} MiB more in memory: {refused}", taken >> 20);
    assert!(taken < LARGE / 2, "{taken}");
}
