//! An operator's force: this node's state becomes the fleet's, whatever the store held.

use ::redis::cmd;

use super::checkpoints::{self, content, upload};
use super::connection::Session;
use super::fault::Fault;
use super::log::Appended;
use super::registry::signed;
use super::{Keys, read, script};
use crate::spec::Spec;
use crate::store::StoreError;
use crate::store::chain::Encoded;

/// The highest number that the log or a node on record has had. Where one of them cannot be read, the other counts.
pub(super) fn highest(session: &mut Session<'_>, keys: &Keys) -> Result<u64, Fault> {
    let mut command = cmd("HGET");
    command.arg(keys.head()).arg("number");
    // The number alone: the rest of the head may be damaged. The script reads it the same way.
    let newest = session
        .ask(&command)
        .and_then(|value| read::<Option<String>>(&value, "the head's number"));
    let seen = match newest {
        Ok(text) => text.and_then(|text| text.parse().ok()).unwrap_or(0),
        Err(fault) if fault.ends_connection() => return Err(fault),
        Err(fault) => {
            ::log::warn!("the head is passed over: {fault:?}");
            0
        }
    };
    let mut command = cmd("HVALS");
    command.arg(keys.nodes());
    let nodes = session
        .ask(&command)
        .and_then(|value| read::<Vec<String>>(&value, "the nodes"));
    match nodes {
        Ok(texts) => {
            let nodes = texts.iter().filter_map(|text| signed(text).ok());
            Ok(nodes.map(|node| node.record.applied).fold(seen, u64::max))
        }
        Err(fault) if fault.ends_connection() => Err(fault),
        Err(_) => Ok(seen),
    }
}

/// Replaces all that is stored.
pub(super) fn write(
    session: &mut Session<'_>,
    keys: &Keys,
    fleet: &str,
    revision: &Encoded,
    spec: &Spec,
) -> Result<Appended, Fault> {
    let text = serde_json::to_vec(spec)
        .map_err(|error| Fault::Damaged(format!("the state has no JSON form: {error}")))?;
    let (id, parts) = upload(session, keys, &text)?;
    let mut places = vec![
        keys.head(),
        keys.log(),
        keys.checkpoints(),
        keys.past(),
        keys.parts(&id),
        keys.defaults(),
    ];
    let old = checkpoints::all(session, keys).unwrap_or_default();
    places.extend(old.iter().map(|found| keys.parts(&found.id)));
    let mut command = script(include_str!("establish.lua"), &places);
    command
        .arg(fleet)
        .arg(revision.number)
        .arg(revision.time)
        .arg(revision.digest.to_string())
        .arg(revision.parent.to_string())
        .arg(&revision.body)
        .arg(id)
        .arg(parts)
        .arg(text.len())
        .arg(content(&text, revision.number, revision.digest));
    let answer: Vec<String> = read(&session.ask(&command)?, "the answer to a force")?;
    match answer.first().map(String::as_str) {
        Some("ok") => Ok(Appended::In(fleet.to_owned())),
        Some("foreign") => Ok(Appended::Foreign(
            answer.into_iter().next_back().unwrap_or_default(),
        )),
        Some("conflict") => Err(Fault::Store(StoreError::Conflict { newest: None })),
        _ => Err(Fault::Store(StoreError::Interrupted)),
    }
}
