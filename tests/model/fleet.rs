//! Three nodes, a Redis and its replica, and all that can happen to them, as a model for the checker.
//!
//! A partition is no step of its own: a node that does nothing, a request that never arrives, an answer that never
//! comes (the caller gives up) are what it looks like to the protocol, in every order.

use stateright::{Model, Property};

use crate::claims;
use crate::line::Line;
use crate::log::Log;
use crate::node::{Found, Node, WRITES, Writer};
use crate::rules::Rules;

pub(crate) const NODES: usize = 3;

/// How often what may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) writes: u8,
    pub(crate) crashes: u8,
    pub(crate) forces: u8,
    /// The store emptied, or replaced by its replica.
    pub(crate) losses: u8,
    pub(crate) prunings: u8,
    /// Requests that are sent twice, since a kept connection has ended.
    pub(crate) repeats: u8,
}

#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) bounds: Bounds,
    pub(crate) rules: Rules,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    /// In an order of their own: nodes that are alike are not told apart.
    pub(crate) nodes: [Node; NODES],
    /// The master, and the replica that took over from it.
    pub(crate) logs: [Log; 2],
    /// Whether it did; the old master may go on meanwhile, for some or all.
    pub(crate) is_promoted: bool,
    /// Whether the store was emptied.
    pub(crate) is_emptied: bool,
    /// Whether a force took numbers that were given.
    pub(crate) force_was_low: bool,
    /// How often what has happened.
    pub(crate) spent: Spent,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Spent {
    pub(crate) writes: u8,
    crashes: u8,
    pub(crate) forces: u8,
    losses: u8,
    prunings: u8,
    repeats: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// A caller asks this node for the next write, and the node asks this Redis.
    Write(usize, u8),
    /// A request arrives. The answer does too, and what follows on it goes to this Redis; or it does not.
    Arrive(usize, usize, Option<u8>),
    SendAgain(usize, u8),
    GiveUp(usize),
    Look(usize, u8),
    Crash(usize),
    Start(usize, Option<u8>),
    /// An operator forces the state of this node, which says that it is diverged.
    Force(usize, u8),
    /// A replica takes over that has everything up to this number.
    Promote(u8),
    Empty,
    Prune,
}

impl State {
    fn first() -> Self {
        let log = Log {
            head: Line::first(),
            ..Log::default()
        };
        Self {
            nodes: [Node::started(); NODES],
            logs: [log, Log::default()],
            is_promoted: false,
            is_emptied: false,
            force_was_low: false,
            spent: Spent::default(),
        }
    }

    /// The store that all will reach in the end.
    pub(crate) fn current(&self) -> u8 {
        u8::from(self.is_promoted)
    }

    /// The masters that somebody may reach.
    fn sides(&self) -> std::ops::RangeInclusive<u8> {
        0..=self.current()
    }

    /// Whether the store has kept all that it acknowledged.
    pub(crate) fn store_lost_nothing(&self) -> bool {
        !self.is_promoted && !self.is_emptied
    }

    fn log(&mut self, side: u8) -> &mut Log {
        &mut self.logs[usize::from(side)]
    }

    fn arrive(&mut self, at: usize, place: usize, heard: Option<u8>, model: &Fleet) -> Option<()> {
        let (rules, request) = (&model.rules, self.nodes[at].sent[place].take()?);
        let log = self.log(request.side);
        let newest = log.head.number();
        let answer = match request.is_force {
            true => log.establish(request.new, rules),
            false => log.append(request.new, rules),
        };
        let is_forced = log.head == request.new && request.is_force;
        self.force_was_low |= is_forced && newest >= request.new.number();
        let may_repeat = self.spent.repeats < model.bounds.repeats;
        let read = heard.map(|side| (side, *self.log(side)));
        let node = &mut self.nodes[at];
        match read {
            Some((side, log)) => node.hear(request, answer, (side, &log), rules),
            None if node.waits_in_vain(request) && !may_repeat => node.rest(rules),
            None => {}
        }
        Some(())
    }

    fn act(&mut self, action: Action, model: &Fleet) -> Option<()> {
        let rules = &model.rules;
        match action {
            Action::Write(at, side) => {
                let write = self.spent.writes;
                self.spent.writes += 1;
                return self.nodes[at].plan(write, side, rules).then_some(());
            }
            Action::Arrive(at, place, heard) => return self.arrive(at, place, heard, model),
            Action::SendAgain(at, side) => {
                self.spent.repeats += 1;
                return self.nodes[at].send_again(side).then_some(());
            }
            Action::GiveUp(at) => self.nodes[at].rest(rules),
            Action::Look(at, side) => {
                let log = *self.log(side);
                self.nodes[at].look(&log, rules);
            }
            Action::Crash(at) => {
                self.spent.crashes += 1;
                self.nodes[at].crash();
            }
            Action::Start(at, side) => {
                let log = side.map(|side| *self.log(side));
                self.nodes[at].start(log.as_ref(), rules);
            }
            Action::Force(at, side) => {
                let (log, force) = (*self.log(side), self.spent.forces);
                self.spent.forces += 1;
                let sent = self.nodes[at].force(side, &log, force, rules);
                return sent.then_some(());
            }
            Action::Promote(number) => {
                self.spent.losses += 1;
                self.is_promoted = true;
                let master = self.logs[0];
                self.logs[1] = Log {
                    head: master.head.up_to(number)?,
                    floor: master.floor.min(number),
                    ..master
                };
            }
            Action::Empty => {
                self.spent.losses += 1;
                self.is_emptied = true;
                let side = self.current();
                *self.log(side) = Log::default();
            }
            Action::Prune => {
                self.spent.prunings += 1;
                let side = self.current();
                let log = self.log(side);
                log.floor = log.head.number();
            }
        }
        Some(())
    }

    /// What one node may do, or what may happen to it.
    fn actions_of(&self, at: usize, bounds: &Bounds, actions: &mut Vec<Action>) {
        let node = &self.nodes[at];
        for (place, request) in node.sent.iter().enumerate() {
            let Some(request) = *request else {
                continue;
            };
            actions.push(Action::Arrive(at, place, None));
            if node.waits_for(request) {
                let heard = self.sides().map(Some);
                actions.extend(heard.map(|side| Action::Arrive(at, place, side)));
            }
        }
        if !node.is_up {
            actions.push(Action::Start(at, None));
            actions.extend(self.sides().map(|side| Action::Start(at, Some(side))));
            return;
        }
        let has_room = node.sent.contains(&None);
        for side in self.sides() {
            if node.found == Found::Nothing {
                actions.push(Action::Look(at, side));
            }
            match node.writer {
                Writer::Idle => {
                    if has_room && self.spent.writes < bounds.writes {
                        actions.push(Action::Write(at, side));
                    }
                    if has_room && node.is_diverged && self.spent.forces < bounds.forces {
                        actions.push(Action::Force(at, side));
                    }
                }
                Writer::Waits(_, is_second) => {
                    if has_room && !is_second && self.spent.repeats < bounds.repeats {
                        actions.push(Action::SendAgain(at, side));
                    }
                }
            }
        }
        if node.writer != Writer::Idle {
            actions.push(Action::GiveUp(at));
        }
        if self.spent.crashes < bounds.crashes {
            actions.push(Action::Crash(at));
        }
    }

    /// One form for what differs in nothing that could still matter.
    fn settle_form(&mut self, model: &Fleet) {
        let no_force_comes = self.spent.forces >= model.bounds.forces;
        let lost_nothing = self.store_lost_nothing();
        for node in &mut self.nodes {
            node.forget(&self.logs, &model.rules);
            // Whoever claims something of it looks anew.
            node.is_diverged &= !no_force_comes || lost_nothing;
        }
        self.nodes.sort_unstable();
    }
}

impl Model for Fleet {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let (bounds, spent) = (&self.bounds, &state.spent);
        for at in 0..NODES {
            // What one of two nodes that are alike does the other need not.
            if at == 0 || state.nodes[at - 1] != state.nodes[at] {
                state.actions_of(at, bounds, actions);
            }
        }
        if spent.losses < bounds.losses {
            actions.push(Action::Empty);
            if !state.is_promoted {
                let numbers = 1..=state.logs[0].head.number();
                actions.extend(numbers.map(Action::Promote));
            }
        }
        if spent.prunings < bounds.prunings {
            actions.push(Action::Prune);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = *last;
        next.act(action, self)?;
        next.settle_form(self);
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        claims::all(&self.bounds)
    }
}

const _: () = assert!(WRITES <= 7, "a write is told by four bits");
