//! The strict guard of HTTP/1 connections: reads each message by [`crate::strict`] before Pingora sees it.
//!
//! A head is passed on when it is whole and keeps every rule, a body as far as it does. In place of a message that
//! breaks one Pingora gets a request of ours, so that the refusal is answered and logged like every answer, and in its
//! turn behind the requests before it; nothing is read from the connection after that.

mod closing;
mod deadline;
mod frame;
mod frames;
mod multiplexed;
mod plumbing;
mod reading;
mod refused;
mod streams;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::StatusCode;
use pingora_core::protocols::Stream;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_http::ResponseHeader;

use self::deadline::{Deadline, Pace};
use self::frames::Frames;
use self::reading::Stage;
use super::half_heads::{HalfHead, HalfHeads};
use super::rest::Rest;
use crate::ports::client_connection::{ClientConnection, Http2Connection, SeenCertificate};
use crate::ports::telemetry::Metrics;
use crate::strict::HeadLimits;

/// What one client may take.
#[derive(Debug, Clone)]
pub struct GuardLimits {
    /// The size of heads and of trailers, and the number of fields.
    pub head: HeadLimits,
    /// From a head's first byte to its end, in all.
    pub header_timeout: Option<Duration>,
    /// Between two reads of a body, and for a write to make progress.
    pub body_timeout: Option<Duration>,
    /// The longest body, in bytes.
    pub body_size: Option<u64>,
    /// How long a connection without a request is kept.
    pub keepalive_timeout: Option<Duration>,
    /// Bytes a second that a client must take or give, after the first 10 s of waiting for it.
    pub min_rate: Option<u32>,
}

/// One guarded connection.
#[derive(Debug)]
pub(super) struct Guard {
    stream: Stream,
    connection: Arc<ClientConnection>,
    /// How the proxy finds `connection`.
    digest: Option<Arc<ProxyDigest>>,
    limits: Arc<GuardLimits>,
    /// Read and not passed on.
    buffer: BytesMut,
    /// The first of these bytes may be passed on.
    passed: usize,
    stage: Stage,
    reading: Deadline,
    writing: Deadline,
    given: Pace,
    taken: Pace,
    /// How much the stream took since a flush is pending.
    flushing: Option<usize>,
    /// Whether the client waits to be asked for its body: that is not its slowness.
    awaits_word: bool,
    half_heads: Option<HalfHeads>,
    /// Counts a head that has begun and not ended.
    half_head: Option<HalfHead>,
    /// Counts the connection as open.
    place: Option<Place>,
}

/// What counts a connection for as long as its socket is open.
pub(super) type Place = Box<dyn fmt::Debug + Send + Sync>;

impl Guard {
    /// Guards a connection that carries HTTP/1, whose client saw this certificate.
    pub(super) fn new(
        stream: Stream,
        limits: Arc<GuardLimits>,
        certificate: Option<Arc<dyn SeenCertificate>>,
    ) -> Self {
        let connection = Arc::new(ClientConnection::new(certificate));
        Self {
            stream,
            digest: digest(Box::new(connection.clone())),
            connection,
            limits,
            buffer: BytesMut::new(),
            passed: 0,
            stage: Stage::default(),
            reading: Deadline::default(),
            writing: Deadline::default(),
            given: Pace::default(),
            taken: Pace::default(),
            flushing: None,
            awaits_word: false,
            half_heads: None,
            half_head: None,
            place: None,
        }
    }

    /// The first byte has come already.
    pub(super) fn begun(mut self, since: Option<Instant>) -> Self {
        self.stage = Stage::beginning(since);
        self
    }

    /// Guards one that carries HTTP/2, which is passed on as it is, but for streams that take too long: they are cut. Its requests
    /// have no record.
    pub(super) fn of_http2(
        stream: Stream,
        limits: Arc<GuardLimits>,
        certificate: Option<Arc<dyn SeenCertificate>>,
        rest: Arc<Rest>,
        metrics: Metrics,
    ) -> Self {
        let mut guard = Self::new(stream, limits, None);
        let connection = Arc::new(Http2Connection::new(certificate));
        guard.digest = digest(Box::new(connection.clone()));
        let frames = Frames::new(Instant::now(), connection, rest, metrics);
        guard.stage = Stage::Frames(Box::new(frames));
        guard
    }

    /// Its heads are counted here while they come in.
    pub(super) fn counted(mut self, half_heads: HalfHeads) -> Self {
        self.half_heads = Some(half_heads);
        self
    }

    /// Keeps the connection's place until its socket is closed, which after a refusal is later than Pingora thinks.
    pub(super) fn with_place(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

/// Pingora's one way to hang something of ours on a connection; the response is never looked at.
fn digest(user_data: Box<dyn Any + Send + Sync>) -> Option<Arc<ProxyDigest>> {
    let response = ResponseHeader::build_no_case(StatusCode::OK, Some(0)).ok()?;
    let digest = ProxyDigest::new(Box::new(response), Some(user_data));
    Some(Arc::new(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    pub(super) fn limits() -> GuardLimits {
        GuardLimits {
            head: HeadLimits {
                size: 1 << 15,
                count: 100,
            },
            header_timeout: Some(10 * SECOND),
            body_timeout: Some(30 * SECOND),
            body_size: None,
            keepalive_timeout: None,
            min_rate: Some(240),
        }
    }
}
