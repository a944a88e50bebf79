use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::domain::server::Health;
use crate::domain::snapshot::Snapshot;
use crate::domain::upstream::Upstream;
use crate::spec::{Admin, Name, WhenAllDown};

/// The groups none of whose servers can take requests, and since when: the log says it once, and once when it is over.
#[derive(Debug, Default)]
pub(super) struct Outages(Mutex<HashMap<Name, Instant>>);

impl Outages {
    /// Looks at every group: an operator or DNS may have changed it.
    pub(super) fn look_at_all(&self, snapshot: &Snapshot) {
        let gone = |name: &Name, _: &mut Instant| snapshot.upstream(name).is_some();
        self.lock().retain(gone);
        for upstream in snapshot.upstreams() {
            self.look(upstream);
        }
    }

    /// Looks at one group: its checks have come to another verdict.
    pub(super) fn look(&self, upstream: &Upstream) {
        let name = upstream.name();
        let is_out = upstream.is_outage();
        let mut known = self.lock();
        match known.get(name).copied() {
            None if is_out => {
                known.insert(name.clone(), Instant::now());
                log::error!("upstream {name} is all down: {}", described(upstream));
            }
            Some(since) if !is_out => {
                known.remove(name);
                let (usable, all) = (upstream.usable_servers(), upstream.servers().len());
                let seconds = since.elapsed().as_secs_f64();
                log::info!(
                    "upstream {name} is no longer all down after {seconds:.1} s: {usable} of {all} servers can take requests"
                );
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn described(upstream: &Upstream) -> String {
    let servers = upstream.servers();
    let taken_out = servers.iter().filter(|server| server.admin() != Admin::Up);
    let taken_out = taken_out.count();
    let failing = servers
        .iter()
        .filter(|server| server.admin() == Admin::Up && server.health() == Health::Down);
    let what_now = match upstream.when_all_down() {
        WhenAllDown::Fail => "requests get 503 no_server",
        WhenAllDown::TryAny => "servers whose checks fail are tried all the same",
    };
    format!(
        "of {} servers {} fail their checks and {taken_out} are taken out by operators; {what_now}",
        servers.len(),
        failing.count(),
    )
}
