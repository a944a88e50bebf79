//! Single values of the file that no other part has a type for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;

use crate::ports::access_log::{LogFormat, LogTarget};
use crate::ports::legacy::Interface;
use crate::spec::{Address, shortened};
use crate::store::StoreSettings;

/// Where to listen: `ip:port`, `[v6]:port` or `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum ListenAddress {
    /// An IP address, perhaps the unspecified one, and a port that is not 0.
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether only this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Whether both cannot be bound at once.
    pub fn overlaps(&self, other: &Self) -> bool {
        let any = |ip: IpAddr| ip.is_unspecified();
        match (self, other) {
            (Self::Tcp(a), Self::Tcp(b)) => {
                let meet = a.ip() == b.ip() || any(a.ip()) || any(b.ip());
                a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && meet
            }
            (Self::Unix(a), Self::Unix(b)) => a == b,
            _ => false,
        }
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text.starts_with("unix:") {
            return match Address::literal(&text) {
                Ok(Address::Unix(path)) => Ok(Self::Unix(PathBuf::from(&*path))),
                Ok(Address::Ip(address)) => Ok(Self::Tcp(address)),
                Ok(name @ (Address::Name(..) | Address::Service(_))) => {
                    Err(format!("`{name}` is no address to listen on"))
                }
                Err(error) => Err(error.to_string()),
            };
        }
        let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        match (text.parse::<SocketAddr>(), port) {
            (Ok(address), _) if address.port() != 0 => Ok(Self::Tcp(address)),
            (Ok(_), _) | (Err(_), Some(Err(_))) => Err(format!(
                "`{}`: a port to listen on is a number from 1 to 65535",
                shortened(&text)
            )),
            (Err(_), _) => Err(format!(
                "`{}` is no address to listen on: write `ip:port`, `[v6]:port` or `unix:/path`",
                shortened(&text)
            )),
        }
    }
}

impl From<ListenAddress> for Address {
    fn from(address: ListenAddress) -> Self {
        match address {
            ListenAddress::Tcp(address) => Self::Ip(address),
            ListenAddress::Unix(path) => Self::Unix(path.to_string_lossy().into()),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An address or a network: `127.0.0.1`, `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(pub IpNet);

impl TryFrom<String> for Network {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let network = text.parse::<IpNet>().map(|network| network.trunc());
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        network.or_else(|_| address()).map(Self).map_err(|_| {
            let text = shortened(&text);
            format!("`{text}` is neither an address nor a network such as 10.0.0.0/8")
        })
    }
}

/// A number of bytes: `512`, `32KiB`, `1GiB`; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SizeText")]
pub struct ByteSize(pub u64);

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "write a size: a number of bytes, or one with B, KiB, MiB, GiB or TiB"
)]
enum SizeText {
    Number(u64),
    Text(String),
}

/// Each unit with its bytes, as a power of two.
const SIZE_UNITS: [(&str, u32); 6] = [
    ("TiB", 40),
    ("GiB", 30),
    ("MiB", 20),
    ("KiB", 10),
    ("B", 0),
    ("", 0),
];

impl TryFrom<SizeText> for ByteSize {
    type Error = String;
    fn try_from(text: SizeText) -> Result<Self, String> {
        let text = match text {
            SizeText::Number(bytes) => return Ok(Self(bytes)),
            SizeText::Text(text) => text,
        };
        let parsed = SIZE_UNITS.iter().find_map(|(unit, power)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(1 << power)
        });
        parsed.map(Self).ok_or_else(|| {
            let text = shortened(&text);
            format!("`{text}` is not a size: write a whole number with B, KiB, MiB, GiB or TiB")
        })
    }
}

/// `state.store`; read in `file/state.rs`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct StoreText(pub(super) StoreSettings);

/// `access_log.path`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct LogText(pub(super) LogTarget);

impl TryFrom<String> for LogText {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "off" => Ok(Self(LogTarget::Off)),
            "stdout" => Ok(Self(LogTarget::Stdout)),
            path => some_path(path)
                .map(|path| Self(LogTarget::File(path)))
                .ok_or("write a file's path, `stdout` or `off`"),
        }
    }
}

/// `access_log.format`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FormatText {
    #[default]
    Json,
    Combined,
    Main,
}

impl From<FormatText> for LogFormat {
    fn from(text: FormatText) -> Self {
        match text {
            FormatText::Json => Self::Json,
            FormatText::Combined => Self::Combined,
            FormatText::Main => Self::Main,
        }
    }
}

/// A legacy interface that a data listener can have.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ListenerInterface(pub(super) Interface);

impl TryFrom<String> for ListenerInterface {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "switch" => Ok(Self(Interface::Switch)),
            "ups" => Ok(Self(Interface::Ups)),
            "ups_api" => Ok(Self(Interface::UpsApi)),
            "dyups" | "upsync" | "plus" => Err(format!(
                "`{text}` is for `control.legacy` only: its paths are common words"
            )),
            _ => Err(format!(
                "unknown variant `{text}`, expected one of `switch`, `ups`, `ups_api`"
            )),
        }
    }
}

/// A path that says something.
pub(super) fn some_path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| Path::new(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        let size = |text: &str| serde_yaml::from_str::<ByteSize>(text).map(|size| size.0);
        assert_eq!(size("1GiB").unwrap(), 1 << 30);
        assert_eq!(size("32KiB").unwrap(), 32 << 10);
        assert_eq!(size("7").unwrap(), 7);
        for bad in ["1GB", "-1", "1.5MiB", "99999999TiB", "GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
