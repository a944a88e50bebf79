//! What only the store in Redis has: ways to reach it, rights, and content that others can write to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "store/redis/damage.rs"]
mod damage;
#[path = "store/lineage.rs"]
mod lineage;
#[path = "store/redis/reaching.rs"]
mod reaching;
#[path = "store/redis/size.rs"]
mod size;
mod support;

use std::time::{Duration, Instant};

use lineage::Lineage;
use pointsman::spec::Spec;
use pointsman::store::{Head, Redis, Registry, Store, StoreError};
use support::{Detour, RedisServer};

#[test]
fn a_commit_whose_answer_was_lost_is_stored_once() {
    let server = RedisServer::start();
    let mut lineage = Lineage::default();
    let store = Redis::new(server.settings());
    lineage.grow(&store, 3);
    let detour = Detour::to(server.address());
    let mut settings = server.settings();
    settings.addresses = vec![detour.address().to_string()];
    let far = Redis::new(settings);
    assert_eq!(far.load().unwrap(), Some(lineage.last()));
    // There and back take longer than the answer is waited for.
    detour.delay(Duration::from_millis(1000));
    let next = lineage.more(1);
    let begun = Instant::now();
    let lost = far.commit(Some(3), &next).unwrap_err();
    assert!(matches!(lost, StoreError::Unreachable { .. }), "{lost}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(store.load().unwrap(), Some(lineage.last()));
    store.commit(Some(3), &next).unwrap();
    lineage.grow(&store, 1);
    store.commit(Some(3), &next).unwrap();
    assert_eq!(store.load().unwrap(), Some(lineage.last()));
}

#[test]
fn a_follower_is_woken_by_the_commit() {
    let server = RedisServer::start();
    let mut lineage = Lineage::default();
    let store = Redis::new(server.settings());
    lineage.grow(&store, 3);
    let at = Head {
        number: 3,
        digest: lineage.last().digest,
    };
    let follower = Redis::new(server.settings());
    let patience = Duration::from_secs(1);
    assert_eq!(follower.next(at, 10, patience).unwrap(), []);
    let waiting = std::thread::spawn(move || follower.next(at, 10, Duration::from_secs(15)));
    support::until("the follower waits", || {
        let clients = server.call(&["INFO", "clients"]);
        let text: String = redis::from_redis_value(clients).unwrap();
        text.contains("blocked_clients:1").then_some(())
    });
    let begun = Instant::now();
    lineage.grow(&store, 1);
    let newer = waiting.join().unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(newer, [lineage.all[3].0.clone()]);
}

#[test]
fn a_quiet_follower_reads_no_more_than_five_times_a_second() {
    let server = RedisServer::start();
    let mut lineage = Lineage::default();
    let store = Redis::new(server.settings());
    lineage.grow(&store, 1);
    let at = Head {
        number: 1,
        digest: lineage.last().digest,
    };
    let commands = || -> u64 {
        let text: String = redis::from_redis_value(server.call(&["INFO", "stats"])).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.unwrap().parse().unwrap()
    };
    let (before, begun) = (commands(), Instant::now());
    for _ in 0..3 {
        assert_eq!(store.next(at, 10, Duration::from_secs(1)).unwrap(), []);
    }
    // The connections that count bring a few commands of their own.
    let counted = commands() - before;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{counted} commands in {seconds:.1} s");
    assert!(counted <= 3 * 5);
}

#[test]
fn a_state_is_only_taken_over_whole_by_those_of_its_line() {
    let server = RedisServer::start();
    let store = Redis::new(server.settings());
    let mut lineage = Lineage::default();
    for number in [20, 40, 60] {
        lineage.grow(&store, 20);
        lineage.checkpoint(&store, number);
    }
    let keep = pointsman::store::History {
        revisions: 1,
        age: pointsman::spec::Span::from_secs(0),
        size: 1,
    };
    store.prune(&keep, u64::MAX).unwrap();
    let at = |number: u64| Head {
        number,
        digest: lineage.at(number).digest,
    };
    let patience = Duration::ZERO;
    assert!(matches!(
        store.next(at(7), 10, patience),
        Err(StoreError::Pruned { after: 7 })
    ));
    assert_eq!(store.successor(at(7)).unwrap(), Some(lineage.last()));
    let stranger = Head {
        number: 7,
        digest: lineage.at(8).digest,
    };
    assert_eq!(store.successor(stranger).unwrap(), None);
    assert_eq!(store.successor(at(60)).unwrap(), None);
}

#[test]
fn a_lease_ends_by_redis_clock_whatever_the_nodes_clocks_say() {
    let server = RedisServer::start();
    let (early, late) = (Redis::new(server.settings()), Redis::new(server.settings()));
    let (ttl, day) = (Duration::from_millis(500), 86_400_000);
    let now = 1_800_000_000_000;
    let taken = early.hold("x", "early", ttl, now + day).unwrap();
    assert_eq!((&*taken.holder, taken.term), ("early", 1));
    let begun = Instant::now();
    let next = support::until("the other has it", || {
        let lease = late.hold("x", "late", ttl, now).unwrap();
        (lease.holder == "late").then_some(lease)
    });
    println!("{:?} after the last renewal", begun.elapsed());
    assert!(begun.elapsed() >= ttl - Duration::from_millis(100));
    assert_eq!(next.term, 2);
    // The one whose clock is a day before does not take it back.
    let asked = early.hold("x", "early", ttl, now + day).unwrap();
    assert_eq!((asked.holder.as_str(), asked.term), ("late", 2));
}

#[test]
fn a_force_whose_number_was_given_meanwhile_is_refused() {
    let server = RedisServer::start();
    let store = Redis::new(server.settings());
    let mut lineage = Lineage::default();
    lineage.grow(&store, 3);
    let mut revision = Lineage::default().more(1).remove(0);
    revision.number = store.highest().unwrap() + 1;
    // Another node's change comes first.
    lineage.grow(&store, 1);
    let late = store.establish(&revision, &Spec::default()).unwrap_err();
    assert!(matches!(late, StoreError::Conflict { .. }), "{late}");
    assert_eq!(store.load().unwrap(), Some(lineage.last()));
    revision.number = store.highest().unwrap() + 1;
    store.establish(&revision, &Spec::default()).unwrap();
    assert_eq!(store.highest().unwrap(), 5);
}
