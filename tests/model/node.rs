//! A node: the writer and the follower of `src/controller`, and the copy of `src/store/mirrored.rs`.
//!
//! The copy is what is served: it is written before a change is answered and before anything else happens. A crash
//! between the two is no different from one before both, but for the requests of that moment. In the same way steps
//! that nobody else could tell apart are one: while the writer is idle it takes at once what the follower reads, and it
//! does so before the next change; whoever gets no answer gives up when the request has arrived, if it is not sent again.

use pointsman::store::{StoreError, descent};

use crate::line::{Deed, Line};
use crate::log::{Answer, Log};
use crate::rules::Rules;

/// Writes, and so the most that a node can have acknowledged.
pub(crate) const WRITES: usize = 3;

/// A request to one Redis, on its way or lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Request {
    pub(crate) side: u8,
    /// A commit of its newest revision onto those before it, or a force.
    pub(crate) new: Line,
    pub(crate) is_force: bool,
}

/// What the writer's thread does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Writer {
    Idle,
    /// It waits for an answer to this. Whether it was sent twice, since the first connection ended.
    Waits(Request, bool),
}

/// What the follower's thread has read for the writer, when what was served.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Found {
    Nothing,
    /// Revisions up to this one.
    Newer(Line, Line),
    /// A state to be taken over whole.
    Whole(Line, Line),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Node {
    pub(crate) is_up: bool,
    /// What it serves and has a copy of.
    pub(crate) served: Line,
    /// Whether it says that the store holds another history.
    pub(crate) is_diverged: bool,
    pub(crate) writer: Writer,
    pub(crate) found: Found,
    /// Not delivered yet.
    pub(crate) sent: [Option<Request>; 2],
    /// The state that each write of a caller of this node led to, as it was answered.
    pub(crate) acknowledged: [Line; WRITES],
    /// Whether it ever served what neither descended from its state nor came by a force.
    pub(crate) went_astray: bool,
}

impl Node {
    /// Serves the first revision.
    pub(crate) fn started() -> Self {
        Self {
            is_up: true,
            served: Line::first(),
            is_diverged: false,
            writer: Writer::Idle,
            found: Found::Nothing,
            sent: [None; 2],
            acknowledged: [Line::EMPTY; WRITES],
            went_astray: false,
        }
    }

    fn send(&mut self, request: Request) -> bool {
        let free = self.sent.iter_mut().find(|place| place.is_none());
        free.map(|place| *place = Some(request)).is_some()
    }

    /// Plans a write on what is served, and sends it.
    pub(crate) fn plan(&mut self, write: u8, side: u8, rules: &Rules) -> bool {
        let new = self
            .served
            .and(self.served.number() + 1, Deed::Write(write));
        let request = Request {
            side,
            new,
            is_force: false,
        };
        self.writer = Writer::Waits(request, false);
        if !rules.stored_before_answered {
            self.acknowledge(new, write);
        }
        self.send(request)
    }

    /// `Writer::establish`: an operator's force, for which the number is asked first.
    pub(crate) fn force(&mut self, side: u8, log: &Log, force: u8, rules: &Rules) -> bool {
        let (stored, served) = (log.head.number(), self.served.number());
        let stored = if rules.force_is_above_all { stored } else { 0 };
        let number = descent::forced_number(u64::from(stored), u64::from(served));
        let number = u8::try_from(number).unwrap();
        let request = Request {
            side,
            new: self.served.and(number, Deed::Force(force)),
            is_force: true,
        };
        self.writer = Writer::Waits(request, false);
        self.send(request)
    }

    /// The kept connection has ended: the same again on another.
    pub(crate) fn send_again(&mut self, side: u8) -> bool {
        let Writer::Waits(request, false) = self.writer else {
            return false;
        };
        let request = Request { side, ..request };
        self.writer = Writer::Waits(request, true);
        self.send(request)
    }

    /// Whether the writer waits for the answer to this; the side does not matter.
    pub(crate) fn waits_for(&self, request: Request) -> bool {
        matches!(self.writer, Writer::Waits(mine, _) if mine.new == request.new)
    }

    /// Whether it waits for the answer to this, which will not come, and to nothing else.
    pub(crate) fn waits_in_vain(&self, request: Request) -> bool {
        let is_awaited = |other: &Request| other.new == request.new;
        self.waits_for(request) && !self.sent.iter().flatten().any(is_awaited)
    }

    /// `Writer::store_and_publish` and `Writer::establish`, from the answer on. After a lost race what came first is
    /// read from this log, which need not be the one that answered.
    pub(crate) fn hear(
        &mut self,
        request: Request,
        answer: Answer,
        (side, log): (u8, &Log),
        rules: &Rules,
    ) {
        let write = request.new.newest_write();
        match (answer, write) {
            (Answer::Done, _) => {
                self.serve(request.new);
                self.is_diverged = false;
                if let Some(write) = write {
                    self.acknowledge(request.new, write);
                }
            }
            (_, Some(write)) => {
                self.is_diverged |= !self.catch_up(log, rules);
                // The plan is made anew, and sent before anything else is taken.
                if !self.is_diverged && self.plan(write, side, rules) {
                    return;
                }
            }
            (_, None) => {}
        }
        self.rest(rules);
    }

    fn acknowledge(&mut self, state: Line, write: u8) {
        self.acknowledged[usize::from(write)] = state;
    }

    /// `Writer::catch_up`; false where the store holds another history.
    fn catch_up(&mut self, log: &Log, rules: &Rules) -> bool {
        let at = self.served;
        match log.next(at.head(), rules) {
            Ok(Some(newer)) => self.go_on(newer, rules),
            Ok(None) => true,
            Err(_) => match log
                .successor(at.head(), rules)
                .filter(|_| rules.writer_succeeds)
            {
                Some(state) => self.succeed_to(at, state, rules),
                None => false,
            },
        }
    }

    /// The writer has answered its caller, or given up.
    pub(crate) fn rest(&mut self, rules: &Rules) {
        self.writer = Writer::Idle;
        self.take(rules);
    }

    /// `Writer::go_on`: false where it does not descend from what is served.
    fn go_on(&mut self, newer: Line, rules: &Rules) -> bool {
        let at = self.served.head();
        let is_new = |step: &Line| u64::from(step.number()) > at.number;
        let Some(first) = newer.steps().find(is_new) else {
            return true;
        };
        let number = u64::from(first.number());
        let follows = descent::follows(at, number, first.parent().digest());
        if rules.descent_is_checked && follows.is_err() {
            return false;
        }
        self.serve(newer);
        true
    }

    /// `Follower::look`; what it reads waits for the writer.
    pub(crate) fn look(&mut self, log: &Log, rules: &Rules) {
        let at = self.served;
        match log.next(at.head(), rules) {
            Ok(None) => self.is_diverged = false,
            Ok(Some(newer)) => self.found = Found::Newer(at, newer),
            Err(error) => self.succeed(at, log, &error, rules),
        }
        if self.writer == Writer::Idle {
            self.take(rules);
        }
    }

    fn succeed(&mut self, at: Line, log: &Log, error: &StoreError, rules: &Rules) {
        assert!(error.is_divergence(), "{error}");
        match log.successor(at.head(), rules) {
            Some(state) => self.found = Found::Whole(at, state),
            None => self.is_diverged = rules.divergence_is_said,
        }
    }

    /// The writer takes what the follower read.
    fn take(&mut self, rules: &Rules) {
        let (at, is_taken) = match std::mem::replace(&mut self.found, Found::Nothing) {
            Found::Nothing => return,
            Found::Newer(at, newer) => (at, self.go_on(newer, rules)),
            Found::Whole(at, state) => (at, self.succeed_to(at, state, rules)),
        };
        if is_taken {
            self.is_diverged = false;
        } else if self.served == at {
            self.is_diverged = true;
        }
    }

    /// `Writer::succeed`.
    fn succeed_to(&mut self, at: Line, state: Line, rules: &Rules) -> bool {
        let is_for_this = match rules.successors_are_for_one_place {
            true => self.served == at,
            false => state.number() > self.served.number(),
        };
        if is_for_this {
            self.serve(state);
        }
        is_for_this
    }

    fn serve(&mut self, state: Line) {
        let is_forced = state.forced() > self.served.number();
        self.went_astray |= !state.descends_from(self.served) && !is_forced;
        self.served = state;
    }

    /// Forgets what may arrive but would change nothing, and whose answer nobody waits for.
    pub(crate) fn forget(&mut self, logs: &[Log; 2], rules: &Rules) {
        for place in &mut self.sent {
            let is_over = place.is_some_and(|request| {
                let is_awaited =
                    matches!(self.writer, Writer::Waits(mine, _) if mine.new == request.new);
                !is_awaited && logs[usize::from(request.side)].is_past(request, rules)
            });
            if is_over {
                *place = None;
            }
        }
        self.sent.sort_unstable();
    }

    pub(crate) fn crash(&mut self) {
        self.is_up = false;
        self.is_diverged = false;
        self.writer = Writer::Idle;
        self.found = Found::Nothing;
    }

    /// `Mirrored::load`: the copy, and what the store has after it if it answers.
    pub(crate) fn start(&mut self, log: Option<&Log>, rules: &Rules) {
        self.is_up = true;
        let (kept, Some(log)) = (self.served, log) else {
            return;
        };
        match log.next(kept.head(), rules) {
            Ok(None) => {}
            // Each is applied onto the one before it.
            Ok(Some(newer)) if newer.descends_from(kept) || !rules.descent_is_checked => {
                self.serve(newer);
            }
            Ok(Some(_)) | Err(_) => {
                if let Some(state) = log.successor(kept.head(), rules) {
                    self.serve(state);
                }
            }
        }
    }
}

impl Line {
    /// The write that its newest revision is, if it is one.
    fn newest_write(self) -> Option<u8> {
        (0..WRITES as u8).find(|&write| {
            self.number() > 0 && self == self.parent().and(self.number(), Deed::Write(write))
        })
    }
}
