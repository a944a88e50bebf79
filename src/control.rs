//! The control API.

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use tokio::sync::watch;

use crate::controller::Controller;
use crate::ports::telemetry::Metrics;

/// The application behind the control endpoint.
pub struct Control {
    router: axum::Router,
}

impl Control {
    /// The API over a controller.
    pub fn new(
        _settings: (),
        _controller: Controller,
        _metrics: Metrics,
        ready: watch::Receiver<bool>,
    ) -> Self {
        let answer = move || async move {
            if *ready.borrow() {
                (axum::http::StatusCode::OK, "ready\n")
            } else {
                (axum::http::StatusCode::SERVICE_UNAVAILABLE, "starting\n")
            }
        };
        Self {
            router: axum::Router::new().route("/readyz", axum::routing::get(answer)),
        }
    }
}

#[async_trait]
impl ServerApp for Control {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        _shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let service = hyper_util::service::TowerToHyperService::new(self.router.clone());
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
            .await;
        None
    }
}
