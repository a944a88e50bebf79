//! The control API: axum behind a Pingora listener. Pingora binds, does TLS and hands over sockets;
//! from the connection on it is hyper and axum.
//!
//! One request: `protection` (who gets in) -> `v1` (reads it into a `Change`) -> `api` (submits
//! it to the controller) -> `outcome` or `problem` (the answer).

mod api;
mod attempts;
mod caller;
mod compat;
mod conditions;
mod content;
mod description;
mod edit;
mod host_keys;
mod json;
mod outcome;
mod pace;
mod parameters;
mod probes;
mod problem;
mod protection;
mod query;
mod read_only;
mod refusal;
mod resolution;
mod revision;
mod router;
mod series;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod v1;
mod view;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::server::ShutdownWatch;
use tokio::sync::{Semaphore, watch};

use crate::controller::Controller;
use crate::fleet::Fleet;
use crate::ports::legacy::{Interface, LegacyHandler};
use crate::ports::telemetry::Metrics;
use api::Api;
use pace::Paced;
use protection::Connection;

pub use settings::{ControlSettings, Place, Role, Token};

/// The application behind the control endpoint.
pub struct Control {
    router: Router,
    api: Arc<Api>,
    connections: Arc<Semaphore>,
}

impl Control {
    /// The API over a controller. `ready` says whether every listener accepts.
    pub fn new(
        settings: ControlSettings,
        controller: Controller,
        fleet: Fleet,
        metrics: Metrics,
        ready: watch::Receiver<bool>,
    ) -> Self {
        let (router, api) = router::router(settings, controller, fleet, metrics, ready);
        Self {
            router,
            api,
            connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        }
    }

    /// What a data listener that has these legacy interfaces mounted hands their requests to.
    pub fn legacy(&self, interfaces: &[Interface]) -> Arc<dyn LegacyHandler> {
        Arc::new(compat::Compat::new(self.api.clone(), interfaces))
    }
}

#[async_trait]
impl ServerApp for Control {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let Ok(_open) = self.connections.try_acquire() else {
            log::warn!("control: more than {MOST_CONNECTIONS} connections; one is closed");
            return None;
        };
        let connection = connection(&stream);
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(connection);
            router.call(request.map(Body::new))
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(MOST_HEADERS)
            .max_buf_size(LONGEST_HEAD)
            .keep_alive(!*shutdown.borrow());
        let mut serving = pin!(http.serve_connection(TokioIo::new(Paced::new(stream)), service));
        let mut stopping = shutdown.clone();
        let ended = tokio::select! {
            ended = &mut serving => ended,
            _ = stopping.changed() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            log::debug!("control: a connection ended with {error}");
        }
        None
    }
}

/// Far more than operators and scrapers need; a client that opens more is broken.
const MOST_CONNECTIONS: usize = 1024;
/// For the whole head of a request; an idle connection is closed after it too.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_HEADERS: usize = 100;
/// In bytes; a request line and [`MOST_HEADERS`] headers of ordinary length.
const LONGEST_HEAD: usize = 64 * 1024;

fn connection(stream: &Stream) -> Connection {
    let digest = stream.get_socket_digest();
    let ip = |address: Option<&SocketAddr>| -> Option<IpAddr> {
        Some(address?.as_inet()?.ip().to_canonical())
    };
    Connection {
        source: digest.as_ref().and_then(|digest| ip(digest.peer_addr())),
        local: digest.as_ref().and_then(|digest| ip(digest.local_addr())),
        is_tls: stream.get_ssl_digest().is_some(),
    }
}
