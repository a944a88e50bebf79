use std::collections::HashMap;
use std::time::Duration;

use ::redis::{Value, cmd};

use super::connection::Session;
use super::fault::Fault;
use super::wire::MOST;
use super::{Keys, host_keys, read, script};
use crate::spec::{Digest, Revision};
use crate::store::chain::{Encoded, Head};
use crate::store::retention::Mark;
use crate::store::{Backlog, HostKeyEdit, Logged, StoreError, descent};

/// What stands above the log.
pub(super) struct Top {
    pub(super) head: Head,
    /// Bytes of all revisions so far.
    pub(super) total: u64,
    /// Whose log it is; `None` while it is empty.
    pub(super) fleet: Option<String>,
    /// The last revision with which an operator's force began the log anew; 0 without one.
    pub(super) forced: u64,
    /// The newest checkpoint.
    checkpoint: Mark,
}

impl Top {
    /// What a start would replay.
    pub(super) fn backlog(&self) -> Backlog {
        Backlog {
            revisions: self.head.number.saturating_sub(self.checkpoint.number),
            bytes: self.total.saturating_sub(self.checkpoint.total),
            checkpoint: self.checkpoint.bytes,
        }
    }
}

pub(super) fn top(session: &mut Session<'_>, keys: &Keys) -> Result<Top, Fault> {
    let mut command = cmd("HMGET");
    command
        .arg(keys.head())
        .arg(&["number", "digest", "total", "fleet", "forced", "checkpoint"]);
    let found: [Option<String>; 6] = read(&session.ask(&command)?, "the head")?;
    let [number, digest, total, fleet, forced, checkpoint] = found;
    let Some(number) = number else {
        return Ok(Top {
            head: Head::default(),
            total: 0,
            fleet,
            forced: 0,
            checkpoint: Mark::default(),
        });
    };
    let mut mark = checkpoint.iter().flat_map(|text| text.split(' '));
    let mut mark = || mark.next().and_then(|text| text.parse().ok());
    Ok(Top {
        head: Head {
            number: parsed(Some(&number), "the head's number")?,
            digest: digest_of(digest, "the head")?,
        },
        total: parsed(total.as_deref(), "the head's total")?,
        fleet,
        forced: parsed(forced.as_deref().or(Some("0")), "the head's force")?,
        checkpoint: Mark {
            number: mark().unwrap_or(0),
            bytes: mark().unwrap_or(0),
            total: mark().unwrap_or(0),
        },
    })
}

/// Whose log it was.
pub(super) enum Appended {
    /// Ours.
    In(String),
    /// Another fleet's: nothing was written.
    Foreign(String),
}

/// Appends if `before` still is the newest.
pub(super) fn append(
    session: &mut Session<'_>,
    keys: &Keys,
    ours: Option<&str>,
    before: Head,
    revisions: &[Encoded],
    edits: &[HostKeyEdit],
) -> Result<Appended, Fault> {
    let Some(last) = revisions.last() else {
        return Ok(Appended::In(ours.unwrap_or_default().to_owned()));
    };
    if revisions.iter().any(|it| it.body.len() as u64 > LARGEST) {
        let most = LARGEST >> 20;
        let reason = format!("a revision has at most {most} MiB there: make the change in parts");
        return Err(Fault::Unfit(reason));
    }
    let places = [keys.head(), keys.log(), keys.past(), keys.defaults()];
    let mut command = script(include_str!("commit.lua"), &places);
    command
        .arg(ours.unwrap_or_default())
        .arg(new_fleet())
        .arg(before.number)
        .arg(before.digest.to_string())
        .arg(last.number)
        .arg(last.digest.to_string())
        .arg(revisions.len());
    for revision in revisions {
        command
            .arg(revision.number)
            .arg(revision.time)
            .arg(revision.digest.to_string())
            .arg(revision.parent.to_string())
            .arg(&revision.body);
    }
    for edit in edits {
        command.arg(host_keys::words(edit).as_slice());
    }
    let answer: Vec<String> = read(&session.ask(&command)?, "the answer to a commit")?;
    let mut answer = answer.into_iter();
    let (said, what) = (answer.next(), answer.next().unwrap_or_default());
    match said.as_deref() {
        Some("ok") => Ok(Appended::In(what)),
        Some("foreign") => Ok(Appended::Foreign(what)),
        Some("conflict") => {
            let newest: u64 = parsed(Some(&what), "the newest revision")?;
            let newest = (newest > 0).then_some(newest);
            Err(Fault::Store(StoreError::Conflict { newest }))
        }
        Some("diverged") => Err(Fault::Store(StoreError::Diverged {
            number: before.number.saturating_add(1),
            why: format!(
                "its parent is {}, revision {} is {what}",
                before.digest, before.number
            ),
        })),
        _ => Err(Fault::Damaged(what)),
    }
}

/// What tells one fleet's log from another's. Nobody has to guess it, so chance will do.
pub(super) fn new_fleet() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// Each revision after `first` up to `last`, in order.
pub(super) fn between(
    session: &mut Session<'_>,
    keys: &Keys,
    first: u64,
    last: u64,
    mut each: impl FnMut(Logged) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut first = first;
    while first < last {
        let entries = page(session, keys, first.saturating_add(1), last, PAGE)?;
        let Some(newest) = entries.last() else {
            return Ok(());
        };
        first = newest.number;
        for entry in &entries {
            each(entry.decode()?)?;
        }
    }
    Ok(())
}

/// At most `limit` after `number`, oldest first; fewer when the call's time is over.
pub(super) fn since(
    session: &mut Session<'_>,
    keys: &Keys,
    top: Head,
    number: u64,
    limit: usize,
) -> Result<Vec<Logged>, Fault> {
    if number > top.number {
        return Err(Fault::Store(StoreError::Diverged {
            number,
            why: format!("the newest is {}", top.number),
        }));
    }
    let last = number.saturating_add(limit as u64).min(top.number);
    let mut found: Vec<Logged> = Vec::new();
    let mut after = number;
    while after < last && (found.is_empty() || !session.is_over()) {
        let entries = page(session, keys, after.saturating_add(1), last, PAGE)?;
        let Some(newest) = entries.last() else { break };
        after = newest.number;
        for entry in entries {
            link(&mut found, entry.decode()?)?;
        }
    }
    match found.first() {
        Some(first) if first.revision.number == number + 1 => Ok(found),
        None if last == number => Ok(found),
        _ => Err(Fault::Store(StoreError::Pruned { after: number })),
    }
}

/// What comes after `at`; waits for the first.
pub(super) fn next(
    session: &mut Session<'_>,
    keys: &Keys,
    at: Head,
    limit: usize,
    patience: Duration,
) -> Result<Vec<Logged>, Fault> {
    let found = by_page(limit, |count| {
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(count);
        if !patience.is_zero() {
            command.arg("BLOCK").arg(patience.as_millis() as u64);
        }
        command
            .arg("STREAMS")
            .arg(keys.log())
            .arg(format!("{}-0", at.number));
        session.ask_blocking(&command, patience)
    })?;
    let found: Vec<(String, Value)> = match found {
        Value::Nil => return Ok(Vec::new()),
        value => read(&value, "the log")?,
    };
    let mut newer = Vec::new();
    for (_, value) in &found {
        for entry in entries(value)? {
            link(&mut newer, entry.decode()?)?;
        }
    }
    if let Some(first) = newer.first().map(|first: &Logged| &first.revision) {
        descent::follows(at, first.number, first.parent)?;
    }
    Ok(newer)
}

/// Whether this revision is one of the log's line, kept or not.
pub(super) fn was(session: &mut Session<'_>, keys: &Keys, at: Head) -> Result<bool, Fault> {
    let id = format!("{}-0", at.number);
    let mut command = cmd("XRANGE");
    command.arg(keys.past()).arg(&id).arg(&id);
    let found: Vec<(String, HashMap<String, String>)> =
        read(&session.ask(&command)?, "the digests of the past")?;
    let digest = found.first().and_then(|(_, fields)| fields.get("digest"));
    Ok(digest.is_some_and(|digest| *digest == at.digest.to_string()))
}

/// Whether there is a log if the head says so, and only then.
pub(super) fn is_there(session: &mut Session<'_>, keys: &Keys, head: Head) -> Result<(), Fault> {
    let mut command = cmd("XLEN");
    command.arg(keys.log());
    let length: u64 = read(&session.ask(&command)?, "the log's length")?;
    match head.newest() {
        Some(number) if length == 0 => Err(Fault::Damaged(format!(
            "there is no log, though the head names revision {number}"
        ))),
        None if length > 0 => Err(Fault::Damaged("there is a log without a head".into())),
        _ => Ok(()),
    }
}

/// Adds a revision that descends from the last one.
fn link(found: &mut Vec<Logged>, logged: Logged) -> Result<(), Fault> {
    if let Some(before) = found.last() {
        let head = Head {
            number: before.revision.number,
            digest: before.digest,
        };
        let revision = &logged.revision;
        head.step(revision.number, revision.parent, logged.digest)
            .map_err(|why| Fault::Damaged(format!("revision {}: {why}", revision.number)))?;
    }
    found.push(logged);
    Ok(())
}

/// At most `limit` before `before`, newest first, and no more after [`ENOUGH`] bytes of them.
pub(super) fn before(
    session: &mut Session<'_>,
    keys: &Keys,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<Revision>, Fault> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    let mut from = match before {
        None => "+".to_owned(),
        Some(number) if number <= 1 => return Ok(found),
        Some(number) => format!("{}-0", number - 1),
    };
    while found.len() < limit && bytes < ENOUGH {
        let answer = by_page(limit - found.len(), |count| {
            let mut command = cmd("XREVRANGE");
            command.arg(keys.log()).arg(&from).arg("-");
            session.ask(command.arg("COUNT").arg(count))
        })?;
        let entries = entries(&answer)?;
        let Some(oldest) = entries.last() else { break };
        let next = oldest.number.saturating_sub(1);
        for entry in &entries {
            bytes += entry.body.len();
            found.push(entry.decode()?.revision);
            if bytes >= ENOUGH {
                break;
            }
        }
        if next == 0 || session.is_over() {
            break;
        }
        from = format!("{next}-0");
    }
    Ok(found)
}

/// One revision, if it is kept.
pub(super) fn one(
    session: &mut Session<'_>,
    keys: &Keys,
    number: u64,
) -> Result<Option<Logged>, Fault> {
    let found = page(session, keys, number, number, 1)?;
    Ok(found.first().map(Encoded::decode).transpose()?)
}

/// Revisions that replaced a large state are large: an answer has few.
const PAGE: usize = 32;
/// What a node would not take from there is not stored.
const LARGEST: u64 = MOST * 3 / 4;
/// A page of the history ends after the first that brings it here.
const ENOUGH: usize = 4 << 20;

fn page(
    session: &mut Session<'_>,
    keys: &Keys,
    first: u64,
    last: u64,
    count: usize,
) -> Result<Vec<Encoded>, Fault> {
    if first == 0 {
        return Ok(Vec::new());
    }
    let answer = by_page(count, |count| {
        let mut command = cmd("XRANGE");
        command
            .arg(keys.log())
            .arg(format!("{first}-0"))
            .arg(format!("{last}-0"));
        session.ask(command.arg("COUNT").arg(count))
    })?;
    entries(&answer)
}

/// A page of at most `limit` entries, or the first of it alone where they are too large together.
fn by_page(
    limit: usize,
    mut ask: impl FnMut(usize) -> Result<Value, Fault>,
) -> Result<Value, Fault> {
    let count = limit.min(PAGE);
    match ask(count) {
        Err(Fault::TooLarge) if count > 1 => ask(1),
        answer => answer,
    }
}

/// Entries as `XRANGE` gives them.
fn entries(value: &Value) -> Result<Vec<Encoded>, Fault> {
    let found: Vec<(String, HashMap<String, String>)> = read(value, "the log")?;
    found
        .into_iter()
        .map(|(id, mut fields)| {
            let what = format!("entry {id} of the log");
            let number = id.strip_suffix("-0");
            Ok(Encoded {
                number: parsed(number, &what)?,
                time: parsed(fields.get("time").map(String::as_str), &what)?,
                parent: digest_of(fields.remove("parent"), &what)?,
                digest: digest_of(fields.remove("digest"), &what)?,
                body: fields.remove("body").unwrap_or_default(),
            })
        })
        .collect()
}

pub(super) fn parsed<T: std::str::FromStr>(text: Option<&str>, what: &str) -> Result<T, Fault> {
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| Fault::Damaged(format!("{what} is no number")))
}

pub(super) fn digest_of(text: Option<String>, what: &str) -> Result<Digest, Fault> {
    let digest = text.and_then(|text| Digest::try_from(text).ok());
    digest.ok_or_else(|| Fault::Damaged(format!("{what} has no digest")))
}
