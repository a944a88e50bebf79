//! The process half as its users take it: every value parsed, every default filled in.
//! "0 = no limit" has become `None` here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::Config;
use super::values::ListenAddress;
use crate::control::{self, Place, Token};
use crate::edge::tls::TlsFiles;
use crate::edge::{ConnectionLimits, ProxyProtocol};
use crate::ports::legacy::Interface;
use crate::spec::Name;
use crate::store::{History, StoreSettings};

/// The process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// This node's name in histories.
    pub node: Name,
    /// Workers of the data plane.
    pub threads: usize,
    /// How many connections clients may have.
    pub connections: ConnectionLimits,
    /// How long requests may finish after SIGTERM.
    pub shutdown_grace: Duration,
    /// Health probes at a time, all groups together.
    pub probe_concurrency: usize,
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where it listens.
    pub address: ListenAddress,
    /// Whether HTTP/1.1 is spoken.
    pub h1: bool,
    /// Whether HTTP/2 is spoken: over TLS by ALPN, else by prior knowledge.
    pub h2: bool,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Whose `X-Forwarded-For` and PROXY header are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The legacy interfaces that are answered here before routing.
    pub legacy: Vec<Interface>,
    /// Who may call them here, by the connection's address.
    pub legacy_allow: Vec<IpNet>,
    /// Its certificates, if it speaks TLS.
    pub tls: Option<TlsFiles>,
    /// What one client may take.
    pub limits: LimitSettings,
}

/// What one client may take. `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// From a head's first byte to its end.
    pub header_timeout: Option<Duration>,
    /// The longest head, and the longest trailers.
    pub header_size: usize,
    /// The most fields.
    pub header_count: usize,
    /// The longest body.
    pub body_size: Option<u64>,
    /// Bytes a second that a client must take or give, after 10 s of waiting for it.
    pub min_rate: Option<u32>,
    /// Between two reads of a body.
    pub body_timeout: Option<Duration>,
    /// Between two requests.
    pub keepalive_timeout: Option<Duration>,
    /// For a TLS handshake.
    pub handshake_timeout: Option<Duration>,
    /// Requests on one connection.
    pub keepalive_requests: Option<u32>,
    /// Requests at a time on one connection with HTTP/2.
    pub h2_streams: u32,
    /// How long a connection with HTTP/2 may be without a request.
    pub h2_idle: Option<Duration>,
    /// How long an upgraded connection may be silent.
    pub websocket_idle: Option<Duration>,
}

/// Where operators connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlSettings {
    /// Where it listens. Off loopback there are tokens and TLS.
    pub address: ListenAddress,
    /// Who may connect.
    pub allow: Vec<IpNet>,
    /// Whether link-local and metadata addresses may become servers.
    pub allow_link_local: bool,
    /// Further names accepted in the Host header, in lower case.
    pub hosts: Vec<String>,
    /// Its certificate.
    pub tls: Option<ControlTls>,
    /// Who may do what. Empty: everyone who may connect may do everything.
    pub tokens: Vec<Token>,
    /// The legacy interfaces that are served here.
    pub legacy: Vec<Interface>,
}

impl ControlSettings {
    /// The same as the control endpoint takes it, with what it needs of the rest of the file.
    pub fn for_control(&self, config: &Config) -> control::ControlSettings {
        control::ControlSettings {
            place: match &self.address {
                ListenAddress::Tcp(address) => Place::Tcp(*address),
                ListenAddress::Unix(path) => Place::Unix(path.clone()),
            },
            allow: self.allow.clone(),
            hosts: self.hosts.clone(),
            tokens: self.tokens.clone(),
            legacy: self.legacy.clone(),
            node: config.server.node.to_string(),
            name_servers: config.name_servers.clone(),
            file: Arc::new(config.seed.clone()),
        }
    }
}

/// A certificate with its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlTls {
    /// The chain, the own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Where revisions are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSettings {
    /// The log of revisions.
    pub store: StoreSettings,
    /// What the keys of hosts begin with, if operators switch hosts by keys in Redis.
    pub host_keys: Option<String>,
    /// How much of it is kept.
    pub history: History,
}
