//! What is said of the others, with the time as an argument.

use super::*;
use crate::spec::{Address, Name};
use crate::store::{HealthRecord, NodeRecord};

fn node(id: &str, applied: u64, at: u64) -> Signed {
    let record = NodeRecord {
        id: id.into(),
        applied,
        seen_at: at,
        ..NodeRecord::default()
    };
    Signed { at, record }
}

fn look(watching: &mut Watching, now: u64, nodes: Vec<Signed>) -> (Vec<NodeState>, Vec<String>) {
    let (roster, news) = watching.look(Roll { now, nodes }, "a", now);
    let states = roster.nodes.iter().map(|node| node.state).collect();
    (states, news.into_iter().map(|(_, line)| line).collect())
}

#[test]
fn a_node_that_stops_to_sign_is_lost_after_five_seconds_and_said_once() {
    let mut watching = Watching::default();
    let mut said = Vec::new();
    for second in 0..20 {
        let now = 10_000 + second * 1000;
        let last = now.min(12_000);
        let roll = vec![node("a", 1, now), node("b", 1, last)];
        let (states, news) = look(&mut watching, now, roll);
        let lost = if now - last > 5_000 {
            NodeState::Lost
        } else {
            NodeState::Live
        };
        assert_eq!(states, [NodeState::Live, lost]);
        said.extend(news);
    }
    assert_eq!(said, ["node b was last heard of 6.0 s ago"]);
}

#[test]
fn after_the_store_was_away_nobody_is_lost_for_being_as_late() {
    let mut watching = Watching::default();
    look(&mut watching, 0, vec![node("a", 1, 0), node("b", 1, 0)]);
    watching.lost_touch();
    let (states, news) = look(
        &mut watching,
        60_000,
        vec![node("a", 1, 60_000), node("b", 1, 0)],
    );
    assert_eq!(states, [NodeState::Live, NodeState::Live]);
    assert_eq!(news, Vec::<String>::new());
    let (states, _) = look(
        &mut watching,
        65_000,
        vec![node("a", 1, 65_000), node("b", 1, 0)],
    );
    assert_eq!(states, [NodeState::Live, NodeState::Lost]);
}

#[test]
fn a_node_is_behind_when_it_misses_a_revision_of_two_seconds_ago() {
    let mut watching = Watching::default();
    let mut at = |now: u64, own: u64, other: u64| {
        look(
            &mut watching,
            now,
            vec![node("a", own, now), node("b", other, now)],
        )
    };
    assert_eq!(at(0, 1, 1).0, [NodeState::Live, NodeState::Live]);
    // Under changes without end nobody serves the very newest.
    for n in 1..200 {
        assert_eq!(at(n * 50, n + 1, n).0[1], NodeState::Live, "{n}");
    }
    assert_eq!(at(10_000, 201, 199).0[1], NodeState::Live);
    assert_eq!(at(11_999, 201, 199).0[1], NodeState::Behind);
    assert_eq!(at(13_000, 202, 202).1, ["node b has caught up"],);
}

#[test]
fn who_left_is_said_and_who_comes_back_too() {
    let mut watching = Watching::default();
    look(&mut watching, 0, vec![node("a", 1, 0), node("b", 1, 0)]);
    let mut left = node("b", 1, 1000);
    left.record.has_left = true;
    let (states, news) = look(&mut watching, 9000, vec![node("a", 1, 9000), left]);
    assert_eq!(states, [NodeState::Live, NodeState::Left]);
    assert_eq!(news, ["node b has left"]);
    let roll = vec![node("a", 1, 9500), node("b", 1, 9400), node("c", 1, 9400)];
    let (_, news) = look(&mut watching, 9500, roll);
    assert_eq!(news, ["node b is back", "node c has joined"]);
}

#[test]
fn a_diverged_node_counts_neither_as_newest_nor_as_serving_a_revision() {
    let mut watching = Watching::default();
    let mut other = node("b", 90, 0);
    other.record.is_diverged = true;
    let roll = Roll {
        now: 0,
        nodes: vec![node("a", 7, 0), other],
    };
    let (roster, _) = watching.look(roll, "a", 0);
    assert_eq!(roster.nodes[0].lag, 0);
    assert_eq!(roster.missing(7, "a"), ["b"]);
    assert_eq!(roster.missing(8, "b"), ["a"]);
}

#[test]
fn the_clock_of_each_is_compared_with_the_stores() {
    let mut early = node("b", 1, 50_000);
    early.record.seen_at = 47_500;
    let roll = Roll {
        now: 50_200,
        nodes: vec![node("a", 1, 50_200), early],
    };
    let (roster, _) = Watching::default().look(roll, "a", 0);
    assert_eq!(roster.nodes[1].clock_ms, -2500);
    assert_eq!(roster.nodes[1].contact, Duration::from_millis(200));
    assert_eq!(roster.nodes[1].state, NodeState::Live);
}

#[test]
fn nodes_disagree_where_some_say_down_and_others_do_not() {
    let seen = |health: &str, address: &str| HealthRecord {
        upstream: Name::new("web").unwrap(),
        address: Address::new(address).unwrap(),
        health: health.into(),
        since: 0,
    };
    let mut nodes = vec![
        node("a", 1, 0),
        node("b", 1, 0),
        node("c", 1, 0),
        node("d", 1, 0),
    ];
    nodes[0].record.not_up = vec![seen("down", "10.0.0.1:80"), seen("down", "10.0.0.2:80")];
    // No verdict yet: no say.
    nodes[1].record.not_up = vec![seen("unknown", "10.0.0.1:80"), seen("down", "10.0.0.2:80")];
    nodes[2].record.not_up = vec![seen("down", "10.0.0.2:80")];
    nodes[3].record.not_up_more = 1;
    let roll = Roll { now: 0, nodes };
    let (roster, _) = Watching::default().look(roll, "a", 0);
    let found = roster.disagreements();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].server, Address::new("10.0.0.1:80").unwrap());
    assert_eq!(found[0].down_on, ["a"]);
    assert_eq!(found[0].not_down_on, ["c"]);
    assert_eq!(
        found[0].told_by("a"),
        "upstream `web`: only this node sees `10.0.0.1:80` down; c does not"
    );
    assert!(
        found[0]
            .told_by("c")
            .contains("is down as seen by a, and not as seen by c")
    );
}
