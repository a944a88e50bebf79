use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use pingora_core::protocols::TcpKeepalive;
use pingora_core::upstreams::peer::{H1UpgradePolicy, HttpPeer};
use pingora_core::{BError, Error, ErrorType, Result};
use pingora_proxy::Session;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::ahead::Ahead;
use super::forward;
use super::introduced_connection::{IntroducingConnector, group_key, introduction};
use crate::domain::server::Server;
use crate::domain::tls::Tls;
use crate::domain::upstream::Upstream;
use crate::ports::server_tls::{ServerTls, name_in};
use crate::spec::{Address, Protocol, SendProxyProtocol, ServerName};

/// How to connect to a server. Pingora's own defaults have no time limits at all.
///
/// `is_stale`: a kept connection was no good for this request. Over HTTP/2 it gets one of its own, since
/// Pingora keeps one that the server takes leave on for as long as others use it. A body that is `ahead` has one for as long
/// as it takes.
pub(super) fn to(
    server: &Server,
    upstream: &Upstream,
    session: &Session,
    is_stale: bool,
    ahead: Ahead,
    is_tunnel: bool,
) -> Result<Box<HttpPeer>> {
    let host = || forward::host_sent_on(session.req_header(), upstream, server);
    let name = upstream.tls().map(|tls| server_name(tls, host));
    let (is_tls, name) = (name.is_some(), name.unwrap_or_default());
    let mut peer = match server.address() {
        Address::Ip(address) => HttpPeer::new(address, is_tls, name),
        Address::Unix(path) => HttpPeer::new_uds(path, is_tls, name)?,
        // Of a name the group holds the addresses.
        Address::Name(..) | Address::Service(_) => {
            return Error::e_explain(ErrorType::InternalError, "a name is no server");
        }
    };
    if let Some(tls) = upstream.tls() {
        secure(&mut peer, tls, server)?;
    }
    let version = upstream.send_proxy_protocol();
    if version != SendProxyProtocol::Off {
        let introduction = introduction(version, session);
        peer.group_key = group_key(peer.group_key, &introduction);
        peer.options.custom_l4 = Some(Arc::new(IntroducingConnector(introduction)));
    }
    let timeouts = upstream.timeouts();
    let options = &mut peer.options;
    options.connection_timeout = timeouts.connect;
    options.total_connection_timeout = timeouts.connect;
    options.tcp_keepalive = Some(ALIVE);
    options.read_timeout = timeouts.any_read();
    options.write_timeout = timeouts.write;
    options.idle_timeout = timeouts.idle;
    if is_tunnel {
        // Nobody may get it after that.
        options.idle_timeout = Some(NOT_KEPT);
        peer.group_key = fastrand::u64(1..);
        return Ok(Box::new(peer));
    }
    options.http_upstream_request_policy.h1_upgrade = H1UpgradePolicy::Deny;
    if upstream.protocol() == Protocol::Http2 {
        let use_of = match (upstream.keeps_connections() && !is_stale, ahead) {
            (false, _) => Use::Once,
            (true, Ahead::Body) => Use::InTurn,
            (true, _) => Use::Shared,
        };
        multiplex(&mut peer, use_of);
        if ahead != Ahead::Nothing {
            peer.options.read_timeout = Some(LONGEST);
            // Pingora would go on without the rest of the body.
            peer.options.write_timeout = None;
        }
    }
    Ok(Box::new(peer))
}

/// Whether the next request to the same server may get the connection.
pub(super) fn is_kept(peer: &HttpPeer) -> bool {
    peer.options.idle_timeout != Some(NOT_KEPT)
}

/// How long a connection is idle that nobody gets again: one of HTTP/2, since those of HTTP/1 are closed at once. Pingora's timers take no less: of nothing they subtract one.
const NOT_KEPT: Duration = Duration::from_millis(1);

/// A host that is gone without a word is noticed after 5 s by whoever waits for its answer, instead of after
/// `timeouts.first_byte`. Bytes that nobody acknowledges are left to the time limits: a server may take its time
/// to read them.
const ALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(3),
    interval: Duration::from_secs(1),
    count: 2,
    user_timeout: Duration::ZERO,
};

/// The same for connections that Pingora does not make.
pub(super) fn notice_when_gone(socket: &TcpStream) -> io::Result<()> {
    let alive = socket2::TcpKeepalive::new()
        .with_time(ALIVE.idle)
        .with_interval(ALIVE.interval)
        .with_retries(2);
    SockRef::from(socket).set_tcp_keepalive(&alive)
}

/// A request that must not be repeated does not go to a connection that the server may be closing: it gets one that was
/// idle for a second at most, or if the rule says so one of its own (RFC 9112 section 9.3.1: a client should not
/// pipeline or repeat what is not idempotent).
pub(super) fn keep_apart(peer: &mut HttpPeer, upstream: &Upstream, method: &Method) {
    // A server says which streams of HTTP/2 it has not begun with.
    let is_safe = method.is_idempotent() || upstream.protocol() == Protocol::Http2;
    if is_safe || upstream.retry().non_idempotent {
        return;
    }
    let most = if upstream.retry().fresh_post {
        peer.group_key = fastrand::u64(1..);
        NOT_KEPT
    } else {
        peer.group_key ^= NOT_IDEMPOTENT;
        FRESH
    };
    let idle = peer.options.idle_timeout.unwrap_or(most);
    peer.options.idle_timeout = Some(idle.min(most));
}

/// What tells such connections from the others to the same server.
const NOT_IDEMPOTENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// Shorter than what servers wait before they close (nginx 75 s, Apache 5 s, Node.js 5 s).
const FRESH: Duration = Duration::from_secs(1);

/// No step lasts beyond the end of the whole request; what trickles until then is cut by `Silence`.
pub(super) fn end_by(peer: &mut HttpPeer, deadline: Option<Instant>) {
    let Some(deadline) = deadline else { return };
    // Pingora takes no time at all for no limit.
    let left = deadline
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1));
    let options = &mut peer.options;
    for limit in [
        &mut options.connection_timeout,
        &mut options.total_connection_timeout,
        &mut options.read_timeout,
        &mut options.write_timeout,
    ] {
        *limit = Some(limit.map_or(left, |limit| limit.min(left)));
    }
}

/// Who may use a connection of HTTP/2.
enum Use {
    /// Many requests at a time.
    Shared,
    /// One request at a time, and the next that comes soon.
    InTurn,
    /// One request.
    Once,
}

/// HTTP/2 and nothing else: what needs it, such as gRPC, would fail in odd ways over another.
fn multiplex(peer: &mut HttpPeer, use_of: Use) {
    let options = &mut peer.options;
    options.set_http_version(2, 2);
    options.max_h2_streams = STREAMS;
    options.h2_ping_interval = Some(PING);
    // A slow client keeps its stream's window, and not the others' share of the connection's.
    options.h2_stream_window_size = Some(WINDOW);
    options.h2_connection_window_size = u32::try_from(STREAMS)
        .ok()
        .and_then(|n| WINDOW.checked_mul(n));
    match use_of {
        Use::Shared => {}
        Use::InTurn => {
            options.max_h2_streams = 1;
            // The body may be too long to be sent again.
            options.idle_timeout = Some(options.idle_timeout.map_or(FRESH, |idle| idle.min(FRESH)));
            peer.group_key ^= IN_TURN;
        }
        Use::Once => {
            // HTTP/2 has no header that asks for the end of a connection: it is left to itself.
            options.idle_timeout = Some(NOT_KEPT);
            peer.group_key = fastrand::u64(1..);
        }
    }
}

/// What tells connections with one request at a time from the others to the same server.
const IN_TURN: u64 = 0xd1b5_4a32_d192_ed03;

/// Requests at a time over one connection, if the server allows as many.
const STREAMS: usize = 100;
/// In which a call of gRPC must get an answer, or a word of it, while its client may still send: its own limits are what
/// counts. Other bodies have limits that are kept elsewhere.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// At 10 ms of round trip 50 MB/s for each stream.
const WINDOW: u32 = 512 * 1024;
/// A connection that does not answer pings within 5 s is given up.
const PING: Duration = Duration::from_secs(30);

/// The name that is asked for and verified.
fn server_name(tls: &Tls, host: impl FnOnce() -> String) -> String {
    match &tls.spec().sni {
        Some(ServerName::Fixed(name)) => name.clone(),
        None | Some(ServerName::Host) => name_in(&host()).to_owned(),
    }
}

fn secure(peer: &mut HttpPeer, tls: &Tls, server: &Server) -> Result<()> {
    ServerTls::secure(peer, tls).map_err(|problem| {
        if let Some(used) = ServerTls::of(tls) {
            used.tell(server.label(), &problem);
        }
        refused(problem)
    })
}

fn refused(why: impl Into<pingora_core::ImmutStr>) -> BError {
    Error::explain(ErrorType::TLSHandshakeFailure, why).into_up()
}
