use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::change::Change;

/// One generation of the state: what changed, by whom, when and why.
///
/// Each carries its parent's digest, so that a history is one line of descent and a revision is
/// only ever applied onto the state it was made for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Counts up by one; the state's ETag.
    pub number: u64,
    /// Who, when, why.
    #[serde(flatten)]
    pub meta: Meta,
    /// The edits, in order; applied to the parent's state they give this one.
    pub changes: Vec<Change>,
    /// The same as paths with the value before and after.
    pub diff: Vec<DiffEntry>,
    /// The digest of the revision before; all zeros for the first.
    pub parent: Digest,
}

/// Who made a change, when, why, and from where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// When it was submitted, in milliseconds since 1970-01-01T00:00:00Z.
    pub time: u64,
    /// The token's name, `anonymous` on loopback without one, `file` for the configuration file.
    pub author: String,
    /// The address that the request came from; empty for the process itself.
    pub source: String,
    /// The operator's own words; may be empty.
    pub reason: String,
    /// Whether the rails were passed by force.
    pub forced: bool,
    /// The revision whose content this one restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts: Option<u64>,
}

/// One value that a revision changed, at its place in the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiffEntry {
    /// A JSON pointer (RFC 6901); servers are named by their address, routes by their id. `/routes` is
    /// their order: the ids of those among which it differs.
    pub path: String,
    /// The value before; `null` when there was none.
    #[schema(value_type = Object, nullable)]
    pub before: Value,
    /// The value after; `null` when it is gone.
    #[schema(value_type = Object, nullable)]
    pub after: Value,
}

/// SHA-256, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

/// The text is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("a digest has 64 hexadecimal digits")]
pub struct DigestError;

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        if text.len() != 64 || !text.is_ascii() {
            return Err(DigestError);
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| DigestError)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| DigestError)?;
        }
        Ok(Self(bytes))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
