use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::watch;

use super::Parts;
use crate::clock;
use crate::controller::Controller;
use crate::discovery::DiscoverySettings;
use crate::discovery::consul::Consul;
use crate::discovery::host_keys::HostKeyFollower;
use crate::store::{HostKeys, Registry};

/// Following Consul, as a service with a thread of its own.
pub(super) struct Sources {
    consul: Mutex<Option<(Consul, watch::Sender<bool>)>>,
    controller: Controller,
}

impl Sources {
    /// The service, and what says that the sources of the start have had their first answers.
    pub(super) fn new(parts: &Parts, registry: Arc<dyn Registry>) -> (Self, watch::Receiver<bool>) {
        let settings = DiscoverySettings {
            servers: parts.config.name_servers.clone(),
            forbidden: parts.config.control.forbidden_addresses(),
        };
        let controller = parts.controller.clone();
        let node = parts.config.server.node.to_string();
        let consul = Consul::new(
            settings,
            controller.clone(),
            (registry, node),
            parts.metrics.clone(),
            clock::unix_ms,
            |name| std::env::var(name).ok(),
        );
        let (settled, are_settled) = watch::channel(false);
        let sources = Self {
            consul: Mutex::new(Some((consul, settled))),
            controller,
        };
        (sources, are_settled)
    }
}

#[async_trait]
impl BackgroundService for Sources {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let consul = self
            .consul
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some((consul, settled)) = consul else {
            return;
        };
        let stopping = async move {
            let _ = shutdown.wait_for(|stopping| *stopping).await;
        };
        let revisions = self.controller.revisions();
        consul.run(revisions, settled, stopping).await;
    }
}

/// Following the keys of hosts, as a service with a thread of its own.
pub(super) struct KeysOfHosts(Mutex<Option<(HostKeyFollower, watch::Sender<bool>)>>);

impl KeysOfHosts {
    /// The service, and what says that the keys have been read once; none if hosts have no keys.
    pub(super) fn new(
        parts: &Parts,
        registry: Arc<dyn Registry>,
    ) -> Option<(Self, watch::Receiver<bool>)> {
        let prefix = parts.config.state.host_keys.as_ref()?;
        let keys = HostKeys::new(parts.redis.clone()?, prefix);
        let follower = HostKeyFollower::new(
            keys,
            parts.controller.clone(),
            (registry, parts.config.server.node.to_string()),
            parts.config.control.forbidden_addresses(),
            parts.metrics.host_keys().clone(),
            clock::unix_ms,
        );
        let (settled, is_settled) = watch::channel(false);
        Some((Self(Mutex::new(Some((follower, settled)))), is_settled))
    }
}

#[async_trait]
impl BackgroundService for KeysOfHosts {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let follower = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((follower, settled)) = follower else {
            return;
        };
        let stopping = async move {
            let _ = shutdown.wait_for(|stopping| *stopping).await;
        };
        follower.run(settled, stopping).await;
    }
}
