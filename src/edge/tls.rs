//! TLS on listeners: the handshake with its deadline, and the certificates, which change while the process runs.
//!
//! The handshake is ours and not Pingora's, which has neither a deadline that can be set nor stateless tickets.

mod certificate;
mod connection;
mod failure;
mod files;
mod turns;
mod watch;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::{Ticketer, default_provider};
use tokio_rustls::rustls::server::{ProducesTickets, WebPkiClientVerifier};

use super::preface::Protocol;
use crate::ports::client_connection::SeenCertificate;
use crate::ports::pem::WatchedFiles;
use crate::ports::telemetry::{HandshakeFailure, Metrics};
use certificate::{Certificates, Seen};
use connection::TlsConnection;
use files::Loaded;
pub use files::{CertificateFiles, TlsFiles, TlsProblem, check};
pub use turns::Turns;
pub use watch::Watch;

/// TLS of one listener: cheap to clone, and all clones change together.
#[derive(Debug, Clone)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: TlsFiles,
    /// The files as they were before they were first read.
    watched: WatchedFiles,
    protocols: Vec<Vec<u8>>,
    turns: Turns,
    /// Read once for each handshake, and written when a file has changed: a lock is all that it needs.
    serving: RwLock<Serving>,
}

/// A connection after its handshake.
pub(super) struct Shaken {
    pub(super) protocol: Protocol,
    pub(super) stream: Stream,
    /// None where it does not matter.
    pub(super) certificate: Option<Arc<dyn SeenCertificate>>,
}

/// What handshakes use.
#[derive(Debug, Clone)]
struct Serving {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    /// Tickets outlive a change of the certificates, but not one of who may connect: the certificate of a client is
    /// looked at in full handshakes only. Each listener has its own, since a ticket of one must not open another.
    tickets: Arc<dyn ProducesTickets>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files; also returns what deserves a warning.
    pub fn open(
        files: TlsFiles,
        http1: bool,
        http2: bool,
        turns: Turns,
    ) -> Result<(Self, Vec<TlsProblem>), TlsProblem> {
        // The preferred one first.
        let offered = [(http2, &b"h2"[..]), (http1, b"http/1.1")];
        let protocols: Vec<_> = offered
            .into_iter()
            .filter(|(is_spoken, _)| *is_spoken)
            .map(|(_, name)| name.to_vec())
            .collect();
        let watched = files.watched();
        let mut loaded = Loaded::read(&files)?;
        let warnings = std::mem::take(&mut loaded.warnings);
        let serving = Serving::new(loaded, &protocols, None)?;
        let tls = Self(Arc::new(Inner {
            files,
            watched,
            protocols,
            turns,
            serving: RwLock::new(serving),
        }));
        Ok((tls, warnings))
    }

    /// Reads the files again; those that do not fit together change nothing. Returns warnings.
    fn reload(&self) -> Result<Vec<TlsProblem>, TlsProblem> {
        let before = self.serving();
        let mut loaded = Loaded::read(&self.0.files)?;
        let warnings = std::mem::take(&mut loaded.warnings);
        let serving = Serving::new(loaded, &self.0.protocols, Some(before))?;
        *self
            .0
            .serving
            .write()
            .unwrap_or_else(PoisonError::into_inner) = serving;
        Ok(warnings)
    }

    fn config(&self) -> (Arc<ServerConfig>, Arc<Certificates>) {
        let serving = self.0.serving.read();
        let serving = serving.unwrap_or_else(PoisonError::into_inner);
        (serving.config.clone(), serving.certificates.clone())
    }

    fn serving(&self) -> Serving {
        let serving = self.0.serving.read();
        serving.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shakes hands. None: it failed, and is counted, or the client left without a word.
    pub(super) async fn accept(
        &self,
        stream: Stream,
        limit: Option<Duration>,
        stopping: impl Future<Output = ()>,
        metrics: &Metrics,
    ) -> Option<Shaken> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let shaken = match deadline {
            Some(deadline) => timeout_at(deadline, self.handshake(stream, stopping))
                .await
                .unwrap_or(Err(Some(HandshakeFailure::Timeout))),
            None => self.handshake(stream, stopping).await,
        };
        match shaken {
            Ok((connection, certificates)) => {
                metrics.handshake_ended(connection.result());
                let protocol = match connection.is_http2() {
                    true => Protocol::Http2,
                    false => Protocol::Http1,
                };
                let name = connection.name();
                let seen = name.and_then(|name| Seen::new(certificates, name));
                Some(Shaken {
                    protocol,
                    stream: Box::new(connection),
                    certificate: seen.map(|seen| Arc::new(seen) as Arc<dyn SeenCertificate>),
                })
            }
            Err(cause) => {
                if let Some(cause) = cause {
                    metrics.handshake_failed(cause);
                }
                None
            }
        }
    }

    async fn handshake(
        &self,
        stream: Stream,
        stopping: impl Future<Output = ()>,
    ) -> Result<(TlsConnection, Arc<Certificates>), Option<HandshakeFailure>> {
        // A new connection is always Pingora's own stream.
        let mut stream = stream.into_any().downcast::<L4Stream>().or(Err(None))?;
        // A connection that is closed without a word is a look whether someone listens, and no failure.
        let mut first = [0];
        let read = tokio::select! {
            biased; // what has arrived is served
            read = stream.read(&mut first) => read,
            () = stopping => return Err(None),
        };
        match read {
            Ok(0) | Err(_) => return Err(None),
            Ok(_) => stream.rewind(&first),
        }
        // What it begins with it ends with, whatever changes meanwhile.
        let (config, certificates) = self.config();
        let shaking = TlsAcceptor::from(config).accept(stream as Stream);
        let shaken = self.0.turns.wait(shaking).await;
        shaken
            .map(|stream| (TlsConnection::new(stream), certificates))
            .map_err(|error| Some(failure::cause(&error)))
    }
}

impl Serving {
    fn new(
        loaded: Loaded,
        protocols: &[Vec<u8>],
        before: Option<Self>,
    ) -> Result<Self, TlsProblem> {
        let provider = Arc::new(default_provider());
        let Loaded {
            certificates,
            client_ca,
            warnings: _,
        } = loaded;
        let (client_ca, roots) = client_ca.map(|ca| (ca.text, ca.roots)).unzip();
        let internal = |error: &dyn std::fmt::Display| TlsProblem::internal(error);
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| internal(&error))?;
        let builder = match roots {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| internal(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let tickets = match before.filter(|before| before.client_ca == client_ca) {
            Some(before) => before.tickets,
            None => Ticketer::new().map_err(|error| internal(&error))?,
        };
        let certificates = Arc::new(certificates);
        let mut config = builder.with_cert_resolver(certificates.clone());
        config.alpn_protocols = protocols.to_vec();
        config.ticketer = tickets.clone();
        // No early data: what it holds can be sent again by anyone who saw it.
        config.max_early_data_size = 0;
        Ok(Self {
            config: Arc::new(config),
            certificates,
            tickets,
            client_ca,
        })
    }
}
