mod http;
mod raw;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use async_trait::async_trait;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::{BError, Error, ErrorType, Result};
use pingora_load_balancing::health_check::HealthCheck;
use pingora_load_balancing::{Backend, Extensions};

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

    async fn ask(&self, target: &SocketAddr) -> Result<Option<u16>, Failure> {
        // It is nobody's connection but ours.
        let first = &header(self.check.send_proxy_protocol, None);
        match &self.check.question {
            Question::Connect => raw::connect(target, first).await.map(|_| None),
            Question::Get {
                path,
                host,
                statuses,
            } => {
                let status = http::get(target, first, path, host.as_deref()).await?;
                judge(status, statuses)
            }
            Question::Raw { request, statuses } => {
                let status = raw::ask(target, first, request.as_bytes()).await?;
                judge(status, statuses)
            }
        }
    }
}

fn judge(status: u16, passing: &[StatusRange]) -> Result<Option<u16>, Failure> {
    if passing.iter().any(|range| range.contains(status)) {
        Ok(Some(status))
    } else {
        Err(Failure::Status(status))
    }
}

#[async_trait]
impl HealthCheck for Probe {
    async fn check(&self, target: &Backend) -> Result<()> {
        let status = self.ask(&target.addr).await?;
        if let Some(seen) = target.ext.get::<Seen>() {
            seen.0.store(status.unwrap_or(0), Ordering::Relaxed);
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

/// The status of an answer that passed; 0 when there was none to see. It travels with the target
/// because a `HealthCheck` answers only whether it passed.
#[derive(Clone, Default)]
struct Seen(Arc<AtomicU16>);

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

    pub(super) fn target(&self) -> &Backend {
        &self.target
    }

    /// What the probe that passed saw, in words.
    pub(super) fn seen(&self) -> String {
        match self.seen.0.load(Ordering::Relaxed) {
            0 => "connected".to_owned(),
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
