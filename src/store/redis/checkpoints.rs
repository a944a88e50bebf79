use std::collections::BTreeMap;
use std::sync::Arc;

use ::redis::cmd;

use super::connection::Session;
use super::fault::Fault;
use super::log::{self, Top, digest_of, parsed};
use super::{Keys, read as typed, script};
use crate::spec::{Digest, Spec};
use crate::store::chain::sha256;
use crate::store::retention::Mark;
use crate::store::{History, StoreError, Stored};

/// One command's worth: Redis serves nobody else while it takes it in.
const PART: usize = 256 << 10;
/// Far above the text of any state; what says that it is more was not written by a node.
const LARGEST: u64 = 1 << 30;
/// Parts that were never completed go by themselves, after so many seconds.
const ORPHAN: u64 = 3600;

/// A complete checkpoint, unread.
pub(super) struct Found {
    pub(super) mark: Mark,
    digest: Digest,
    pub(super) id: String,
    parts: usize,
    content: String,
}

/// Writes the state part by part, then the line that makes it count.
pub(super) fn write(
    session: &mut Session<'_>,
    keys: &Keys,
    number: u64,
    digest: Digest,
    text: &[u8],
) -> Result<(), Fault> {
    let of_another = || {
        let why = "the checkpoint is of another history".into();
        Fault::Store(StoreError::Diverged { number, why })
    };
    // Before much is sent. The script looks again.
    let logged = log::one(session, keys, number)?;
    if logged.is_none_or(|logged| logged.digest != digest) {
        return Err(of_another());
    }
    let (id, parts) = upload(session, keys, text)?;
    let places = [keys.head(), keys.log(), keys.checkpoints(), keys.parts(&id)];
    let mut command = script(include_str!("complete.lua"), &places);
    command
        .arg(number)
        .arg(digest.to_string())
        .arg(parts)
        .arg(&id)
        .arg(text.len())
        .arg(content(text, number, digest));
    let answer: Vec<String> = typed(&session.ask(&command)?, "the answer to a checkpoint")?;
    match answer.first().map(String::as_str) {
        Some("ok") => Ok(()),
        Some("interrupted") => Err(Fault::Store(StoreError::Interrupted)),
        _ => Err(of_another()),
    }
}

/// Sends a state's text under an id of its own; answers that and the number of parts.
pub(super) fn upload(
    session: &mut Session<'_>,
    keys: &Keys,
    text: &[u8],
) -> Result<(String, usize), Fault> {
    let id = log::new_fleet();
    let key = keys.parts(&id);
    let mut parts = 0;
    for part in text.chunks(PART) {
        let mut push = cmd("RPUSH");
        push.arg(&key).arg(part);
        session.ask(&push)?;
        if parts == 0 {
            let mut expire = cmd("EXPIRE");
            expire.arg(&key).arg(ORPHAN);
            session.ask(&expire)?;
        }
        parts += 1;
    }
    Ok((id, parts))
}

/// What a checkpoint is checked by: its text, and which state it says it is.
pub(super) fn content(text: &[u8], number: u64, digest: Digest) -> String {
    sha256(&[text, &number.to_be_bytes(), &digest.0]).to_string()
}

/// The complete checkpoints, oldest first.
pub(super) fn all(session: &mut Session<'_>, keys: &Keys) -> Result<Vec<Found>, Fault> {
    let mut command = cmd("HGETALL");
    command.arg(keys.checkpoints());
    let found: BTreeMap<String, String> = typed(&session.ask(&command)?, "the checkpoints")?;
    let mut found: Vec<Found> = found
        .iter()
        .filter_map(|(number, line)| match parse(number, line) {
            Ok(found) => Some(found),
            Err(fault) => {
                ::log::warn!("checkpoint {number} is passed over: {fault:?}");
                None
            }
        })
        .collect();
    found.sort_by_key(|found| found.mark.number);
    Ok(found)
}

fn parse(number: &str, line: &str) -> Result<Found, Fault> {
    let what = format!("checkpoint {number}");
    let mut words = line.split(' ');
    let digest = digest_of(words.next().map(str::to_owned), &what)?;
    let id = words.next().unwrap_or_default().to_owned();
    let parts = parsed(words.next(), &what)?;
    Ok(Found {
        mark: Mark {
            number: parsed(Some(number), &what)?,
            bytes: parsed(words.next(), &what)?,
            total: parsed(words.next(), &what)?,
        },
        digest,
        id,
        parts,
        content: words.next().unwrap_or_default().to_owned(),
    })
}

/// The state of a checkpoint, if its text is the one that was written.
pub(super) fn read(session: &mut Session<'_>, keys: &Keys, found: &Found) -> Result<Stored, Fault> {
    let number = found.mark.number;
    let damaged = |what: &str| Fault::Damaged(format!("checkpoint {number}: {what}"));
    if found.mark.bytes > LARGEST {
        return Err(damaged("it says that it is larger than any state"));
    }
    let mut text = Vec::new();
    for place in 0..found.parts {
        let mut command = cmd("LINDEX");
        command.arg(keys.parts(&found.id)).arg(place);
        let part: Option<Vec<u8>> = typed(&session.ask(&command)?, "a part")?;
        text.extend(part.ok_or_else(|| damaged("a part is missing"))?);
        if text.len() as u64 > found.mark.bytes {
            return Err(damaged("it is longer than it says"));
        }
    }
    if content(&text, number, found.digest) != found.content {
        return Err(damaged("its text does not match its digest"));
    }
    let spec: Spec =
        serde_json::from_slice(&text).map_err(|error| damaged(&format!("unreadable: {error}")))?;
    Ok(Stored {
        number,
        digest: found.digest,
        spec: Arc::new(spec),
    })
}

/// Takes away what `keep` does not ask for.
pub(super) fn prune(
    session: &mut Session<'_>,
    keys: &Keys,
    top: &Top,
    keep: &History,
    now: u64,
) -> Result<(), Fault> {
    let found = all(session, keys)?;
    let genesis = log::one(session, keys, 1)?.map(|_| Mark::default());
    let marks: Vec<Mark> = genesis
        .into_iter()
        .chain(found.iter().map(|found| found.mark))
        .collect();
    let mut young = script(include_str!("young.lua"), &[keys.log()]);
    young.arg(keep.cutoff(now));
    let young: Vec<String> = typed(&session.ask(&young)?, "the first young revision")?;
    let young = young.first().and_then(|number| number.parse().ok());
    let floor = keep.floor(&marks, top.head.number, top.total, young);
    let Some(floor) = floor.filter(|floor| *floor > 0) else {
        return Ok(());
    };
    let old: Vec<&Found> = found.iter().filter(|it| it.mark.number < floor).collect();
    let places: Vec<String> = [keys.log(), keys.checkpoints()]
        .into_iter()
        .chain(old.iter().map(|found| keys.parts(&found.id)))
        .collect();
    let mut command = script(include_str!("prune.lua"), &places);
    command.arg(floor);
    for found in old {
        command.arg(found.mark.number);
    }
    session.ask(&command)?;
    Ok(())
}
