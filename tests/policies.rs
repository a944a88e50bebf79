//! What each balancer promises beyond the contract of all (tests/distribution.rs).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

mod balancer;

use balancer::{Group, Member};
use pointsman::spec::BalanceSpec;

/// Requests that each server has had, by a run in which every request is over before the next.
fn idle_counts(group: &mut Group, picks: usize) -> Vec<usize> {
    let mut counts = vec![0; group.upstream.servers().len()];
    for _ in 0..picks {
        counts[group.pick().unwrap()] += 1;
    }
    counts
}

/// Both draws are by weight, and of equals the first counts.
#[test]
fn random_two_shares_an_idle_group_by_weight() {
    let mut group = Group::of(&[5, 1, 1].map(Member::up), BalanceSpec::RandomTwo);
    let counts = idle_counts(&mut group, 7_000);
    // Bernstein's tolerances for 5 and for 1 of 7: 256 and 188.
    assert!(counts[0].abs_diff(5_000) <= 256, "{counts:?}");
    assert!(counts[1].abs_diff(1_000) <= 188, "{counts:?}");
}

/// A server with more requests than all others is picked only when both draws fall on it, which the
/// second avoids but for one time in 10^8 (eight draws).
#[test]
fn random_two_does_not_pick_the_most_loaded_server() {
    let mut group = Group::of(&[Member::up(1); 10], BalanceSpec::RandomTwo);
    group.load(3, 5);
    assert_eq!(idle_counts(&mut group, 10_000)[3], 0);
}

#[test]
fn least_time_picks_the_shortest_wait() {
    let mut group = Group::of(&[Member::up(1); 4], BalanceSpec::LeastTime);
    for (place, took) in [20_000, 1_000, 20_000, 20_000].into_iter().enumerate() {
        group.answer(place, took);
    }
    assert_eq!(idle_counts(&mut group, 100), [0, 100, 0, 0]);
    // 21 ms to wait behind 20 others, as long as elsewhere with none.
    group.load(1, 18);
    assert_eq!(idle_counts(&mut group, 100), [0, 100, 0, 0]);
    group.load(1, 2);
    assert_eq!(idle_counts(&mut group, 100)[1], 0);
}

/// An old time is forgotten, so that the server gets a chance to show a better one.
#[test]
fn least_time_tries_a_slow_server_again() {
    let mut group = Group::of(&[Member::up(1); 2], BalanceSpec::LeastTime);
    group.answer(0, 20_000);
    for _ in 0..200 {
        group.now += 1_000;
        if group.pick() == Some(0) {
            return;
        }
        group.answer(1, 1_000);
    }
    unreachable!("not tried in 200 s");
}

#[test]
fn least_time_tries_a_new_server_with_one_request() {
    let mut group = Group::of(&[Member::up(1); 3], BalanceSpec::LeastTime);
    group.answer(0, 1_000);
    group.answer(1, 1_000);
    assert_eq!(group.pick(), Some(2));
    group.load(2, 1);
    assert_eq!(idle_counts(&mut group, 100)[2], 0);
}
