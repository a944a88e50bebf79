//! The model's log and a real Redis: the same calls in the same order have the same answers.

use std::collections::BTreeMap;
use std::time::Duration;

use pointsman::spec::{Meta, Revision, Spec};
use pointsman::store::{Head, Logged, Redis, Store, StoreError};

use crate::line::{Deed, Line};
use crate::log::{Answer, Log};
use crate::rules::Rules;
use crate::support::RedisServer;

/// A real Redis, and the real revision for each of the model's.
struct Real {
    server: RedisServer,
    store: Redis,
    known: BTreeMap<Line, Logged>,
}

impl Real {
    fn start() -> Self {
        let server = RedisServer::start();
        let store = Redis::new(server.settings());
        Self {
            server,
            store,
            known: BTreeMap::new(),
        }
    }

    fn revision(&mut self, line: Line) -> Revision {
        let parent = self.head(line.parent());
        let number = u64::from(line.number());
        let revision = Revision {
            number,
            meta: Meta {
                time: number,
                reason: format!("{line:?}"),
                ..Meta::default()
            },
            changes: Vec::new(),
            diff: Vec::new(),
            parent: parent.digest,
        };
        self.known.insert(line, Logged::new(revision.clone()));
        revision
    }

    fn head(&self, line: Line) -> Head {
        self.known
            .get(&line)
            .map_or_else(Head::default, |logged| Head {
                number: logged.revision.number,
                digest: logged.digest,
            })
    }

    fn answer(done: Result<(), StoreError>) -> Answer {
        match done {
            Ok(()) => Answer::Done,
            Err(StoreError::Conflict { .. }) => Answer::Conflict,
            Err(StoreError::Diverged { .. }) => Answer::Diverged,
            Err(other) => panic!("{other}"),
        }
    }

    fn append(&mut self, new: Line) -> Answer {
        let revision = self.revision(new);
        let before = u64::from(new.parent().number());
        let expected = (before > 0).then_some(before);
        Self::answer(self.store.commit(expected, &[revision]))
    }

    fn establish(&mut self, new: Line) -> Answer {
        let revision = self.revision(new);
        Self::answer(self.store.establish(&revision, &Spec::default()))
    }

    fn prune(&mut self, head: Line) {
        let at = self.head(head);
        let spec = Spec::default();
        self.store.checkpoint(at.number, at.digest, &spec).unwrap();
        let oldest = format!("{}-0", at.number);
        self.server
            .call(&["XTRIM", "{pointsman}:log", "MINID", &oldest]);
    }
}

/// What an answer comes to, for a comparison.
fn told<T>(answer: Result<T, StoreError>) -> Result<T, &'static str> {
    answer.map_err(|error| match error {
        StoreError::Pruned { .. } => "pruned",
        StoreError::Diverged { .. } => "diverged",
        other => panic!("{other}"),
    })
}

/// Both, and all lines that there have been.
struct Pair {
    real: Real,
    log: Log,
    lines: Vec<Line>,
    dice: fastrand::Rng,
}

impl Pair {
    fn start(seed: u64) -> Self {
        let mut pair = Self {
            real: Real::start(),
            log: Log::default(),
            lines: vec![Line::EMPTY],
            dice: fastrand::Rng::with_seed(seed),
        };
        assert_eq!(pair.append(Line::first()), "appended");
        pair
    }

    fn append(&mut self, new: Line) -> &'static str {
        self.lines.push(new);
        let answer = self.log.append(new, &Rules::REAL);
        assert_eq!(self.real.append(new), answer, "{new:?} to {:?}", self.log);
        match answer {
            Answer::Done => "appended",
            Answer::Conflict => "conflict",
            Answer::Diverged => "diverged",
        }
    }

    fn force(&mut self, new: Line) -> &'static str {
        self.lines.push(new);
        let answer = self.log.establish(new, &Rules::REAL);
        assert_eq!(
            self.real.establish(new),
            answer,
            "{new:?} to {:?}",
            self.log
        );
        match answer {
            Answer::Done => "forced",
            _ => "force refused",
        }
    }

    fn next(&self, at: Line) -> &'static str {
        let expected = told(self.log.next(at.head(), &Rules::REAL));
        let expected = expected.map(|newer| newer.map(|line| self.real.head(line).digest));
        let (store, at) = (&self.real.store, self.real.head(at));
        let found = told(store.next(at, 256, Duration::ZERO));
        let found = found.map(|newer| newer.last().map(|last| last.digest));
        assert_eq!(found, expected, "{at:?} in {:?}", self.log);
        match expected {
            Ok(Some(_)) => "newer",
            Ok(None) => "nothing newer",
            Err(_) => "no way on",
        }
    }

    fn successor(&self, at: Line) -> &'static str {
        let expected = self.log.successor(at.head(), &Rules::REAL);
        let expected = expected.map(|line| self.real.head(line).digest);
        let found = self.real.store.successor(self.real.head(at)).unwrap();
        let found = found.map(|state| state.digest);
        assert_eq!(found, expected, "{at:?} in {:?}", self.log);
        match expected {
            Some(_) => "successor",
            None => "no successor",
        }
    }

    /// Any call.
    fn call(&mut self) -> &'static str {
        let chosen = match self.dice.bool() {
            true => self.log.head,
            false => self.lines[self.dice.usize(..self.lines.len())],
        };
        let has_room = chosen.steps().count() < 6 && chosen.number() < 12;
        match self.dice.u8(..20) {
            0..6 if has_room => {
                let deed = Deed::Write(self.dice.u8(..3));
                self.append(chosen.and(chosen.number() + 1, deed))
            }
            6 if has_room => {
                let number = chosen.number() + self.dice.u8(1..3);
                let deed = Deed::Force(self.dice.u8(..2));
                self.force(chosen.and(number, deed))
            }
            7 if self.log.head != Line::EMPTY => {
                self.log.floor = self.log.head.number();
                self.real.prune(self.log.head);
                "pruned"
            }
            8 if self.dice.u8(..4) == 0 => {
                self.log = Log::default();
                self.real.server.call(&["FLUSHALL"]);
                "emptied"
            }
            8..15 => self.next(chosen),
            _ => self.successor(chosen),
        }
    }
}

#[test]
fn the_models_log_answers_as_redis_does() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..20 {
        let mut pair = Pair::start(seed);
        for _ in 0..150 {
            *counts.entry(pair.call()).or_insert(0) += 1;
            let stored = pair.real.store.highest().unwrap();
            assert_eq!(stored, u64::from(pair.log.head.number()));
        }
    }
    println!("{counts:?}");
    assert_eq!(counts.len(), 12, "each answer was seen: {counts:?}");
}
