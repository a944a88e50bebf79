use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::config::ListenerSettings;
use crate::edge::tls::{Tls, Turns, Watch};
use crate::ports::server_tls::ServerTlsTable;

/// Reads the files of a listener with TLS, and has them watched.
pub(super) fn open(
    listener: &ListenerSettings,
    turns: &Turns,
    watch: &mut Watch,
) -> anyhow::Result<Option<Tls>> {
    let Some(files) = listener.tls.clone() else {
        return Ok(None);
    };
    let address = listener.address.to_string();
    let (tls, warnings) = Tls::open(files, listener.h1, listener.h2, turns.clone())
        .with_context(|| format!("listener {address}"))?;
    for warning in warnings {
        log::warn!("listener {address}: {warning}");
    }
    watch.add(address, tls.clone());
    Ok(Some(tls))
}

/// Looks at the files of all listeners and groups every second, on a thread of its own: a file system can be slow.
pub(super) struct Certificates {
    pub(super) listeners: Mutex<Watch>,
    pub(super) servers: ServerTlsTable,
}

#[async_trait]
impl BackgroundService for Certificates {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let listeners = self.listeners.lock();
        let mut listeners = std::mem::take(&mut *listeners.unwrap_or_else(PoisonError::into_inner));
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {
                    listeners.look();
                    self.servers.look();
                }
                _ = shutdown.wait_for(|stopping| *stopping) => return,
            }
        }
    }
}

const INTERVAL: Duration = Duration::from_secs(1);
