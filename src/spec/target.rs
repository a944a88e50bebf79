use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Address, AddressError, Name};

/// Where a route leads: a group, or straight to an address.
///
/// A text that could be both (`10.0.0.5:80` is also a legal name) is a group if one of that name
/// exists, as nginx looks among its `upstream` blocks first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// A group by its name, or an address that is also a legal name.
    Upstream(Name),
    /// An address that cannot be a name (`[v6]:port`, `unix:/path`).
    Address(Address),
}

/// Why a text is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither the name of an upstream nor an address ({reason})")]
pub struct TargetError {
    text: String,
    reason: AddressError,
}

impl Target {
    /// Parses a target. The error gives the reason why it is no address either.
    pub fn new(text: &str) -> Result<Self, TargetError> {
        match (Address::new(text), Name::new(text)) {
            // Canonical first, so that one place is one target: `10.0.0.5:080` is `10.0.0.5:80`.
            (Ok(address), Ok(_)) if text.contains(':') => {
                Ok(Name::new(&address.to_string()).map_or(Self::Address(address), Self::Upstream))
            }
            (_, Ok(name)) => Ok(Self::Upstream(name)),
            (Ok(address), Err(_)) => Ok(Self::Address(address)),
            (Err(reason), Err(_)) => Err(TargetError {
                text: text.to_owned(),
                reason,
            }),
        }
    }

    /// The group of this name, if the target can be one.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Upstream(name) => Some(name),
            Self::Address(_) => None,
        }
    }

    /// The address, if the target can be one.
    pub fn address(&self) -> Option<Address> {
        match self {
            Self::Upstream(name) => Address::new(name.as_str()).ok(),
            Self::Address(address) => Some(address.clone()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;
    fn try_from(text: String) -> Result<Self, TargetError> {
        Self::new(&text)
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}
