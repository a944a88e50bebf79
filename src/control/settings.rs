use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;

use crate::discovery::NameServers;
use crate::ports::legacy::Interface;
use crate::spec::{Name, NamePattern, Spec};

/// What the control endpoint needs to know about its surroundings.
#[derive(Debug, Clone)]
pub struct ControlSettings {
    /// Where it listens: decides which Host headers are its own.
    pub place: Place,
    /// Who may connect. Says nothing about a Unix socket, whose file has its own permissions.
    pub allow: Vec<IpNet>,
    /// Further names accepted in the Host header, in lower case.
    pub hosts: Vec<String>,
    /// Who may do what. Empty: on loopback and on a Unix socket everyone may do everything, elsewhere
    /// nobody anything.
    pub tokens: Vec<Token>,
    /// The legacy interfaces served here.
    pub legacy: Vec<Interface>,
    /// Who is asked by legacy interfaces that refuse names which are not known.
    pub name_servers: NameServers,
    /// This node's name.
    pub node: String,
    /// The file's half of the state, to say whether it differs.
    pub file: Arc<Spec>,
}

/// Where the control endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An address; the unspecified one stands for every address with its port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Place {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Whether a connection to `ip` may have come in here; `local` is where it ended.
    pub(super) fn covers(&self, ip: IpAddr, local: Option<IpAddr>) -> bool {
        let Self::Tcp(own) = self else { return false };
        let own = own.ip().to_canonical();
        own == ip || local == Some(ip) || own.is_loopback() && ip.is_loopback()
    }
}

/// What a bearer of a token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name in histories.
    pub name: String,
    /// The SHA-256 of the token; the token itself is kept nowhere.
    pub sha256: [u8; 32],
    /// What it may do.
    pub role: Role,
    /// The upstreams it may do it to.
    pub upstreams: Vec<NamePattern>,
}

/// What a token may do; each may do what the one before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Read,
    /// Change servers, switch routes.
    Operate,
    /// Everything.
    Admin,
}

impl Token {
    /// Whether it may touch this group.
    pub(super) fn covers(&self, upstream: &Name) -> bool {
        self.upstreams
            .iter()
            .any(|pattern| pattern.matches(upstream))
    }

    /// Whether it may touch every group.
    pub(super) fn covers_all(&self) -> bool {
        self.upstreams.iter().any(NamePattern::is_any)
    }
}
