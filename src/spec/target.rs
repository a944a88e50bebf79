use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Address, AddressError, Name, shortened};

/// Where a route leads: a group, straight to an address, or to the group named like the request's host.
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
    /// `{host}`: each request's own group, the one named like its host without a port. Never an address.
    Host,
}

/// How [`Target::Host`] is written; no name and no address has braces.
const HOST: &str = "{host}";

/// Why a text is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is neither the name of an upstream nor an address ({reason}) nor `{HOST}`",
    shortened(.text)
)]
pub struct TargetError {
    text: String,
    reason: AddressError,
}

impl Target {
    /// Parses a target. The error gives the reason why it is no address either.
    pub fn new(text: &str) -> Result<Self, TargetError> {
        if text == HOST {
            return Ok(Self::Host);
        }
        match (Address::literal(text), Name::new(text)) {
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

    /// The one group of this name, if the target can be one.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Upstream(name) => Some(name),
            Self::Address(_) | Self::Host => None,
        }
    }

    /// The address, if the target can be one.
    pub fn address(&self) -> Option<Address> {
        match self {
            Self::Upstream(name) => Address::literal(name.as_str()).ok(),
            Self::Address(address) => Some(address.clone()),
            Self::Host => None,
        }
    }

    /// Whether it can lead somewhere although there is no group of its name: an address does, and what
    /// each request decides for itself may.
    pub fn needs_no_group(&self) -> bool {
        matches!(self, Self::Host) || self.address().is_some()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Host => f.write_str(HOST),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_word_is_the_requests_host() {
        assert_eq!(Target::new("{host}"), Ok(Target::Host));
        assert_eq!(Target::Host.to_string(), "{host}");
        assert_eq!((Target::Host.name(), Target::Host.address()), (None, None));
        for other in ["{Host}", "{host", "{host}:80", "host}", " {host}"] {
            assert!(Target::new(other).is_err(), "{other}");
        }
        assert!(matches!(Target::new("host"), Ok(Target::Upstream(_))));
    }

    #[test]
    fn a_target_without_a_group_of_its_name_may_still_lead_somewhere() {
        let needs_none = |text: &str| Target::new(text).unwrap().needs_no_group();
        assert!(needs_none("{host}") && needs_none("10.0.0.5:80") && needs_none("[::1]:80"));
        assert!(!needs_none("web") && !needs_none("web:80x"));
        // A route leads to the addresses of a name by a group that has it as a server.
        assert!(!needs_none("web:80") && !needs_none("srv:web"));
    }
}
