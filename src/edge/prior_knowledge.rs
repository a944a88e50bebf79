use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::server::ShutdownWatch;

/// A proxy seen as one that speaks HTTP/2 without TLS: the same proxy and pool, other options.
pub(super) struct PriorKnowledge<A> {
    proxy: Arc<A>,
    options: HttpServerOptions,
}

impl<A> PriorKnowledge<A> {
    pub(super) fn new(proxy: Arc<A>) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(IDLE);
        Self { proxy, options }
    }
}

/// `limits.h2_idle`'s default.
const IDLE: std::time::Duration = std::time::Duration::from_secs(180);

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for PriorKnowledge<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.proxy.process_new_http(session, shutdown).await
    }

    /// Starts from Pingora's bounded defaults; the windows of 64 KiB would throttle uploads.
    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options.max_concurrent_streams(128);
        options.initial_window_size(1 << 20);
        options.initial_connection_window_size(4 << 20);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
