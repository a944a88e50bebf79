//! Where connections enter: which listener took one, which protocol it speaks, how many are open.

mod admission;
mod guard;
mod half_heads;
mod http2;
mod overload;
mod preface;
mod proxy_protocol;
mod rest;
pub mod tls;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ipnet::IpNet;
use pingora_core::apps::{HttpServerApp, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::server::ShutdownWatch;

use crate::ports::client_connection::SeenCertificate;
use crate::ports::telemetry::{Metrics, Rejection};
use admission::{ByAddress, FromAddress};
pub use admission::{ConnectionLimits, Connections};
use guard::Guard;
pub use guard::GuardLimits;
use half_heads::{HalfHeads, ON_ITS_WAY};
pub use http2::Http2Limits;
use preface::Protocol;
pub use proxy_protocol::ProxyProtocol;
use tls::Tls;

/// The application behind all listeners of the data plane: hands each connection to the proxy of
/// the listener that took it.
pub struct Edge<A> {
    entrances: Vec<Entrance<A>>,
    open: Connections,
    limits: ConnectionLimits,
    by_address: Option<ByAddress>,
    half_heads: HalfHeads,
    metrics: Metrics,
}

/// One listener: where it listens, what it speaks, and the proxy behind it.
pub struct Entrance<A> {
    /// Where it listens.
    pub place: Place,
    /// Whether it speaks HTTP/1.1.
    pub http1: bool,
    /// Whether it speaks HTTP/2: over TLS by ALPN, else with prior knowledge (RFC 9113 section 3.3).
    pub http2: bool,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Whose PROXY header is believed. They pass on the connections of many, and have no limit of their own.
    pub trusted_proxies: Vec<IpNet>,
    /// Its certificates, if it speaks TLS.
    pub tls: Option<Tls>,
    /// How long a handshake may take.
    pub handshake_timeout: Option<Duration>,
    /// How long a new connection may be silent.
    pub silence: Duration,
    /// What a client of HTTP/1 may take.
    pub limits: Arc<GuardLimits>,
    /// What a client of HTTP/2 may take.
    pub http2_limits: Http2Limits,
    /// The proxy.
    pub proxy: Arc<A>,
}

/// A connection whose protocol is known.
struct Opened {
    protocol: Protocol,
    stream: Stream,
    /// When its first byte came, if that was read already.
    since: Option<Instant>,
    certificate: Option<Arc<dyn SeenCertificate>>,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An address; the unspecified one stands for every address with its port.
    Tcp(std::net::SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl<A: HttpServerApp + Send + Sync + 'static> Edge<A> {
    /// The application for these listeners.
    pub fn new(
        entrances: Vec<Entrance<A>>,
        open: Connections,
        limits: ConnectionLimits,
        metrics: Metrics,
    ) -> Self {
        Self {
            entrances,
            open,
            limits,
            by_address: limits.per_address.map(ByAddress::new),
            half_heads: HalfHeads::default(),
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

impl<A: HttpServerApp + Send + Sync + 'static> Edge<A> {
    /// The connection behind its PROXY header, if it is to have one. None: it is over.
    async fn without_proxy_header(&self, entrance: &Entrance<A>, stream: Stream) -> Option<Stream> {
        let Some(mode) = entrance.proxy_protocol else {
            return Some(stream);
        };
        let received = match (entrance.trusts(&stream), mode) {
            // Boxed: connections without the header would carry what only these need.
            (true, _) => Box::pin(proxy_protocol::receive(stream, mode, entrance.silence)).await,
            (false, ProxyProtocol::Accept) => Ok(stream),
            (false, ProxyProtocol::Require) => Err(Some(Rejection::ProxyUntrusted)),
        };
        match received {
            Ok(stream) => Some(stream),
            Err(cause) => {
                if let Some(cause) = cause {
                    self.metrics.connection_rejected(cause);
                }
                None
            }
        }
    }

    /// The client's place among those of its address; an error if it has too many.
    fn admit(&self, entrance: &Entrance<A>, stream: &Stream) -> Result<Option<FromAddress>, ()> {
        let (Some(by_address), Some(client)) = (&self.by_address, remote(stream)) else {
            return Ok(None);
        };
        if entrance.trusts(stream) {
            return Ok(None);
        }
        by_address.enter(client).map(Some).ok_or(())
    }

    /// The connection with its protocol agreed on or told by its first bytes. None: it is over.
    async fn open_protocol(
        &self,
        entrance: &Entrance<A>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Opened> {
        Some(match &entrance.tls {
            Some(tls) => {
                let limit = entrance.handshake_timeout;
                // Boxed: plain connections would carry what only these need.
                let shaken =
                    Box::pin(tls.accept(stream, limit, stopped(shutdown), &self.metrics)).await?;
                Opened {
                    protocol: shaken.protocol,
                    stream: shaken.stream,
                    since: None,
                    certificate: shaken.certificate,
                }
            }
            None if entrance.http2 => {
                let limit = entrance.limits.header_timeout;
                let found = tokio::select! {
                    biased; // what has arrived is served
                    found = preface::protocol(stream, entrance.silence, limit) => found?,
                    () = stopped(shutdown) => return None,
                };
                Opened {
                    protocol: found.protocol,
                    stream: found.stream,
                    since: Some(found.since),
                    certificate: None,
                }
            }
            None => Opened {
                protocol: Protocol::Http1,
                stream,
                since: None,
                certificate: None,
            },
        })
    }

    /// Closes a connection that is one too many, with an answer where one can be read.
    async fn turn_away(&self, entrance: &Entrance<A>, stream: Stream, cause: Rejection) {
        self.metrics.connection_rejected(cause);
        if entrance.http1 && entrance.tls.is_none() {
            // Boxed: every connection would carry its buffer.
            Box::pin(overload::answer(stream)).await;
        }
    }
}

impl<A> Entrance<A> {
    fn trusts(&self, stream: &Stream) -> bool {
        let is_trusted =
            |address: IpAddr| self.trusted_proxies.iter().any(|it| it.contains(&address));
        remote(stream).is_some_and(is_trusted)
    }
}

/// What a connection with HTTP/1 goes through, for the fuzzer.
#[cfg(fuzzing)]
pub fn guarded(stream: Stream, limits: Arc<GuardLimits>) -> Stream {
    Box::new(Guard::new(stream, limits, None))
}

/// What a connection with HTTP/2 goes through.
#[cfg(fuzzing)]
pub fn guarded_http2(stream: Stream, limits: Arc<GuardLimits>) -> Stream {
    let rest = Arc::new(rest::Rest::new(Instant::now(), None));
    Box::new(Guard::of_http2(stream, limits, None, rest, Metrics::new()))
}

/// Where a connection comes from; with a PROXY header, what that says.
fn remote(stream: &Stream) -> Option<IpAddr> {
    let digest = stream.get_socket_digest()?;
    let address = digest.peer_addr()?.as_inet()?;
    Some(address.ip().to_canonical())
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
        let Some(open) = self.open.enter(self.limits) else {
            self.turn_away(entrance, stream, Rejection::TooMany).await;
            return None;
        };
        let open = (open, self.metrics.connection_accepted());
        let stream = tokio::select! {
            biased; // what has arrived is served
            stream = self.without_proxy_header(entrance, stream) => stream?,
            () = stopped(shutdown) => return None,
        };
        let Ok(from) = self.admit(entrance, &stream) else {
            drop(open);
            let cause = Rejection::TooManyFromAddress;
            self.turn_away(entrance, stream, cause).await;
            return None;
        };
        let place = (open, from);
        let Opened {
            protocol,
            stream,
            since,
            certificate,
        } = self.open_protocol(entrance, stream, shutdown).await?;
        match protocol {
            // Pingora would serve HTTP/1.1 to a client without the preface.
            Protocol::Http1 if !entrance.http1 => None,
            Protocol::Http1 => {
                let guard = Guard::new(stream, entrance.limits.clone(), certificate)
                    .begun(since)
                    .counted(self.half_heads.clone())
                    .with_place(Box::new(place));
                entrance.proxy.process_new(Box::new(guard), shutdown).await
            }
            Protocol::Http2 => {
                let limits = entrance.limits.clone();
                let place = Arc::new(place);
                let metrics = self.metrics.clone();
                let guarded = |rest| -> Stream {
                    let guard = Guard::of_http2(stream, limits, certificate, rest, metrics);
                    Box::new(guard.with_place(Box::new(place.clone())))
                };
                let proxy = entrance.proxy.clone();
                let stopping = stopping(shutdown);
                http2::serve(
                    proxy,
                    entrance.http2_limits,
                    place.clone(),
                    guarded,
                    stopping,
                )
                .await
            }
        }
    }

    async fn cleanup(&self) {
        // From here on no head is read. Until then requests are answered with `Connection: close`.
        self.half_heads.gone().await;
        for entrance in &self.entrances {
            entrance.proxy.http_cleanup().await;
        }
    }
}

/// Until connections that have said nothing need not be waited for: the process is asked to end, and what was on its way
/// then has come. A socket may hold a request that nobody was told of yet.
async fn stopped(shutdown: &ShutdownWatch) {
    stopping(shutdown).await;
    tokio::time::sleep(ON_ITS_WAY).await;
}

/// Until the process is asked to end.
async fn stopping(shutdown: &ShutdownWatch) {
    let mut shutdown = shutdown.clone();
    if shutdown.wait_for(|stopping| *stopping).await.is_err() {
        // Whoever would ask is gone, and the process with it.
        std::future::pending::<()>().await;
    }
}
