use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::Version;
use ipnet::IpNet;
use pingora_core::protocols::http::ServerSession;
use pingora_proxy::Session;
use tokio::sync::Notify;

use super::LoopGuard;
use super::upload::Pace;

/// What one listener's proxy is set to.
#[derive(Debug, Clone)]
pub struct ProxySettings {
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The scheme that clients use here: `http` or `https`.
    pub scheme: &'static str,
    /// The listener's address, for the access log.
    pub listener: String,
    /// What a client may take.
    pub limits: ClientLimits,
    /// Ends requests that come back.
    pub loops: LoopGuard,
    /// Set once the process is asked to end: from then on responses say that their connection closes,
    /// so that no client sends its next request there.
    pub is_stopping: Arc<AtomicBool>,
    /// Told when a server is ejected.
    pub ejected: Arc<Notify>,
}

/// What a client may take. What HTTP/1 needs besides is the edge's business, which reads it before us.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// Between two reads of a body, and for a write to make progress; with HTTP/2 here.
    pub body_timeout: Option<Duration>,
    /// Bytes a second of a body, after the first 10 s of it; with HTTP/2 here.
    pub min_rate: Option<u32>,
    /// How long an upgraded connection may be silent.
    pub websocket_idle: Option<Duration>,
    /// The most fields; with HTTP/2 here.
    pub header_count: usize,
    /// The longest body; with HTTP/2 here.
    pub body_size: Option<u64>,
}

impl ClientLimits {
    /// At which a body over HTTP/2 must come.
    pub(super) fn pace(&self) -> Pace {
        Pace {
            pause: self.body_timeout,
            rate: self.min_rate,
        }
    }

    /// Sets what Pingora leaves open: it resets keep-alive with each head that it reads, and has no write timeout for
    /// HTTP/2. The edge keeps the time of connections with HTTP/1, all of it.
    pub(super) fn apply(&self, session: &mut Session) {
        session.set_pipelining_enabled(true);
        if session.is_http2() {
            session.set_read_timeout(self.body_timeout);
            session.set_write_timeout(self.pace().longest_write());
            return;
        }
        if session.get_keepalive().is_some() {
            // Without a limit of Pingora's.
            session.set_keepalive(Some(0));
        }
        session.set_read_timeout(None);
        // RFC 9110 section 15.2: a client of HTTP/1.0 takes an interim response for the answer.
        let is_old = session.req_header().version == Version::HTTP_10;
        if let ServerSession::H1(session) = session.as_downstream_mut() {
            session.set_ignore_info_resp(is_old);
        }
    }
}
