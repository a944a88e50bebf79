//! What may come after what. Every decision of a node to go on from its state to another one is one of these, so that
//! the model of the fleet (`tests/model`) decides by the same code.

use super::{Head, StoreError};
use crate::spec::Digest;

/// Whether the first revision that a log has after `at` follows on it.
pub fn follows(at: Head, number: u64, parent: Digest) -> Result<(), StoreError> {
    if at.number.checked_add(1) != Some(number) {
        return Err(StoreError::Pruned { after: at.number });
    }
    if parent != at.digest {
        let why = format!(
            "its parent is {parent}, revision {} is {} here",
            at.number, at.digest
        );
        return Err(StoreError::Diverged { number, why });
    }
    Ok(())
}

/// Whether a log that has nothing after `at` ends there. What is newer came meanwhile.
pub fn ends_at(newest: Head, at: Head) -> Result<(), StoreError> {
    let why = match newest {
        _ if newest.number > at.number || newest == at => return Ok(()),
        Head { number: 0, .. } => "the store is empty".to_owned(),
        Head { number, .. } if number < at.number => format!("the newest in the store is {number}"),
        Head { digest, .. } => format!("it is {digest} in the store, {} here", at.digest),
    };
    let number = at.number;
    Err(StoreError::Diverged { number, why })
}

/// Whether the newest state of a log may be taken over whole at `at`, from where no steps lead to it: only a newer one,
/// and only if an operator's force began the log after `at`, or `at` is one of its past.
pub fn may_succeed<E>(
    at: Head,
    newest: u64,
    forced: u64,
    was: impl FnOnce() -> Result<bool, E>,
) -> Result<bool, E> {
    Ok(newest > at.number && (forced > at.number || was()?))
}

/// The number of a revision with which an operator's force begins the log anew: above all that anyone is known to have
/// seen, so that it is newer for everybody.
pub fn forced_number(stored: u64, served: u64) -> u64 {
    stored.max(served).saturating_add(1)
}
