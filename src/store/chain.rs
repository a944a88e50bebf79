use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{StoreError, Stored};
use crate::spec::{Digest, Revision, Spec};

/// SHA-256 over the revision's JSON text, which holds its parent's digest.
///
/// The text is canonical: fields in declaration order, map keys sorted, no blanks. For a revision
/// that was read from a store take [`Logged::digest`]: it covers the text as it was stored, which
/// a later version of this program need not reproduce.
pub fn digest(revision: &Revision) -> Digest {
    // Cannot fail: every key is a string, and memory takes every byte.
    sha256(&[&serde_json::to_vec(revision).unwrap_or_default()])
}

/// A revision as the log has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// The revision.
    pub revision: Revision,
    /// The digest of its stored text.
    pub digest: Digest,
    /// That text, for another store: this version of the program need not reproduce it.
    pub text: String,
}

impl Logged {
    /// A revision as this version writes it.
    pub fn new(revision: Revision) -> Self {
        // Cannot fail: see `digest`.
        let text = serde_json::to_string(&revision).unwrap_or_default();
        Self {
            digest: sha256(&[text.as_bytes()]),
            revision,
            text,
        }
    }
}

/// A revision as text, ready for a log.
pub(super) struct Encoded {
    pub(super) number: u64,
    pub(super) time: u64,
    pub(super) parent: Digest,
    pub(super) digest: Digest,
    pub(super) body: String,
}

impl Encoded {
    pub(super) fn new(revision: &Revision) -> Result<Self, StoreError> {
        let body = readable(revision).map_err(|why| StoreError::Unreadable {
            number: revision.number,
            why,
        })?;
        Ok(Self {
            number: revision.number,
            time: revision.meta.time,
            parent: revision.parent,
            digest: sha256(&[body.as_bytes()]),
            body,
        })
    }

    /// The same text again, for another log.
    pub(super) fn again(logged: &Logged) -> Self {
        let revision = &logged.revision;
        Self {
            number: revision.number,
            time: revision.meta.time,
            parent: revision.parent,
            digest: logged.digest,
            body: logged.text.clone(),
        }
    }

    pub(super) fn all(revisions: &[Revision]) -> Result<Vec<Self>, StoreError> {
        revisions.iter().map(Self::new).collect()
    }

    /// The revision, if its text is what the digest covers and every field says what the text says.
    pub(super) fn decode(&self) -> Result<Logged, Damage> {
        let damaged = |what: &str| Damage(format!("revision {}: {what}", self.number));
        if sha256(&[self.body.as_bytes()]) != self.digest {
            return Err(damaged("its text does not match its digest"));
        }
        let revision: Revision = serde_json::from_str(&self.body)
            .map_err(|error| damaged(&format!("unreadable: {error}")))?;
        let said = (revision.number, revision.meta.time, revision.parent);
        if said != (self.number, self.time, self.parent) {
            return Err(damaged("its columns do not match its text"));
        }
        Ok(Logged {
            revision,
            digest: self.digest,
            text: self.body.clone(),
        })
    }
}

/// The revision's text, which says the same when it is read: a log with one text that does not is lost from there on.
fn readable(revision: &Revision) -> Result<String, String> {
    let text = serde_json::to_string(revision).map_err(|error| error.to_string())?;
    let read: Revision = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    match read == *revision {
        true => Ok(text),
        false => Err("it would be read as another".to_owned()),
    }
}

/// The content contradicts itself; what and where.
#[derive(Debug)]
pub(super) struct Damage(pub(super) String);

/// The newest revision of a log: its number and digest; 0 and zeros when it is empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// The revision's number.
    pub number: u64,
    /// Its digest.
    pub digest: Digest,
}

impl Head {
    pub(super) fn newest(self) -> Option<u64> {
        (self.number > 0).then_some(self.number)
    }

    /// The compare-and-set: what the caller took for the newest must be it, and the new ones must
    /// descend from it one by one.
    pub(super) fn admit(self, expected: Option<u64>, next: &[Encoded]) -> Result<Self, StoreError> {
        let newest = self.newest();
        if newest != expected {
            return Err(StoreError::Conflict { newest });
        }
        next.iter().try_fold(self, |head, revision| {
            head.step(revision.number, revision.parent, revision.digest)
                .map_err(|why| StoreError::Diverged {
                    number: revision.number,
                    why,
                })
        })
    }

    /// The head after a revision that descends from this one; else why it does not.
    pub fn step(self, number: u64, parent: Digest, digest: Digest) -> Result<Self, String> {
        if self.number.checked_add(1) != Some(number) {
            return Err(format!("it comes after {}", self.number));
        }
        if parent != self.digest {
            return Err(format!(
                "its parent is {parent}, revision {} is {}",
                self.number, self.digest
            ));
        }
        Ok(Self { number, digest })
    }
}

/// A state on its way from a checkpoint to a revision.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) head: Head,
    spec: Spec,
}

impl Replay {
    pub(super) fn from(checkpoint: Stored) -> Self {
        Self {
            head: Head {
                number: checkpoint.number,
                digest: checkpoint.digest,
            },
            spec: Arc::unwrap_or_clone(checkpoint.spec),
        }
    }

    pub(super) fn apply(&mut self, logged: &Logged) -> Result<(), Damage> {
        let Logged {
            revision, digest, ..
        } = logged;
        let number = revision.number;
        let damaged = |why: String| Damage(format!("revision {number}: {why}"));
        self.head = self
            .head
            .step(number, revision.parent, *digest)
            .map_err(damaged)?;
        for change in &revision.changes {
            change
                .apply(&mut self.spec, number)
                .map_err(|error| damaged(error.to_string()))?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Stored {
        Stored {
            number: self.head.number,
            digest: self.head.digest,
            spec: Arc::new(self.spec),
        }
    }
}

pub(super) fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    Digest(hash.finalize().into())
}
