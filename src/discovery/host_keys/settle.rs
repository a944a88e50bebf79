//! Reads keys, and submits what they say.

use std::time::Duration;

use tokio::time::sleep;

use super::bulk::spelled_out;
use super::verdict::{Judge, Verdict};
use crate::controller::{Controller, Refusal, Submission, host_keys};
use crate::ports::host_keys::{HostKeyReport, HostKeysTold, plain};
use crate::spec::{ForbiddenAddresses, Meta, Spec, shortened};
use crate::store::{HostKey, HostKeyTable, HostKeyValue, HostKeys, StoreError};

/// What is used for as long as the process lives.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) keys: HostKeys,
    pub(super) controller: Controller,
    pub(super) forbidden: ForbiddenAddresses,
    pub(super) report: HostKeyReport,
    /// The wall clock, in milliseconds since 1970.
    pub(super) clock: fn() -> u64,
}

/// Why something was not done.
enum Failure {
    /// It may succeed later.
    Later(String),
    /// The changes are refused.
    Refused(String),
}

impl Shared {
    /// Reads all keys; answers those that differ from the state.
    pub(super) async fn look_at_all(&self) -> Result<Vec<String>, String> {
        for _ in 0..MOST_RACES {
            let snapshot = self.controller.snapshot().load_full();
            let table = self.read(HostKeys::all).await?;
            let switched = host_keys::switched(snapshot.spec());
            if table.is_kept {
                return Ok(self.judge_all(snapshot.spec(), &table, &switched));
            }
            let revision = snapshot.revision();
            let adopt = self.read(move |keys| keys.adopt(revision, &switched));
            if adopt.await? {
                let prefix = self.keys.prefix();
                log::info!("hosts have keys in Redis that begin with `{prefix}`");
            } else {
                sleep(BREATH).await;
            }
        }
        Err("changes by others came in between".to_owned())
    }

    /// Notes what is wrong with keys; answers those that differ, and the hosts that are switched without one.
    fn judge_all(
        &self,
        spec: &Spec,
        table: &HostKeyTable,
        switched: &[(String, String)],
    ) -> Vec<String> {
        let judge = Judge::new(spec, &self.forbidden);
        let (mut differing, mut judged) = (Vec::new(), Vec::new());
        for (name, key) in &table.keys {
            let mut refused = None;
            match judge.verdict(name, key) {
                Verdict::Refused(why) => refused = Some(why),
                Verdict::Agrees => {}
                Verdict::Differs(..) => differing.push(name.clone()),
            }
            judged.push((name.as_str(), refused));
        }
        tell(&self.report.judge_all(judged));
        let is_there = |key: &&HostKey| key.value != HostKeyValue::Absent;
        let count = table.keys.values().filter(is_there).count();
        let at = (self.clock)();
        self.report.note(|told| (told.at, told.count) = (at, count));
        let hosts = switched.iter().map(|(host, _)| host);
        let without = hosts.filter(|host| !table.keys.contains_key(*host));
        differing.extend(without.cloned());
        differing
    }

    /// Makes hosts lead where their keys say. False: the fleet does not keep these keys any more.
    pub(super) async fn settle(&self, names: &[String]) -> Result<bool, String> {
        match self.attempt(names).await {
            Ok(is_kept) => Ok(is_kept),
            Err(Failure::Later(why)) => Err(why),
            // One of them is not to be done: the others are.
            Err(Failure::Refused(why)) => {
                for name in names {
                    match names.len() {
                        1 => self.refuse(name, &why),
                        _ => self.settle_alone(name).await?,
                    }
                }
                Ok(true)
            }
        }
    }

    async fn settle_alone(&self, name: &String) -> Result<(), String> {
        match self.attempt(std::slice::from_ref(name)).await {
            Ok(_) => {}
            Err(Failure::Later(why)) => return Err(why),
            Err(Failure::Refused(why)) => self.refuse(name, &why),
        }
        Ok(())
    }

    fn refuse(&self, name: &str, why: &str) {
        tell(&self.report.judge([(name, Some(plain(why)))]));
    }

    async fn attempt(&self, names: &[String]) -> Result<bool, Failure> {
        for _ in 0..MOST_RACES {
            // Before the keys: what they say is then at least as new.
            let snapshot = self.controller.snapshot().load_full();
            let asked = names.to_vec();
            let read = self.read(move |keys| keys.some(&asked)).await;
            let table = read.map_err(Failure::Later)?;
            if !table.is_kept {
                return Ok(false);
            }
            let Some(submission) = self.submission(snapshot.spec(), &table) else {
                return Ok(true);
            };
            let submission = Submission {
                found_for: Some(snapshot.revision()),
                ..submission
            };
            let reason = submission.meta.reason.clone();
            match self.controller.submit(submission).await {
                Ok(done) => {
                    log::info!("revision {}: {reason}", done.revision);
                    return Ok(true);
                }
                Err(Refusal::Precondition(_) | Refusal::Outdated) => {}
                Err(
                    refusal @ (Refusal::Store(_)
                    | Refusal::StoreSilent
                    | Refusal::Busy
                    | Refusal::Stopping),
                ) => return Err(Failure::Later(refusal.to_string())),
                Err(refusal) => return Err(Failure::Refused(refusal.to_string())),
            }
        }
        let why = "changes by others came in between".to_owned();
        Err(Failure::Later(why))
    }

    /// The change that leads to what the keys say, if one is needed.
    fn submission(&self, spec: &Spec, table: &HostKeyTable) -> Option<Submission> {
        let judge = Judge::new(spec, &self.forbidden);
        let (mut changes, mut edits) = (Vec::new(), Vec::new());
        let (mut reasons, mut judged) = (Vec::new(), Vec::new());
        for (name, key) in &table.keys {
            let mut why = None;
            match judge.verdict(name, key) {
                Verdict::Agrees => {}
                Verdict::Refused(reason) => why = Some(reason),
                Verdict::Differs(more, edit) => {
                    changes.extend(more);
                    edits.extend(edit);
                    reasons.push(match &key.value {
                        HostKeyValue::Text(to) => format!("key `{name}` is `{to}`"),
                        _ => format!("key `{name}` is gone"),
                    });
                }
            }
            judged.push((name.as_str(), why));
        }
        tell(&self.report.judge(judged));
        let reason = match reasons.as_slice() {
            [] => return None,
            [one] => plain(one),
            more => format!("{} keys of hosts changed", more.len()),
        };
        let meta = Meta {
            time: (self.clock)(),
            author: AUTHOR.to_owned(),
            reason,
            ..Meta::default()
        };
        Some(Submission {
            host_keys: Some(edits),
            ..Submission::new(spelled_out(spec, changes), meta)
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&HostKeys) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, String> {
        let keys = self.keys.clone();
        let done = tokio::task::spawn_blocking(move || read(&keys)).await;
        done.map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())
    }

    /// Notes what is wrong, or that nothing is; a line in the log when that changes.
    pub(super) fn tell(
        &self,
        what: Option<String>,
        place: impl FnOnce(&mut HostKeysTold) -> &mut Option<String>,
    ) {
        let mut before = None;
        let after = what.clone();
        self.report
            .note(|told| before = std::mem::replace(place(told), what));
        match (before, after) {
            (None, Some(why)) => log::warn!("the keys of hosts cannot be followed: {why}"),
            (Some(_), None) => log::info!("the keys of hosts are followed again"),
            _ => {}
        }
    }
}

/// What people see of keys that begin or cease to be refused.
fn tell(news: &[(String, Option<String>)]) {
    for (name, why) in news.iter().take(MOST_LINES) {
        let name = plain(&shortened(name));
        match why {
            Some(why) => log::warn!("key `{name}` is not taken, its host stays where it is: {why}"),
            None => log::info!("key `{name}` is not refused any more"),
        }
    }
    if let Some(more @ 1..) = news.len().checked_sub(MOST_LINES) {
        log::warn!("the same of {more} more keys");
    }
}

/// Changes by others that may come in between before it is tried again later.
const MOST_RACES: usize = 16;
/// Lines in the log about keys that were read together.
const MOST_LINES: usize = 8;
/// Who it is in histories.
const AUTHOR: &str = "redis";
/// Before it is looked whether this node has come as far as the store.
const BREATH: Duration = Duration::from_millis(50);
