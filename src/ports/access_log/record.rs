//! What is known about a request when it ends.

use std::net::IpAddr;
use std::time::Duration;

/// One finished request, borrowed from where it is known anyway: building one allocates nothing.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the request ended, in milliseconds of Unix time.
    pub unix_ms: u64,
    /// The client's address; `None` on a unix socket.
    pub client: Option<IpAddr>,
    /// The address of the listener that took the connection.
    pub listener: &'a str,
    /// What clients use there: `http` or `https`.
    pub scheme: &'static str,
    /// The request's id, as sent on to the server.
    pub request_id: &'a str,
    /// Empty if the request line could not be read.
    pub method: &'a str,
    /// The request target as it was sent.
    pub target: &'a [u8],
    /// The version of HTTP that the client speaks.
    pub version: http::Version,
    /// `Host` or `:authority` as it was sent; empty if missing.
    pub host: &'a [u8],
    /// The status sent; 499 if the client left before there was one.
    pub status: u16,
    /// Bytes of the response's body sent to the client.
    pub body_bytes: u64,
    /// From the request's first byte to the last of the response.
    pub duration: Duration,
    /// How long of that it waited while every server was at its limit; none if it did not.
    pub waited: Option<Duration>,
    /// The request's `Referer`.
    pub referer: Option<&'a [u8]>,
    /// The request's `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// The request's `X-Forwarded-For`, as the client sent it.
    pub x_forwarded_for: Option<&'a [u8]>,
    /// The id of the route, if one was found.
    pub route: Option<&'a str>,
    /// The name of the upstream that the route led to.
    pub upstream: Option<&'a str>,
    /// The revision by which the request was routed.
    pub revision: u64,
    /// Why this process answered or ended the request itself: a
    /// [`Reason`](crate::ports::telemetry::Reason) or another word of that kind.
    pub reason: Option<&'a str>,
    /// Every try at a server, in order.
    pub attempts: &'a [Attempt<'a>],
}

/// One try at a server.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The server's address.
    pub server: &'a str,
    /// The status of its response, if there was one.
    pub status: Option<u16>,
    /// What went wrong, if something did: a machine-readable word.
    pub failure: Option<&'static str>,
    /// From the choice of the server to the end of its response or its failure.
    pub duration: Duration,
}
