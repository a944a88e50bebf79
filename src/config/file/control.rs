use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

use super::super::settings::{ControlSettings, ControlTls};
use super::super::values::{ListenAddress, Network};
use super::{loopback, networks};
use crate::control::{Role, Token};
use crate::ports::legacy::Interface;
use crate::spec::{Name, NamePattern};

/// Section `control`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ControlFile {
    address: Option<ListenAddress>,
    allow: Option<Vec<Network>>,
    allow_link_local: Option<bool>,
    hosts: Option<Vec<String>>,
    tls: Option<ControlTls>,
    tokens: Option<Vec<TokenFile>>,
    legacy: Option<Vec<Interface>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    name: Name,
    sha256: Sha256Text,
    role: Role,
    upstreams: Option<Vec<NamePattern>>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Sha256Text([u8; 32]);

impl TryFrom<String> for Sha256Text {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong =
            "write the token's SHA-256 as 64 hexadecimal digits (printf %s TOKEN | sha256sum)";
        let mut sum = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(wrong);
        }
        for (byte, pair) in sum.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong)?;
        }
        Ok(Self(sum))
    }
}

impl ControlFile {
    /// With the default where the file says nothing.
    pub(super) fn settle(self) -> ControlSettings {
        let hosts = self.hosts.unwrap_or_default();
        let tokens = self.tokens.unwrap_or_default();
        ControlSettings {
            address: self.address.unwrap_or_else(|| {
                ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 9900)))
            }),
            allow: self.allow.map_or_else(loopback, networks),
            allow_link_local: self.allow_link_local.unwrap_or(false),
            hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            tls: self.tls,
            tokens: tokens.into_iter().map(TokenFile::settle).collect(),
            legacy: self.legacy.unwrap_or_else(|| Interface::ALL.to_vec()),
        }
    }
}

impl TokenFile {
    fn settle(self) -> Token {
        Token {
            name: self.name.to_string(),
            sha256: self.sha256.0,
            role: self.role,
            upstreams: self.upstreams.unwrap_or_else(|| vec![NamePattern::any()]),
        }
    }
}
