use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::Method;
use http::header::USER_AGENT;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::server::ShutdownWatch;
use pingora_http::RequestHeader;
use tokio::sync::watch;

use super::half_heads::MOMENT;
use super::rest::Rest;
use crate::ports::client_connection::{Refusal, RefusedHead};
use crate::strict::Rule;

/// What one client of HTTP/2 may take, besides what Pingora bounds by itself.
#[derive(Debug, Clone, Copy)]
pub struct Http2Limits {
    /// Requests at a time.
    pub streams: u32,
    /// Requests in all, until the client is asked to take another connection.
    pub requests: Option<u32>,
    /// How long a connection may be without a request.
    pub idle: Option<Duration>,
    /// The size of a head, as RFC 9113 section 6.5.2 counts it.
    pub header_size: u32,
}

/// A proxy seen as one that speaks HTTP/2, agreed on by ALPN or known beforehand: the same proxy and pool, other options.
struct Http2Proxy<A> {
    proxy: Arc<A>,
    options: HttpServerOptions,
    limits: Http2Limits,
    rest: Arc<Rest>,
    /// Requests that have been answered, and not been logged yet, keep it.
    _place: SharedPlace,
}

/// A connection's place, counted until the socket is closed and every request is over.
type SharedPlace = Arc<dyn Any + Send + Sync>;

/// Serves a connection until one side ends it. It is asked to end when the process is, when it has had all its requests, and
/// when none was under way for as long as the limits say: with GOAWAY, so that a request that crosses it is served (RFC 9113 section 6.8). A client
/// that does not take leave is left, but not while it is owed an answer.
pub(super) async fn serve<A: HttpServerApp + Send + Sync + 'static>(
    proxy: Arc<A>,
    limits: Http2Limits,
    place: SharedPlace,
    guarded: impl FnOnce(Arc<Rest>) -> Stream,
    stopping: impl Future<Output = ()>,
) -> Option<Stream> {
    let rest = Arc::new(Rest::new(Instant::now(), limits.requests));
    let (leave, asked_to_leave) = watch::channel(false);
    let proxy = Arc::new(Http2Proxy::new(proxy, limits, rest.clone(), place));
    tokio::select! {
        biased;
        next = proxy.process_new(guarded(rest.clone()), &asked_to_leave) => next,
        () = left(&rest, limits.idle, stopping, leave) => None,
    }
}

/// Until a client that was asked to leave is to be left.
async fn left(
    rest: &Rest,
    idle: Option<Duration>,
    stopping: impl Future<Output = ()>,
    leave: watch::Sender<bool>,
) {
    let idle = idle.unwrap_or(Duration::MAX);
    tokio::select! {
        () = stopping => {}
        () = rest.lasts(Instant::now(), idle) => {}
        () = rest.used_up() => {}
    }
    leave.send_replace(true);
    rest.lasts(Instant::now(), MOMENT).await;
}

impl<A> Http2Proxy<A> {
    fn new(proxy: Arc<A>, limits: Http2Limits, rest: Arc<Rest>, place: SharedPlace) -> Self {
        let mut options = HttpServerOptions::default();
        // Without TLS Pingora asks for this; over TLS it goes by ALPN.
        options.h2c = true;
        Self {
            proxy,
            options,
            limits,
            rest,
            _place: place,
        }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Http2Proxy<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.rest.serve();
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
        // Besides what Pingora holds, for each stream of a client that opens windows and takes nothing.
        options.max_send_buffer_size(64 << 10);
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
