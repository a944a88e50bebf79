//! The protocol of the shared store as a model, of which the whole space is explored: three nodes, three writes, crashes,
//! a partition at any moment, a store that is emptied or replaced by a replica behind it, an operator's force.
//!
//! What decides is the crate's own (`store::descent`); what the scripts do is compared with a real Redis.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

mod as_redis;
mod claims;
mod fleet;
mod line;
mod log;
mod node;
mod rules;
#[path = "../support/mod.rs"]
mod support;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use claims::{FORCE_IS_NEW, KEEPS, MENDED, NOT_ASTRAY, NOTHING_LOST, TOGETHER};
use fleet::{Bounds, Fleet};
use rules::Rules;

/// No faults but those that are named, and a partition at any moment.
const CALM: Bounds = Bounds {
    writes: 3,
    crashes: 0,
    forces: 0,
    losses: 0,
    prunings: 0,
    repeats: 0,
};
/// The store is emptied, or a replica takes over that has less.
const LOSS: Bounds = Bounds { losses: 1, ..CALM };

/// Looks at every state within these bounds.
fn explore(bounds: Bounds) {
    let began = Instant::now();
    let fleet = Fleet {
        bounds,
        rules: Rules::REAL,
    };
    let checker = fleet.checker().threads(2).spawn_bfs().join();
    println!(
        "{bounds:?}: {} states by {} steps, {} deep at most, the whole space, in {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed()
    );
    checker.assert_properties();
    assert!(checker.is_done());
}

/// The full size under `make proof`, the small one otherwise.
fn size(small: Bounds, full: Bounds) -> Bounds {
    match std::env::var_os("POINTSMAN_PROOF") {
        Some(_) => full,
        None => small,
    }
}

#[test]
fn through_crash_partition_and_loss_nothing_acknowledged_is_lost_unseen_and_nothing_older_served() {
    let small = Bounds { crashes: 1, ..LOSS };
    let full = Bounds {
        prunings: 1,
        ..small
    };
    explore(size(small, full));
}

#[test]
fn an_operators_force_is_followed_by_all_or_refused() {
    let full = Bounds {
        crashes: 1,
        forces: 1,
        ..LOSS
    };
    explore(size(Bounds { writes: 2, ..full }, full));
}

#[test]
fn who_missed_more_than_the_history_takes_the_state_over_whole() {
    let full = Bounds {
        prunings: 1,
        repeats: 1,
        ..LOSS
    };
    explore(size(Bounds { writes: 2, ..full }, full));
}

/// Finds how this claim fails where a rule is broken.
fn notices(rules: Rules, bounds: Bounds, claim: &'static str) {
    let fleet = Fleet { bounds, rules };
    let wanted = HasDiscoveries::AnyOf([claim].into());
    let checker = fleet.checker().finish_when(wanted).spawn_bfs().join();
    let states = checker.unique_state_count();
    let Some(path) = checker.discovery(claim) else {
        panic!("{rules:?}: not noticed in {states} states");
    };
    let steps = path.into_actions();
    println!("after {states} states \"{claim}\" fails by {steps:?}");
}

#[test]
fn without_the_compare_and_set_an_acknowledged_change_would_be_lost() {
    let rules = Rules {
        compares: false,
        ..Rules::REAL
    };
    notices(rules, CALM, NOTHING_LOST);
}

#[test]
fn without_the_digest_of_the_parent_another_ancestry_would_be_served() {
    let rules = Rules {
        descent_is_checked: false,
        ..Rules::REAL
    };
    notices(rules, LOSS, NOT_ASTRAY);
}

#[test]
fn a_state_that_nobody_vouches_for_would_be_anothers() {
    let rules = Rules {
        successors_are_vouched_for: false,
        ..Rules::REAL
    };
    notices(rules, LOSS, NOT_ASTRAY);
}

#[test]
fn a_state_vouched_for_before_a_change_would_undo_it() {
    let rules = Rules {
        successors_are_for_one_place: false,
        ..Rules::REAL
    };
    let bounds = Bounds {
        prunings: 1,
        ..LOSS
    };
    notices(rules, bounds, NOT_ASTRAY);
}

#[test]
fn a_node_that_is_far_behind_would_call_itself_diverged() {
    let rules = Rules {
        writer_succeeds: false,
        ..Rules::REAL
    };
    let bounds = Bounds {
        prunings: 1,
        ..CALM
    };
    notices(rules, bounds, NOTHING_LOST);
}

#[test]
fn a_force_below_what_others_have_seen_would_mend_nothing() {
    let rules = Rules {
        force_is_above_all: false,
        ..Rules::REAL
    };
    notices(rules, LOSS, MENDED);
}

#[test]
fn a_force_that_comes_late_would_take_a_number_again() {
    let rules = Rules {
        late_force_is_refused: false,
        ..Rules::REAL
    };
    let bounds = Bounds { forces: 1, ..LOSS };
    notices(rules, bounds, FORCE_IS_NEW);
}

#[test]
fn a_divergence_that_nobody_tells_would_be_seen() {
    let rules = Rules {
        divergence_is_said: false,
        ..Rules::REAL
    };
    notices(rules, LOSS, TOGETHER);
}

#[test]
fn an_answer_before_the_store_has_it_would_be_a_lie() {
    let rules = Rules {
        stored_before_answered: false,
        ..Rules::REAL
    };
    notices(rules, CALM, KEEPS);
}
