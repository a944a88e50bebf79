use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::shortened;

/// Where a server listens: `ip`, `ip:port`, `[v6]:port` or `unix:/path`, in canonical form.
///
/// Canonical: IPv6 in brackets, decimal port, port 80 when none is given, v4-mapped IPv6 unmapped.
/// Two texts for one place are one `Address`, so duplicates are found by `==`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// An IP address and a port that is not 0.
    Ip(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(Arc<str>),
}

/// Why a text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither an address nor a name.
    #[error("`{}` is not an address: write `ip:port`, `[v6]:port` or `unix:/path`", shortened(.0))]
    Malformed(String),
    /// Ports are 1 to 65535.
    #[error("`{}`: a port is a number from 1 to 65535", shortened(.0))]
    Port(String),
    /// A host name, which nothing resolves yet.
    #[error("`{}`: host names are not supported yet, give an IP address", shortened(.0))]
    HostName(String),
    /// `0.0.0.0` and `::` are places to listen, not to connect to.
    #[error("`{}`: the unspecified address is not a server", shortened(.0))]
    Unspecified(String),
    /// A Unix socket without an absolute path.
    #[error(
        "`{}`: a Unix socket needs an absolute path of at most 107 bytes without control characters",
        shortened(.0)
    )]
    UnixPath(String),
}

impl Address {
    /// Parses an address into its canonical form. Errors name the broken rule.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(text, path);
        }
        let (host, port) = split_port(text);
        let Ok(ip) = bare(host).parse::<IpAddr>() else {
            return Err(no_ip(text, host));
        };
        if ip.is_ipv6() && !host.starts_with('[') && port.is_some() {
            return Err(AddressError::Malformed(text.to_owned()));
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(digits) => {
                parse_port(digits).ok_or_else(|| AddressError::Port(text.to_owned()))?
            }
        };
        let ip = ip.to_canonical();
        if ip.is_unspecified() {
            return Err(AddressError::Unspecified(text.to_owned()));
        }
        Ok(Self::Ip(SocketAddr::new(ip, port)))
    }

    /// The IP address and port, unless it is a Unix socket.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

const DEFAULT_PORT: u16 = 80;
/// `sun_path` has 108 bytes with its terminating zero (unix(7)).
const LONGEST_UNIX_PATH: usize = 107;

fn unix(text: &str, path: &str) -> Result<Address, AddressError> {
    let fits = Path::new(path).is_absolute()
        && path.len() <= LONGEST_UNIX_PATH
        && !path.contains(char::is_control);
    fits.then(|| Address::Unix(path.into()))
        .ok_or_else(|| AddressError::UnixPath(text.to_owned()))
}

/// Splits `host:port`; a bare IPv6 address has colons, but no port.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

fn parse_port(digits: &str) -> Option<u16> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|&port| port != 0)
}

/// A text without an IP address is a host name or nonsense. A host whose last label is a number
/// is meant as an address (`127.1`, `0x7f000001`: the URL standard's rule) and so is nonsense here.
fn no_ip(text: &str, host: &str) -> AddressError {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit());
    if host.split('.').all(label) && !numeric {
        AddressError::HostName(text.to_owned())
    } else {
        AddressError::Malformed(text.to_owned())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::new(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Address::new(text).unwrap().to_string()
    }

    #[test]
    fn one_place_has_one_text() {
        assert_eq!(canonical("10.0.0.5"), "10.0.0.5:80");
        assert_eq!(canonical("[::1]:8080"), "[::1]:8080");
        assert_eq!(canonical("::1"), "[::1]:80");
        assert_eq!(canonical("[2001:DB8::1]:080"), "[2001:db8::1]:80");
        assert_eq!(canonical("[::ffff:10.0.0.5]:81"), "10.0.0.5:81");
        assert_eq!(canonical("unix:/run/a.sock"), "unix:/run/a.sock");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_rule() {
        let error = |text: &str| Address::new(text).unwrap_err();
        for port in [
            "10.0.0.5:0",
            "10.0.0.5:70000",
            "10.0.0.5:",
            "10.0.0.5:+80",
            "10.0.0.5:80x",
        ] {
            assert_eq!(error(port), AddressError::Port(port.into()));
        }
        for nonsense in [
            "",
            ":80",
            "10.0.0.5.6:80",
            "127.1:80",
            "2852039166:80",
            "0xa9fea9fe:80",
            "a b:80",
        ] {
            assert_eq!(
                error(nonsense),
                AddressError::Malformed(nonsense.into()),
                "{nonsense}"
            );
        }
        assert_eq!(
            error("app.internal:80"),
            AddressError::HostName("app.internal:80".into())
        );
        assert_eq!(
            error("0.0.0.0:80"),
            AddressError::Unspecified("0.0.0.0:80".into())
        );
        assert_eq!(
            error("unix:a.sock"),
            AddressError::UnixPath("unix:a.sock".into())
        );
    }
}
