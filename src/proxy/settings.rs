use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ipnet::IpNet;
use pingora_proxy::Session;

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
    /// Set once the process is asked to end: from then on responses say that their connection closes,
    /// so that no client sends its next request there.
    pub is_stopping: Arc<AtomicBool>,
}

/// What a client may take.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// Between two reads of a request's body, and for a write to make progress.
    pub body_timeout: Option<Duration>,
    /// How long an unused connection is kept.
    pub keepalive_timeout: Duration,
}

impl ClientLimits {
    /// Sets what Pingora leaves open: it resets keep-alive to "for ever" with each head that it reads,
    /// and has no write timeout for HTTP/2.
    pub(super) fn apply(&self, session: &mut Session) {
        if session.as_downstream().as_http1().is_some() {
            // The edge keeps the time of connections with HTTP/1, all of it. 0: without a limit here.
            if session.get_keepalive().is_some() {
                session.set_keepalive(Some(0));
            }
            session.set_read_timeout(None);
            session.set_pipelining_enabled(true);
            return;
        }
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(self.keepalive_timeout.as_secs().max(1)));
        }
        session.set_read_timeout(self.body_timeout);
        session.set_write_timeout(self.body_timeout);
        session.set_pipelining_enabled(true);
    }
}
