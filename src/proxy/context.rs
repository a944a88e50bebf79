use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora_core::protocols::Stream;
use pingora_proxy::Session;

use super::ahead::{Ahead, Unsent};
use super::failure;
use super::forward::Client;
use super::request_id::RequestId;
use super::silence::Silence;
use super::upload::{Pace, Upload};
use crate::clock;
use crate::domain::queue::Waiter;
use crate::domain::route::Route;
use crate::domain::server::{InFlight, Server, ServerId};
use crate::domain::sticky::Bound;
use crate::domain::upstream::{Timeouts, Upstream};
use crate::ports::client_connection::Refusal;
use crate::ports::telemetry::Reason;
use crate::spec::Protocol;
use crate::strict::Rule;

/// What one request carries from phase to phase. It keeps no snapshot: a retry looks its group up again.
pub struct RequestCtx {
    pub(super) started: Instant,
    pub(super) client: Client,
    pub(super) request_id: RequestId,
    pub(super) revision: u64,
    pub(super) route: Option<Arc<Route>>,
    /// The group as it was when the last server was picked.
    pub(super) upstream: Option<Arc<Upstream>>,
    /// The legacy interface that was called.
    pub(super) legacy: Option<&'static str>,
    /// Why this process answered itself.
    pub(super) reason: Option<Reason>,
    /// What the edge refused in this request's place.
    pub(super) refusal: Option<Refusal>,
    /// Bytes of the body, where its length has a limit that is kept here.
    pub(super) received: u64,
    /// The hash of what decides where the request goes, if something of it does.
    pub(super) key: Option<u64>,
    /// The server that the client had before, in groups that keep it there.
    pub(super) bound: Option<Bound>,
    /// Interim responses of the attempt under way.
    pub(super) interim: u8,
    /// How long it waited for room at servers, if it did: its first attempt did not begin with it then.
    pub(super) waited: Option<Duration>,
    pub(super) attempts: Vec<Attempt>,
    /// Retries because a kept connection turned out to be closed; these are no attempts at a server.
    pub(super) stale: u8,
    tried: Vec<ServerId>,
    next: Option<InFlight>,
    /// What the next attempt waits for, if it has to. Boxed: every request would carry what only some need.
    pub(super) waiter: Option<Box<Waiter>>,
    current: Option<InFlight>,
    /// Of the attempt under way; none that others share.
    connection: Option<RawFd>,
    /// Whether the client asks for a WebSocket.
    pub(super) asks_for_tunnel: bool,
    /// The connection to a server that has agreed to a tunnel.
    pub(super) tunnel: Option<Stream>,
    silence: Option<Silence>,
    /// What a server of HTTP/2 is still to get.
    pub(super) ahead: Ahead,
    /// Of a body that has a connection of HTTP/2 of its own.
    unsent: Option<Unsent>,
    /// When the attempt's server had all of the request.
    sent: Option<Instant>,
    /// How long the client may take for a part of the response.
    longest_write: Option<Duration>,
    /// Of a body that comes over HTTP/2. Boxed: most requests have none.
    upload: Option<Box<Upload>>,
}

/// Of the time in which a client takes a part of a response, where that is taken for the server's silence.
const LONGEST_PART: Duration = Duration::from_secs(60);

/// A failure counts as an answer that took this long: the server that refuses fastest would draw the
/// most requests otherwise.
const FAILED: Duration = Duration::from_secs(1);

/// One attempt at a server.
pub(super) struct Attempt {
    pub(super) server: Arc<Server>,
    pub(super) began: Instant,
    pub(super) ended: Option<Instant>,
    pub(super) status: Option<u16>,
    pub(super) failure: Option<&'static str>,
}

impl RequestCtx {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            client: Client::default(),
            request_id: RequestId::default(),
            revision: 0,
            route: None,
            upstream: None,
            legacy: None,
            reason: None,
            refusal: None,
            received: 0,
            key: None,
            bound: None,
            interim: 0,
            waited: None,
            attempts: Vec::with_capacity(1),
            stale: 0,
            tried: Vec::new(),
            next: None,
            waiter: None,
            current: None,
            connection: None,
            asks_for_tunnel: false,
            tunnel: None,
            silence: None,
            ahead: Ahead::default(),
            unsent: None,
            sent: None,
            longest_write: None,
            upload: None,
        }
    }

    /// The request goes to this server of the group that was found, where it is counted in flight from now.
    pub(super) fn begin(&mut self, server: InFlight) {
        self.next = Some(server);
    }

    /// The next attempt goes to `server`, of `upstream` as it is now.
    pub(super) fn retry_on(&mut self, upstream: Arc<Upstream>, server: InFlight) {
        self.upstream = Some(upstream);
        self.begin(server);
        self.reason = None;
    }

    /// The next attempt waits for a server of the group as it is now.
    pub(super) fn retry_later(&mut self, waiter: Waiter) {
        self.upstream = Some(waiter.upstream.clone());
        self.waiter = Some(Box::new(waiter));
        self.reason = None;
    }

    /// Begins the attempt that was decided: counted in flight until it ends.
    pub(super) fn next_attempt(&mut self) -> Option<(&Upstream, &Server)> {
        let next = self.next.take()?;
        // The first attempt's server is remembered only when it fails: most requests need no list.
        let began = if self.attempts.is_empty() && self.waited.is_none() {
            self.started
        } else {
            Instant::now()
        };
        self.attempts.push(Attempt {
            server: next.server().clone(),
            began,
            ended: None,
            status: None,
            failure: None,
        });
        next.count();
        self.sent = None;
        let server = self.current.insert(next).server();
        Some((self.upstream.as_deref()?, server))
    }

    /// The server of the attempt that is under way.
    pub(super) fn server(&self) -> Option<&Arc<Server>> {
        self.current.as_ref().map(InFlight::server)
    }

    /// The servers tried so far.
    pub(super) fn tried(&self) -> &[ServerId] {
        &self.tried
    }

    /// The attempt's server may be tried again: it was the connection that was stale, not the server.
    pub(super) fn forgive(&mut self) {
        self.tried.pop();
        self.stale += 1;
    }

    /// Attempts that count against the rule's limit.
    pub(super) fn counted(&self) -> usize {
        self.attempts.len().saturating_sub(usize::from(self.stale))
    }

    /// The attempt is connected.
    pub(super) fn connected(&mut self, connection: RawFd) {
        // A connection of HTTP/2 is not one request's to end, unless it is there for its body.
        let is_multiplexed = self.speaks_http2();
        let is_alone = is_multiplexed && self.ahead == Ahead::Body;
        let is_shared = is_multiplexed && !is_alone;
        self.unsent = is_alone.then(Unsent::default);
        self.connection = (!is_shared).then_some(connection);
        self.received = 0;
        self.interim = 0;
        self.watch(|timeouts| timeouts.first_byte);
    }

    /// What is left of the body has to come at this pace.
    pub(super) fn expect_body(&mut self, session: &mut Session, pace: Pace) {
        // Nothing but HTTP/2 carries gRPC.
        let may_rest = self.speaks_http2() && failure::is_grpc(session);
        self.longest_write = pace.longest_write();
        self.upload = Some(pace)
            .filter(|_| !may_rest)
            .and_then(|pace| Upload::begin(session, pace, self.connection?, self.unsent.clone()))
            .map(Box::new);
    }

    /// A part of the body came.
    pub(super) fn body_moved(&self, part: &mut Option<Bytes>) {
        if let (Some(upload), Some(part)) = (&self.upload, &part) {
            upload.moved(part.len());
        }
        if let Some(unsent) = &self.unsent {
            self.moved();
            *part = part.take().map(|part| unsent.hold(part));
        }
    }

    /// Whether what broke the attempt off is the client's slowness; noted as the rule that it broke. `owes_body`: a time
    /// limit of the server's was over while it had all that came of the body, and not the end. What it waits for then is
    /// the client's to send, also where the client waits to be asked: nobody has to do that without end (RFC 9110,
    /// section 10.1.1). A client could have every server ejected otherwise.
    pub(super) fn is_client_late(&mut self, owes_body: bool) -> bool {
        let upload = self.upload.as_ref();
        let was_cut = upload.is_some_and(|upload| upload.is_over());
        let is_unsent = self.unsent.as_ref().is_some_and(Unsent::is_any);
        let is_late = was_cut || owes_body && !self.asks_for_tunnel && !is_unsent;
        if is_late {
            self.refusal = Some(Rule::BodyTimeout.into());
        }
        is_late
    }

    /// When the request with all its attempts must have ended. A tunnel has no end.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let upstream = self.upstream.as_ref().filter(|_| !self.asks_for_tunnel)?;
        self.started.checked_add(upstream.timeouts().total?)
    }

    /// Whether the time of the whole request is over.
    pub(super) fn is_out_of_time(&self) -> bool {
        self.deadline().is_some_and(|end| Instant::now() >= end)
    }

    /// Whether it was over before the server of the attempt under way had its part of it: the rest went by in the line, at
    /// another server or with the client's body. So it is when the server has begun to answer: the client may take that as
    /// slowly as it likes. A server that never answers would have the next one ejected otherwise, and any client every one.
    pub(super) fn is_cut_short(&self) -> bool {
        let (Some(end), Some(attempt)) = (self.deadline(), self.attempts.last()) else {
            return false;
        };
        // Up to the end, not to now: this process may be late.
        let had = end.saturating_duration_since(self.sent.unwrap_or(attempt.began));
        let whole = end.saturating_duration_since(self.started);
        self.is_out_of_time() && (attempt.status.is_some() || had < whole / 2)
    }

    /// Whether a server of HTTP/2 is to get more than a head.
    pub(super) fn has_body_for_http2(&self, session: &mut Session) -> bool {
        self.speaks_http2() && !session.as_mut().is_body_done()
    }

    /// Whether the server is to be spoken to in HTTP/2, which no tunnel is asked for in.
    pub(super) fn speaks_http2(&self) -> bool {
        let upstream = self.upstream.as_ref().filter(|_| !self.asks_for_tunnel);
        upstream.is_some_and(|upstream| upstream.protocol() == Protocol::Http2)
    }

    /// The whole request was sent: the first byte of the response is waited for from now on.
    pub(super) fn request_ended(&mut self) {
        self.upload = None;
        let is_waiting = self
            .attempts
            .last()
            .is_some_and(|attempt| attempt.status.is_none());
        if is_waiting {
            self.sent = Some(Instant::now());
            self.watch(|timeouts| timeouts.first_byte);
        }
    }

    /// Watches the server's silence from here on, where the body has a connection of HTTP/2 of its own.
    fn watch(&mut self, limit: impl Fn(&Timeouts) -> Option<Duration>) {
        let upstream = self.upstream.as_ref();
        let limit = upstream.and_then(|upstream| limit(upstream.timeouts()));
        let end = self.deadline();
        let is_limited = limit.is_some() || end.is_some();
        let watched = self
            .connection
            .filter(|_| is_limited && self.unsent.is_some());
        self.silence = watched.and_then(|connection| {
            let begun = Silence::begin(connection, limit, end, self.unsent.clone());
            begun
                .inspect_err(|error| log::warn!("a server's silence is not watched: {error}"))
                .ok()
        });
    }

    /// More of the request or the response came.
    pub(super) fn moved(&self) {
        if let Some(silence) = &self.silence {
            silence.touch();
        }
    }

    /// Whether the server was silent for too long, as far as we watch that and not Pingora.
    pub(super) fn is_silent(&self) -> bool {
        self.silence.as_ref().is_some_and(Silence::is_over)
    }

    /// The attempt under way got this status.
    pub(super) fn answered(&mut self, status: u16) {
        let longest_write = self.longest_write.map(|longest| longest.min(LONGEST_PART));
        self.upload = None;
        // Of a client that takes a part slowly, the socket's side of HTTP/2 shows nothing.
        self.watch(|timeouts| timeouts.read?.checked_add(longest_write?));
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.status = Some(status);
        }
        self.observe_latency(Duration::ZERO);
    }

    /// Tells a balancer that wants to know how long the attempt under way took until now, `at_least`
    /// so long.
    fn observe_latency(&self, at_least: Duration) {
        let measures = |upstream: &Arc<Upstream>| upstream.measures_latency();
        if !self.upstream.as_ref().is_some_and(measures) {
            return;
        }
        if let (Some(attempt), Some(server)) = (self.attempts.last(), self.server()) {
            let took = attempt.began.elapsed().max(at_least);
            let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            let latency = server.shared().latency();
            latency.observe(microseconds, clock::monotonic_ms());
        }
    }

    /// When the attempt under way began: milliseconds by a clock that only goes on.
    pub(super) fn began(&self) -> u64 {
        let began = self.attempts.last().map(|attempt| attempt.began);
        began.map_or(0, clock::monotonic_at)
    }

    /// The attempt under way failed, perhaps by its server's fault; the server is counted out of flight.
    pub(super) fn failed(&mut self, failure: &'static str, is_fault: bool) {
        self.silence = None;
        if is_fault {
            self.observe_latency(FAILED);
        }
        if let Some(in_flight) = self.current.take() {
            if is_fault {
                in_flight.server().shared().count_failure();
            }
            self.tried.push(in_flight.server().id());
        }
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.failure = Some(failure);
            attempt.ended = Some(Instant::now());
        }
    }
}
