use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{DnsName, shortened};

/// Where a server listens: `ip`, `ip:port`, `[v6]:port`, `unix:/path`, `name:port` or `srv:name`, in
/// canonical form.
///
/// Canonical: IPv6 in brackets, names in lower case, decimal port, port 80 when none is given, v4-mapped IPv6
/// unmapped. Two texts for one place are one `Address`, so duplicates are found by `==`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// An IP address and a port that is not 0.
    Ip(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(Arc<str>),
    /// Every address of a name, at this port.
    Name(DnsName, u16),
    /// The places that the SRV records of a name list.
    Service(DnsName),
}

/// Why a text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither an address nor a name.
    #[error(
        "`{}` is not an address: write `ip:port`, `[v6]:port`, `unix:/path`, `name:port` or `srv:name`",
        shortened(.0)
    )]
    Malformed(String),
    /// Ports are 1 to 65535.
    #[error("`{}`: a port is a number from 1 to 65535", shortened(.0))]
    Port(String),
    /// A name where only an address can stand.
    #[error("`{}`: a name is not resolved here, give an IP address", shortened(.0))]
    Name(String),
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
        // `unix:80` and `srv:80` are hosts of that name: no absolute path and no name of DNS is a number.
        let behind = |scheme| text.strip_prefix(scheme).filter(|rest| !is_number(rest));
        if let Some(path) = behind("unix:") {
            return unix(text, path);
        }
        if let Some(name) = behind("srv:") {
            let service = DnsName::new(name).map(Self::Service);
            return service.ok_or_else(|| AddressError::Malformed(text.to_owned()));
        }
        let (host, port) = split_port(text);
        let Ok(ip) = bare(host).parse::<IpAddr>() else {
            return named(text, host, port);
        };
        if ip.is_ipv6() && !host.starts_with('[') && port.is_some() {
            return Err(AddressError::Malformed(text.to_owned()));
        }
        let port = port_of(text, port)?;
        let ip = ip.to_canonical();
        if ip.is_unspecified() {
            return Err(AddressError::Unspecified(text.to_owned()));
        }
        Ok(Self::Ip(SocketAddr::new(ip, port)))
    }

    /// Parses an address as [`Address::new`] does, but takes no name.
    pub fn literal(text: &str) -> Result<Self, AddressError> {
        let address = Self::new(text)?;
        match address.is_name() {
            false => Ok(address),
            true => Err(AddressError::Name(text.to_owned())),
        }
    }

    /// The IP address and port, unless it is a Unix socket or a name.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) | Self::Name(..) | Self::Service(_) => None,
        }
    }

    /// Whether DNS says where it is.
    pub fn is_name(&self) -> bool {
        matches!(self, Self::Name(..) | Self::Service(_))
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

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn parse_port(digits: &str) -> Option<u16> {
    is_number(digits)
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|&port| port != 0)
}

/// A text without an IP address is a name or nonsense.
fn named(text: &str, host: &str, port: Option<&str>) -> Result<Address, AddressError> {
    let name = DnsName::new(host).ok_or_else(|| AddressError::Malformed(text.to_owned()))?;
    Ok(Address::Name(name, port_of(text, port)?))
}

fn port_of(text: &str, port: Option<&str>) -> Result<u16, AddressError> {
    let parsed = port.map_or(Some(DEFAULT_PORT), parse_port);
    parsed.ok_or_else(|| AddressError::Port(text.to_owned()))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Service(name) => write!(f, "srv:{name}"),
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
        assert_eq!(canonical("App.Internal"), "app.internal:80");
        assert_eq!(canonical("app.internal.:080"), "app.internal.:80");
        assert_eq!(canonical("srv:_HTTP._tcp.app"), "srv:_http._tcp.app");
    }

    #[test]
    fn a_host_may_be_called_srv_or_unix() {
        assert_eq!(canonical("srv"), "srv:80");
        assert_eq!(canonical("unix"), "unix:80");
        assert_eq!(canonical("UNIX:080"), "unix:80");
        assert_eq!(canonical("unix:80"), "unix:80");
        assert!(matches!(Address::new("srv:8080"), Ok(Address::Name(..))));
        assert!(matches!(Address::new("srv:a"), Ok(Address::Service(_))));
        // A service says its ports itself.
        assert!(Address::new("srv:app.internal:80").is_err());
    }

    #[test]
    fn where_nothing_resolves_a_name_is_refused() {
        for name in ["app.internal:80", "srv:app"] {
            assert_eq!(Address::literal(name), Err(AddressError::Name(name.into())));
        }
        assert_eq!(Address::literal("::1"), Address::new("::1"));
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
            "app.internal:0",
            "app.internal:",
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
            "-a:80",
            "a..b",
            "srv:",
            "srv:-a",
        ] {
            assert_eq!(
                error(nonsense),
                AddressError::Malformed(nonsense.into()),
                "{nonsense}"
            );
        }
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
