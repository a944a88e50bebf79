//! Where connections enter: which listener took one, which protocol it speaks, how many are open.

mod guard;
mod preface;
mod prior_knowledge;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::server::ShutdownWatch;

use crate::ports::telemetry::Metrics;
use guard::Guard;
pub use guard::GuardLimits;
use preface::Protocol;
pub use prior_knowledge::Http2Limits;
use prior_knowledge::PriorKnowledge;

/// The application behind all listeners of the data plane: hands each connection to the proxy of
/// the listener that took it.
pub struct Edge<A> {
    entrances: Vec<Entrance<A>>,
    open: Connections,
    metrics: Metrics,
}

/// One listener: where it listens, what it speaks, and the proxy behind it.
pub struct Entrance<A> {
    /// Where it listens.
    pub place: Place,
    /// Whether it speaks HTTP/1.1.
    pub http1: bool,
    /// Whether it speaks HTTP/2 with prior knowledge (RFC 9113 section 3.3).
    pub http2: bool,
    /// How long a new connection may be silent.
    pub silence: Duration,
    /// What a client of HTTP/1 may take.
    pub limits: Arc<GuardLimits>,
    /// What a client of HTTP/2 may take.
    pub http2_limits: Http2Limits,
    /// The proxy.
    pub proxy: Arc<A>,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An address; the unspecified one stands for every address with its port.
    Tcp(std::net::SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// How many client connections are open now.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<AtomicUsize>);

impl Connections {
    /// Open now.
    pub fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self) -> Open {
        self.0.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }
}

/// One open connection: counted until this is dropped.
struct Open(Connections);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Edge<A> {
    /// The application for these listeners.
    pub fn new(entrances: Vec<Entrance<A>>, open: Connections, metrics: Metrics) -> Self {
        Self {
            entrances,
            open,
            metrics,
        }
    }

    /// The listener that took a connection, by its local address.
    fn entrance(&self, stream: &Stream) -> Option<&Entrance<A>> {
        if let [only] = self.entrances.as_slice() {
            return Some(only);
        }
        let digest = stream.get_socket_digest();
        let local = digest.as_ref().and_then(|digest| digest.local_addr());
        let exact = self
            .entrances
            .iter()
            .find(|entrance| entrance.place.is(local));
        exact.or_else(|| {
            self.entrances
                .iter()
                .find(|entrance| entrance.place.covers(local))
        })
    }
}

impl Place {
    fn is(&self, local: Option<&SocketAddr>) -> bool {
        match (self, local) {
            (Self::Tcp(place), Some(SocketAddr::Inet(local))) => place == local,
            (Self::Unix(place), Some(SocketAddr::Unix(local))) => {
                local.as_pathname() == Some(place)
            }
            _ => false,
        }
    }

    fn covers(&self, local: Option<&SocketAddr>) -> bool {
        let (Self::Tcp(place), Some(SocketAddr::Inet(local))) = (self, local) else {
            return false;
        };
        place.ip().is_unspecified() && place.port() == local.port()
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for Edge<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let entrance = self.entrance(&stream)?;
        let _open = (self.open.enter(), self.metrics.connection_accepted());
        let (protocol, stream) = if entrance.http2 {
            tokio::select! {
                biased; // what has arrived is served
                found = preface::protocol(stream, entrance.silence) => found?,
                () = stopping(shutdown) => return None,
            }
        } else {
            (Protocol::Http1, stream)
        };
        match protocol {
            // Pingora would serve HTTP/1.1 to a client without the preface.
            Protocol::Http1 if !entrance.http1 => None,
            Protocol::Http1 => {
                let guard = Guard::new(stream, entrance.limits.clone());
                entrance.proxy.process_new(Box::new(guard), shutdown).await
            }
            Protocol::Http2 => {
                Arc::new(PriorKnowledge::new(
                    entrance.proxy.clone(),
                    entrance.http2_limits,
                ))
                .process_new(stream, shutdown)
                .await
            }
        }
    }

    async fn cleanup(&self) {
        for entrance in &self.entrances {
            entrance.proxy.http_cleanup().await;
        }
    }
}

/// Until the process is asked to end: connections that have said nothing need not be waited for.
async fn stopping(shutdown: &ShutdownWatch) {
    let mut shutdown = shutdown.clone();
    if shutdown.wait_for(|stopping| *stopping).await.is_err() {
        // Whoever would ask is gone, and the process with it.
        std::future::pending::<()>().await;
    }
}
