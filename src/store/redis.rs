//! The state in Redis, shared by many nodes: a stream with one entry for each revision, checkpoints in parts.
//!
//! The entry of revision N has the id `N-0`. A script appends, so that the compare-and-set and the
//! writing are one step; `head` names the newest revision, so that lost entries are noticed. All keys have one
//! prefix in braces (one slot of a Redis Cluster), and nothing is asked of the server's configuration.
//! A call takes no longer than [`connection::STEP`] for each answer; only what reads or writes a whole state
//! waits for several.

mod checkpoints;
mod connection;
mod establish;
mod fault;
mod host_keys;
mod log;
mod registry;
mod settings;
mod tracking;
mod wire;

use std::sync::Mutex;
use std::time::Duration;

use ::redis::{Cmd, Value, cmd};

use self::connection::{Connections, STEP, Session};
use self::fault::Fault;
use self::log::Appended;
use super::chain::{Encoded, Head, Replay};
use super::{Backlog, History, HostKeyEdit, Logged, Store, StoreError, Stored, descent, locked};
use crate::spec::{Digest, Revision, Spec};

pub use host_keys::HostKeys;
pub use settings::{RedisSettings, Secret};
pub use tracking::{News, Tracking};

/// The state in Redis.
pub struct Redis {
    place: String,
    keys: Keys,
    connections: Connections,
    /// Whose log it is, as soon as that is known: another fleet's is never taken for ours.
    fleet: Mutex<Option<String>>,
    /// One checkpoint or pruning of this process at a time.
    tidying: Mutex<()>,
}

/// For calls that read or write a whole state, answer by answer.
const WHOLE: Duration = Duration::from_secs(20);

impl Redis {
    /// Nothing is connected before the first call.
    pub fn new(settings: RedisSettings) -> Self {
        Self {
            place: settings.place(),
            keys: Keys {
                prefix: format!("{{{}}}", settings.prefix),
            },
            connections: Connections::new(settings),
            fleet: Mutex::default(),
            tidying: Mutex::default(),
        }
    }

    fn call<T>(
        &self,
        limit: Duration,
        work: impl FnMut(&mut Session<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let done = self.connections.call(limit, work);
        done.map_err(|fault| fault.at(&self.place))
    }

    /// Whose log is ours, once that is known.
    pub(super) fn fleet(&self) -> Option<String> {
        locked(&self.fleet).clone()
    }

    /// From now on only this fleet's log is ours.
    pub(super) fn belong_to(&self, fleet: &str) {
        *locked(&self.fleet) = Some(fleet.to_owned());
    }

    /// The head, if it is not another fleet's.
    fn head(&self, session: &mut Session<'_>) -> Result<log::Top, Fault> {
        let top = log::top(session, &self.keys)?;
        match (&top.fleet, self.fleet()) {
            (Some(found), Some(ours)) if *found != ours => Err(self.of_another(found, &ours)),
            _ => Ok(top),
        }
    }

    fn of_another(&self, found: &str, ours: &str) -> Fault {
        Fault::Store(StoreError::OtherFleet {
            place: self.place.clone(),
            found: found.into(),
            ours: ours.into(),
        })
    }

    /// What was read descends from our state, or is our first: so is the log.
    fn learn(&self, found: Option<&str>) {
        if let (Some(found), None) = (found, self.fleet()) {
            self.belong_to(found);
        }
    }

    /// The newest sound checkpoint up to `number`, and the revisions from there.
    fn state(
        &self,
        session: &mut Session<'_>,
        head: Head,
        number: u64,
    ) -> Result<Option<Stored>, Fault> {
        if number == 0 || number > head.number {
            return Ok(None);
        }
        let Some(mut replay) = self.starting_point(session, number)? else {
            return Ok(None);
        };
        log::between(session, &self.keys, replay.head.number, number, |logged| {
            Ok(replay.apply(&logged)?)
        })?;
        if replay.head.number != number {
            let missing = replay.head.number + 1;
            return Err(Fault::Damaged(format!("revision {missing} is missing")));
        }
        if number == head.number && replay.head.digest != head.digest {
            let what = format!("revision {number} is not the one that the head names");
            return Err(Fault::Damaged(what));
        }
        Ok(Some(replay.finish()))
    }

    fn starting_point(
        &self,
        session: &mut Session<'_>,
        number: u64,
    ) -> Result<Option<Replay>, Fault> {
        let mut first_fault = None;
        let mut found = checkpoints::all(session, &self.keys)?;
        found.retain(|checkpoint| checkpoint.mark.number <= number);
        for found in found.iter().rev() {
            match checkpoints::read(session, &self.keys, found) {
                Ok(stored) => return Ok(Some(Replay::from(stored))),
                Err(fault @ Fault::Damaged(_)) => {
                    ::log::warn!("{}: {fault:?}: passed over", self.place);
                    first_fault.get_or_insert(fault);
                }
                Err(fault) => return Err(fault),
            }
        }
        if log::one(session, &self.keys, 1)?.is_some() {
            return Ok(Some(Replay::default()));
        }
        first_fault.map_or(Ok(None), Err)
    }

    /// What was read while another node pruned may have holes: read once more.
    fn steadily<T>(
        &self,
        mut read: impl FnMut(&mut Session<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.call(WHOLE, |session| match read(session) {
            Err(Fault::Damaged(_)) => read(session),
            done => done,
        })
    }
}

impl Store for Redis {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        self.steadily(|session| {
            let top = self.head(session)?;
            if top.head.newest().is_none() {
                log::is_there(session, &self.keys, top.head)?;
            }
            let state = self.state(session, top.head, top.head.number)?;
            self.learn(top.fleet.as_deref());
            Ok(state)
        })
    }

    fn commit(&self, expected: Option<u64>, revisions: &[Revision]) -> Result<(), StoreError> {
        self.commit_with(expected, revisions, &[])
    }

    fn commit_with(
        &self,
        expected: Option<u64>,
        revisions: &[Revision],
        edits: &[HostKeyEdit],
    ) -> Result<(), StoreError> {
        let encoded = Encoded::all(revisions)?;
        self.call(STEP, |session| {
            // What cannot fit, whatever is stored, need not be sent.
            let (first, parent) = encoded
                .first()
                .map_or((0, Digest::default()), |first| (first.number, first.parent));
            let before = Head {
                number: first.wrapping_sub(1),
                digest: parent,
            };
            if before.admit(expected, &encoded).is_err() || encoded.is_empty() {
                self.head(session)?.head.admit(expected, &encoded)?;
            }
            let ours = self.fleet();
            match log::append(
                session,
                &self.keys,
                ours.as_deref(),
                before,
                &encoded,
                edits,
            )? {
                Appended::In(fleet) => {
                    self.learn(Some(&fleet));
                    Ok(())
                }
                Appended::Foreign(found) => Err(self.of_another(&found, &ours.unwrap_or_default())),
            }
        })
    }

    fn checkpoint(&self, number: u64, digest: Digest, spec: &Spec) -> Result<(), StoreError> {
        let _alone = locked(&self.tidying);
        let text = serde_json::to_vec(spec).map_err(|error| StoreError::Contradiction {
            place: self.place.clone(),
            reason: format!("the state has no JSON form: {error}"),
        })?;
        self.call(WHOLE, |session| {
            checkpoints::write(session, &self.keys, number, digest, &text)
        })
    }

    fn backlog(&self) -> Result<Backlog, StoreError> {
        self.call(STEP, |session| Ok(self.head(session)?.backlog()))
    }

    fn since(&self, number: u64, limit: usize) -> Result<Vec<Logged>, StoreError> {
        self.call(STEP, |session| {
            let head = self.head(session)?.head;
            log::since(session, &self.keys, head, number, limit)
        })
    }

    fn history(&self, before: Option<u64>, limit: usize) -> Result<Vec<Revision>, StoreError> {
        self.call(STEP, |session| {
            log::before(session, &self.keys, before, limit)
        })
    }

    fn revision(&self, number: u64) -> Result<Option<Revision>, StoreError> {
        let found = self.call(STEP, |session| log::one(session, &self.keys, number))?;
        Ok(found.map(|logged| logged.revision))
    }

    fn state_at(&self, number: u64) -> Result<Option<Stored>, StoreError> {
        self.steadily(|session| {
            let head = self.head(session)?.head;
            self.state(session, head, number)
        })
    }

    fn prune(&self, keep: &History, now: u64) -> Result<(), StoreError> {
        let _alone = locked(&self.tidying);
        self.call(WHOLE, |session| {
            let top = self.head(session)?;
            checkpoints::prune(session, &self.keys, &top, keep, now)
        })
    }

    fn next(&self, at: Head, limit: usize, patience: Duration) -> Result<Vec<Logged>, StoreError> {
        self.call(STEP.saturating_add(patience), |session| {
            let newer = log::next(session, &self.keys, at, limit, patience)?;
            if newer.is_empty() || self.fleet().is_none() {
                // Nothing may have come because the log is another's, older, or gone.
                let top = self.head(session)?;
                if newer.is_empty() {
                    descent::ends_at(top.head, at)?;
                    log::is_there(session, &self.keys, top.head)?;
                }
                self.learn(top.fleet.as_deref());
            }
            Ok(newer)
        })
    }

    fn successor(&self, at: Head) -> Result<Option<Stored>, StoreError> {
        self.steadily(|session| {
            let top = self.head(session)?;
            // A force is only for those who know whose it is.
            let forced = self.fleet().map_or(0, |_| top.forced);
            let was = || log::was(session, &self.keys, at);
            match descent::may_succeed(at, top.head.number, forced, was)? {
                true => self.state(session, top.head, top.head.number),
                false => Ok(None),
            }
        })
    }

    fn highest(&self) -> Result<u64, StoreError> {
        self.call(STEP, |session| establish::highest(session, &self.keys))
    }

    fn establish(&self, revision: &Revision, spec: &Spec) -> Result<(), StoreError> {
        let _alone = locked(&self.tidying);
        let encoded = Encoded::new(revision)?;
        let fleet = self.fleet().unwrap_or_else(log::new_fleet);
        self.call(WHOLE, |session| {
            match establish::write(session, &self.keys, &fleet, &encoded, spec)? {
                Appended::In(fleet) => {
                    self.learn(Some(&fleet));
                    Ok(())
                }
                Appended::Foreign(found) => Err(self.of_another(&found, &fleet)),
            }
        })
    }
}

/// Our keys, all with the prefix.
struct Keys {
    prefix: String,
}

impl Keys {
    fn head(&self) -> String {
        format!("{}:head", self.prefix)
    }

    fn log(&self) -> String {
        format!("{}:log", self.prefix)
    }

    /// The digests of all revisions so far, those no longer kept too.
    fn past(&self) -> String {
        format!("{}:past", self.prefix)
    }

    fn checkpoints(&self) -> String {
        format!("{}:checkpoints", self.prefix)
    }

    /// The list of a checkpoint's parts.
    fn parts(&self, id: &str) -> String {
        format!("{}:parts:{id}", self.prefix)
    }

    fn lease(&self, name: &str) -> String {
        format!("{}:lease:{name}", self.prefix)
    }

    fn nodes(&self) -> String {
        format!("{}:nodes", self.prefix)
    }

    fn health(&self) -> String {
        format!("{}:health", self.prefix)
    }

    /// Where hosts led before they were switched, by host.
    fn defaults(&self) -> String {
        format!("{}:defaults", self.prefix)
    }

    /// Never written: whoever waits for it hears what else comes over the connection.
    fn nothing(&self) -> String {
        format!("{}:nothing", self.prefix)
    }
}

/// A script by its text: it is short, and `SCRIPT LOAD` is not for every user.
fn script(text: &str, keys: &[String]) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(text).arg(keys.len()).arg(keys);
    command
}

/// Reads a value as the type that it must have.
fn read<T: ::redis::FromRedisValue>(value: &Value, what: &str) -> Result<T, Fault> {
    ::redis::from_redis_value_ref(value)
        .map_err(|error| Fault::Damaged(format!("{what} cannot be read: {error}")))
}
