use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::watch;

use super::Parts;
use crate::clock;
use crate::controller::Controller;
use crate::discovery::{Discovery, DiscoverySettings};

/// The resolving of names, as a service with a thread of its own.
pub(super) struct Names {
    discovery: Mutex<Option<(Discovery, watch::Sender<bool>)>>,
    controller: Controller,
}

impl Names {
    /// The service, and what says that the names of the start have had their first answers.
    pub(super) fn new(parts: &Parts) -> (Self, watch::Receiver<bool>) {
        let settings = DiscoverySettings {
            servers: parts.config.name_servers.clone(),
            forbidden: parts.config.control.forbidden_addresses(),
        };
        let (controller, metrics) = (parts.controller.clone(), parts.metrics.clone());
        let observed = parts.observed.clone();
        let told = Box::new(move || observed.notify_one());
        let discovery = Discovery::new(settings, &controller, metrics, clock::unix_ms, told);
        let (settled, are_settled) = watch::channel(false);
        let names = Self {
            discovery: Mutex::new(Some((discovery, settled))),
            controller,
        };
        (names, are_settled)
    }
}

#[async_trait]
impl BackgroundService for Names {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let discovery = self
            .discovery
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some((discovery, settled)) = discovery else {
            return;
        };
        let stopping = async move {
            let _ = shutdown.wait_for(|stopping| *stopping).await;
        };
        let revisions = self.controller.revisions();
        discovery.run(revisions, settled, stopping).await;
    }
}
