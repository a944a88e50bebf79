use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use http::header::USER_AGENT;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::server::ShutdownWatch;
use pingora_http::RequestHeader;

use crate::ports::client_connection::{Refusal, RefusedHead};
use crate::strict::Rule;

/// What one client of HTTP/2 may take, besides what Pingora bounds by itself.
#[derive(Debug, Clone, Copy)]
pub struct Http2Limits {
    /// Requests at a time.
    pub streams: u32,
    /// How long a connection may be without a request.
    pub idle: Option<Duration>,
    /// The size of a head, as RFC 9113 section 6.5.2 counts it.
    pub header_size: u32,
}

/// A proxy seen as one that speaks HTTP/2, agreed on by ALPN or known beforehand: the same proxy and pool, other options.
pub(super) struct Http2Proxy<A> {
    proxy: Arc<A>,
    options: HttpServerOptions,
    limits: Http2Limits,
    under_way: AtomicUsize,
}

/// Counts one request under way.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<A> Http2Proxy<A> {
    pub(super) fn new(proxy: Arc<A>, limits: Http2Limits) -> Self {
        let mut options = HttpServerOptions::default();
        // Without TLS Pingora asks for this; over TLS it goes by ALPN.
        options.h2c = true;
        options.h2_idle_timeout = limits.idle;
        Self {
            proxy,
            options,
            limits,
            under_way: AtomicUsize::new(0),
        }
    }

    /// Whether no request is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Http2Proxy<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay(&self.under_way);
        refuse_connect(session.req_header_mut());
        self.proxy.process_new_http(session, shutdown).await
    }

    /// Starts from Pingora's bounded defaults; the windows of 64 KiB would throttle uploads.
    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options.max_concurrent_streams(self.limits.streams);
        options.max_header_list_size(self.limits.header_size);
        options.initial_window_size(1 << 20);
        options.initial_connection_window_size(4 << 20);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}

/// Pingora would answer CONNECT itself, without a reason and a line in the log.
fn refuse_connect(head: &mut RequestHeader) {
    if head.method == Method::CONNECT {
        let user_agent = head.headers.get(USER_AGENT).map(|agent| agent.as_bytes());
        let refused = RefusedHead {
            method: head.method.to_string(),
            target: head.uri.to_string(),
            host: head
                .uri
                .authority()
                .map_or_else(String::new, ToString::to_string),
            user_agent: String::from_utf8_lossy(user_agent.unwrap_or_default()).into_owned(),
        };
        let refusal = Refusal {
            rule: Rule::MethodRefused,
            head: Some(Box::new(refused)),
        };
        head.extensions_mut().insert(refusal);
        head.set_method(Method::GET);
    }
}
