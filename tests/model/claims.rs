//! What must be so in every state, and what must happen in some, so that the model is known to get there.

use stateright::Property;

use crate::fleet::{Bounds, Fleet, State};
use crate::line::Line;
use crate::log::Log;
use crate::node::{Node, Writer};
use crate::rules::Rules;

pub(crate) const KEEPS: &str = "a node keeps what it acknowledged until an operator's force";
pub(crate) const NOT_ASTRAY: &str =
    "no node serves what neither descends from its state nor came by force";
pub(crate) const TOGETHER: &str =
    "whoever reaches the store serves its newest state, or says that it does not";
pub(crate) const NOTHING_LOST: &str =
    "a store that loses nothing has all that was acknowledged, and nobody is diverged";
pub(crate) const NOTICED: &str = "two acknowledged states with one number are noticed";
pub(crate) const MENDED: &str = "a force brings all together that are below its number";
pub(crate) const FORCE_IS_NEW: &str = "a force takes no number that was given";

pub(crate) fn all(bounds: &Bounds) -> Vec<Property<Fleet>> {
    let always = Property::<Fleet>::always;
    let mut claims = vec![
        always(KEEPS, |_, state| state.nodes.iter().all(keeps)),
        always(NOT_ASTRAY, |_, state| {
            !state.nodes.iter().any(|node| node.went_astray)
        }),
        always(TOGETHER, |fleet, state| {
            are_together(&settled(state, &fleet.rules))
        }),
        always(NOTHING_LOST, |fleet, state| {
            !state.store_lost_nothing() || has_lost_nothing(state, &fleet.rules)
        }),
        always(NOTICED, |fleet, state| {
            !has_forked(state) || is_noticed(&settled(state, &fleet.rules))
        }),
        always(MENDED, |fleet, state| is_mended(state, &fleet.rules)),
        always(FORCE_IS_NEW, |_, state| !state.force_was_low),
    ];
    let sometimes = Property::<Fleet>::sometimes;
    claims.push(sometimes("all writes are acknowledged", |fleet, state| {
        acknowledged(state).count() == usize::from(fleet.bounds.writes)
    }));
    claims.push(sometimes(
        "a change is stored that nobody was told of",
        |_, state| acknowledged(state).count() == 0 && state.logs[0].head.number() > 1,
    ));
    if bounds.losses > 0 {
        claims.push(sometimes(
            "two states with one number are acknowledged",
            |_, state| has_forked(state),
        ));
    }
    if bounds.forces > 0 {
        claims.push(sometimes("all take one's force over", |_, state| {
            state.nodes.iter().all(|node| node.served.forced() > 0)
        }));
    }
    claims
}

fn acknowledged(state: &State) -> impl Iterator<Item = Line> + '_ {
    let all = state.nodes.iter().flat_map(|node| node.acknowledged);
    all.filter(|line| *line != Line::EMPTY)
}

fn keeps(node: &Node) -> bool {
    let told = node.acknowledged.iter();
    let mut told = told.filter(|line| **line != Line::EMPTY);
    told.all(|line| node.served.descends_from(*line) || node.served.has_another_force_than(*line))
}

fn has_forked(state: &State) -> bool {
    let told: Vec<Line> = acknowledged(state).collect();
    let same = |a: &Line, b: &Line| a != b && a.number() == b.number();
    told.iter().any(|a| told.iter().any(|b| same(a, b)))
}

/// After faults have ended: every node runs, and looks at the store until nothing is new.
fn settled(state: &State, rules: &Rules) -> State {
    let mut state = *state;
    let log = state.logs[usize::from(state.current())];
    for node in &mut state.nodes {
        settle(node, &log, rules);
    }
    state
}

fn settle(node: &mut Node, log: &Log, rules: &Rules) {
    if !node.is_up {
        node.start(Some(log), rules);
    }
    node.rest(rules);
    for _ in 0..3 {
        node.look(log, rules);
    }
}

fn are_together(settled: &State) -> bool {
    let head = settled.logs[usize::from(settled.current())].head;
    let is_there = |node: &Node| node.served == head && !node.is_diverged;
    let mut nodes = settled.nodes.iter();
    nodes.all(|node| is_there(node) || node.is_diverged)
}

fn has_lost_nothing(state: &State, rules: &Rules) -> bool {
    let head = state.logs[0].head;
    let after = settled(state, rules);
    let all = state.nodes.iter().chain(&after.nodes);
    all.into_iter().all(|node| !node.is_diverged)
        && acknowledged(state).all(|line| head.descends_from(line))
}

fn is_noticed(settled: &State) -> bool {
    let is_noticed = |node: &Node| node.is_diverged || node.served.forced() > 0;
    settled.nodes.iter().any(is_noticed)
}

/// Whichever diverged node an operator chooses.
fn is_mended(state: &State, rules: &Rules) -> bool {
    if state.store_lost_nothing() {
        return true;
    }
    let settled = settled(state, rules);
    let chosen = (0..settled.nodes.len()).filter(|&at| settled.nodes[at].is_diverged);
    chosen.into_iter().all(|at| {
        let (mut after, side) = (settled, settled.current());
        let mut log = after.logs[usize::from(side)];
        let node = &mut after.nodes[at];
        node.sent = Default::default();
        node.force(side, &log, after.spent.forces, rules);
        let Writer::Waits(request, _) = node.writer else {
            return false;
        };
        let answer = log.establish(request.new, rules);
        node.hear(request, answer, (side, &log), rules);
        let forced = request.new.number();
        after.nodes.iter_mut().all(|node| {
            let is_below = node.served.number() < forced || node.served == log.head;
            settle(node, &log, rules);
            node.is_diverged != is_below && (node.served == log.head) == is_below
        })
    })
}
