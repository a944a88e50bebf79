mod body;
mod grpc;
mod http;
mod raw;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use async_trait::async_trait;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::{BError, Error, ErrorType, Result};
use pingora_load_balancing::health_check::HealthCheck;
use pingora_load_balancing::{Backend, Extensions};

use self::raw::Wire;
use super::{Check, Question};
use crate::ports::proxy_header::header;
use crate::spec::{Address, StatusRange};

/// Asks one question of one server at a time, over a connection of its own: a kept one would hide a
/// server that no longer accepts. It sets no deadline; whoever calls it does, over the whole probe.
pub struct Probe {
    check: Arc<Check>,
}

impl Probe {
    /// The probe of a group with these checks.
    pub fn new(check: Arc<Check>) -> Self {
        Self { check }
    }

    /// What the answer that passed says.
    async fn ask(&self, target: &SocketAddr, own_name: Option<&Named>) -> Result<u16, Failure> {
        // What cannot be sent needs no connection.
        let get = match &self.check.question {
            Question::Get { path, host, .. } => {
                let host = host_sent(host.as_deref(), target);
                http::get(path, &host).ok_or(Failure::Unsendable)?
            }
            _ => String::new(),
        };
        let mut wire = self.connect(target, own_name).await?;
        match &self.check.question {
            Question::Connect => Ok(CONNECTED),
            Question::Get { statuses, body, .. } => {
                http::ask(&mut *wire, &get, statuses, body.as_deref()).await
            }
            Question::Raw {
                request,
                statuses,
                body: None,
            } => judge(raw::ask(&mut *wire, request.as_bytes()).await?, statuses),
            Question::Raw {
                request,
                statuses,
                body,
            } => http::ask(&mut *wire, request, statuses, body.as_deref()).await,
            Question::Grpc { service, host } => {
                let authority = host_sent(host.as_deref(), target);
                let scheme = match self.check.security {
                    Some(_) => "https",
                    None => "http",
                };
                grpc::check(wire, scheme, &authority, service).await?;
                Ok(SERVING)
            }
        }
    }

    async fn connect(
        &self,
        target: &SocketAddr,
        own_name: Option<&Named>,
    ) -> Result<Box<dyn Wire>, Failure> {
        // It is nobody's connection but ours.
        let first = &header(self.check.send_proxy_protocol, None);
        match &self.check.security {
            None => Ok(raw::open(target, first).await?.into_wire()),
            Some(security) => {
                let is_http2 = matches!(self.check.question, Question::Grpc { .. });
                tls::connect(target, first, security, own_name, is_http2).await
            }
        }
    }
}

fn host_sent(host: Option<&str>, target: &SocketAddr) -> String {
    match (host, target) {
        (Some(host), _) => host.to_owned(),
        (None, SocketAddr::Unix(_)) => "localhost".to_owned(),
        (None, SocketAddr::Inet(address)) => address.to_string(),
    }
}

fn judge(status: u16, passing: &[StatusRange]) -> Result<u16, Failure> {
    if passing.iter().any(|range| range.contains(status)) {
        Ok(status)
    } else {
        Err(Failure::Status(status))
    }
}

#[async_trait]
impl HealthCheck for Probe {
    async fn check(&self, target: &Backend) -> Result<()> {
        let answer = self.ask(&target.addr, target.ext.get::<Named>()).await?;
        if let Some(seen) = target.ext.get::<Seen>() {
            seen.0.store(answer, Ordering::Relaxed);
        }
        Ok(())
    }

    fn health_threshold(&self, success: bool) -> usize {
        let threshold = if success {
            self.check.rise
        } else {
            self.check.fall
        };
        usize::try_from(threshold).unwrap_or(usize::MAX)
    }
}

/// Where the probes of one server go, and what the last one that passed saw there.
pub(super) struct Aim {
    target: Backend,
    seen: Seen,
}

/// The status of an answer that passed, or one of those below, which no status has. It travels with the target
/// because a `HealthCheck` answers only whether it passed.
#[derive(Clone, Default)]
struct Seen(Arc<AtomicU16>);

const CONNECTED: u16 = 0;
const SERVING: u16 = 1;

/// The name by which the state knows the server, if it is one of those that a name stands for.
#[derive(Clone)]
struct Named(Arc<str>);

impl Aim {
    /// At this server, or at another port of it. Fails for a path that no Unix socket can have.
    pub(super) fn new(address: &Address, port: Option<u16>) -> io::Result<Self> {
        let mut addr = match address {
            Address::Ip(address) => SocketAddr::Inet(*address),
            Address::Unix(path) => SocketAddr::Unix(UnixAddr::from_pathname(&**path)?),
            // Of a name the group holds the addresses.
            Address::Name(..) | Address::Service(_) => {
                return Err(io::Error::other("a name is no server"));
            }
        };
        if let Some(port) = port {
            addr.set_port(port);
        }
        let seen = Seen::default();
        let mut ext = Extensions::new();
        ext.insert(seen.clone());
        let target = Backend {
            addr,
            weight: 1,
            ext,
        };
        Ok(Self { target, seen })
    }

    /// The same for a server that was found by this name.
    pub(super) fn found_by(mut self, name: Option<&Address>) -> Self {
        if let Some(Address::Name(name, _)) = name {
            self.target.ext.insert(Named(name.to_string().into()));
        }
        self
    }

    pub(super) fn target(&self) -> &Backend {
        &self.target
    }

    /// What the probe that passed saw, in words.
    pub(super) fn seen(&self) -> String {
        match self.seen.0.load(Ordering::Relaxed) {
            CONNECTED => "connected".to_owned(),
            SERVING => "SERVING".to_owned(),
            status => format!("status {status}"),
        }
    }
}

/// Why a probe failed, in the words of the log and the API.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("connect refused")]
    Refused,
    #[error("no route")]
    NoRoute,
    #[error("connect failed: {0}")]
    Connect(String),
    #[error("closed without an answer")]
    Closed,
    #[error("connection broken: {0}")]
    Broken(String),
    #[error("no HTTP answer")]
    NotHttp,
    #[error("status {0}")]
    Status(u16),
    #[error("text not found in the body")]
    Body,
    #[error("closed within the body")]
    Cut,
    #[error("no TLS connection: {0}")]
    Tls(String),
    #[error("no gRPC answer")]
    NotGrpc,
    #[error("call status {0}")]
    Call(&'static str),
    #[error("health status {0}")]
    Health(&'static str),
    #[error("path or host cannot be sent")]
    Unsendable,
}

impl Failure {
    fn connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::NoRoute,
            _ => Self::Connect(error.to_string()),
        }
    }
}

impl From<Failure> for BError {
    fn from(failure: Failure) -> Self {
        Error::explain(ErrorType::Custom("health probe"), failure.to_string())
    }
}
