//! The log in one Redis: what its scripts do, each in one step. `as_redis.rs` holds it against a real one.

use pointsman::store::{Head, StoreError, descent};

use crate::line::Line;
use crate::node::Request;
use crate::rules::Rules;

/// What one Redis holds under our keys.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Log {
    /// All that led to the newest revision; what is kept of it is from `floor` on.
    pub(crate) head: Line,
    /// The last number with which an operator's force began the log anew.
    pub(crate) forced: u8,
    /// The first number that is kept; 0 where none has gone.
    pub(crate) floor: u8,
}

/// What a script answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Done,
    Conflict,
    Diverged,
}

impl Log {
    fn is_kept(&self, number: u8) -> bool {
        number >= self.floor.max(self.forced).max(1) && number <= self.head.number()
    }

    fn entry(&self, number: u8) -> Option<Line> {
        let entry = self.head.up_to(number);
        entry.filter(|_| self.is_kept(number))
    }

    /// `commit.lua`, with one revision.
    pub(crate) fn append(&mut self, new: Line, rules: &Rules) -> Answer {
        let before = new.parent();
        let newest = self.head.number();
        if newest >= new.number() && self.entry(new.number()) == Some(new) {
            return Answer::Done;
        }
        if rules.compares && newest != before.number() {
            return Answer::Conflict;
        }
        if rules.compares && self.head != before {
            return Answer::Diverged;
        }
        self.head = new;
        Answer::Done
    }

    /// `establish.lua`.
    pub(crate) fn establish(&mut self, new: Line, rules: &Rules) -> Answer {
        let number = new.number();
        if self.forced >= number || rules.late_force_is_refused && self.head.number() >= number {
            return Answer::Conflict;
        }
        *self = Self {
            head: new,
            forced: number,
            floor: 0,
        };
        Answer::Done
    }

    /// Whether this request can change nothing any more: a log's number never falls, but where it is emptied, and then
    /// it never is again what it was.
    pub(crate) fn is_past(&self, request: Request, rules: &Rules) -> bool {
        let (newest, new) = (self.head.number(), request.new);
        match request.is_force {
            true => rules.late_force_is_refused && newest >= new.number(),
            false => rules.compares && newest > new.parent().number(),
        }
    }

    /// `Store::next`: what comes after `at`, as the line up to the newest; `None` where nothing does.
    pub(crate) fn next(&self, at: Head, rules: &Rules) -> Result<Option<Line>, StoreError> {
        let newer =
            |step: &Line| u64::from(step.number()) > at.number && self.is_kept(step.number());
        match self.head.steps().find(newer) {
            Some(first) => {
                if rules.descent_is_checked {
                    let parent = first.parent().digest();
                    descent::follows(at, u64::from(first.number()), parent)?;
                }
                Ok(Some(self.head))
            }
            None => descent::ends_at(self.head.head(), at).map(|()| None),
        }
    }

    /// `Store::successor`.
    pub(crate) fn successor(&self, at: Head, rules: &Rules) -> Option<Line> {
        let was = || {
            let steps = self
                .head
                .steps()
                .filter(|step| step.number() >= self.forced);
            Ok::<bool, StoreError>(steps.into_iter().any(|step| step.head() == at))
        };
        let newest = u64::from(self.head.number());
        let may = descent::may_succeed(at, newest, u64::from(self.forced), was);
        let may = may.is_ok_and(|may| may) || !rules.successors_are_vouched_for;
        may.then_some(self.head)
    }
}
