//! Hosts that are switched by keys in Redis, as scripts for nginx keep them: key = host, value = group or `ip:port`.
//!
//! Of the nodes with one store the one that has the lease listens for changes of keys, reads what changed and submits it as
//! a change like any other. It reads all keys when it begins, when it hears again after it could not, and every minute. A
//! change is submitted for the very state that was there before its key was read: so an old value never undoes a
//! newer change, and what our own changes wrote into the keys alters nothing when it is heard of.

mod bulk;
mod settle;
mod verdict;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::time::{Instant, sleep, sleep_until};

use super::lease::{Lease, Terms};
use super::pace;
use crate::controller::Controller;
use crate::ports::host_keys::HostKeyReport;
use crate::spec::ForbiddenAddresses;
use crate::store::{HostKeys, Registry, Tracking};
use settle::Shared;

/// Follows the keys of hosts.
pub struct HostKeyFollower {
    shared: Shared,
    lease: Lease,
    resync: Duration,
}

impl HostKeyFollower {
    /// `clock` tells milliseconds since 1970; `registry` has the lease, and this node's name there.
    pub fn new(
        keys: HostKeys,
        controller: Controller,
        registry: (Arc<dyn Registry>, String),
        forbidden: ForbiddenAddresses,
        report: HostKeyReport,
        clock: fn() -> u64,
    ) -> Self {
        let prefix = keys.prefix().to_owned();
        report.note(|told| told.prefix = Some(prefix));
        Self {
            shared: Shared {
                keys,
                controller,
                forbidden,
                report,
                clock,
            },
            lease: Lease::new(registry, clock, LEASE),
            resync: RESYNC,
        }
    }

    /// All keys are read so often, whatever is heard.
    #[must_use]
    pub fn with_resync(self, resync: Duration) -> Self {
        Self { resync, ..self }
    }

    /// Follows the keys until `shutdown` completes. `settled` becomes true when they have been read once, or that failed, or
    /// another node follows them.
    pub async fn run(self, settled: channel::Sender<bool>, shutdown: impl Future<Output = ()>) {
        let lease = self.lease.clone();
        tokio::select! {
            () = shutdown => {}
            () = self.follow(settled) => {}
        }
        lease.give_up().await;
    }

    async fn follow(mut self, settled: channel::Sender<bool>) {
        let mut at_work: Option<AtWork> = None;
        let (mut is_ours, mut renew_at) = (false, Instant::now());
        loop {
            if Instant::now() >= renew_at {
                is_ours = self.lease.is_ours().await.unwrap_or(is_ours);
                renew_at = Instant::now() + RENEW;
                self.shared.report.follow(is_ours);
            }
            if !is_ours {
                at_work = None;
                settled.send_replace(true);
                sleep_until(renew_at).await;
                continue;
            }
            if at_work.is_none() {
                at_work = self.begin();
            }
            match &mut at_work {
                Some(work) => work.step().await,
                None => sleep(LOOK).await,
            }
            settled.send_replace(true);
        }
    }

    fn begin(&self) -> Option<AtWork> {
        let tracking = self.shared.keys.track();
        let tracking = tracking.map_err(|error| log::error!("no thread for hosts' keys: {error}"));
        Some(AtWork {
            shared: self.shared.clone(),
            tracking: Arc::new(tracking.ok()?),
            all: true,
            keys: BTreeSet::new(),
            resync: self.resync,
            resync_at: Instant::now() + self.resync,
            revision: 0,
            look_again_at: Instant::now(),
            failures: 0,
            not_before: Instant::now(),
        })
    }
}

const LEASE: Terms = Terms {
    name: "host_keys",
    of: "the keys of hosts",
    held: Duration::from_secs(6),
};
const RENEW: Duration = Duration::from_secs(2);
const RESYNC: Duration = Duration::from_secs(60);
/// How often it is looked whether the store is in step again.
const TROUBLE: Duration = Duration::from_millis(200);
/// The longest wait for something new to be heard.
const LOOK: Duration = Duration::from_secs(1);

/// Following, while this node has the lease.
struct AtWork {
    shared: Shared,
    tracking: Arc<Tracking>,
    /// Whether all keys are to be looked at, or else which.
    all: bool,
    keys: BTreeSet<String>,
    resync: Duration,
    resync_at: Instant,
    /// The state that keys were refused for, and when they may be looked at again for another.
    revision: u64,
    look_again_at: Instant,
    failures: u32,
    /// After a failure nothing is tried for a while.
    not_before: Instant,
}

impl AtWork {
    /// Waits for something to do, not for long, and does it.
    async fn step(&mut self) {
        self.listen().await;
        let standing = self.shared.controller.standing().status();
        if standing.trouble.is_some() {
            // What the store holds may not be what it held: nothing of it is taken, and all is looked at afterwards.
            self.all = true;
            self.not_before = Instant::now() + TROUBLE;
            return;
        }
        if Instant::now() >= self.resync_at {
            self.all = true;
        }
        self.look_again_at_refused();
        if Instant::now() < self.not_before || !self.is_due() {
            return;
        }
        let problem = match self.take().await {
            Ok(()) => {
                self.failures = 0;
                None
            }
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                self.not_before =
                    Instant::now() + pace::after_failure(self.failures, fastrand::f64());
                Some(why)
            }
        };
        self.shared.tell(problem, |told| &mut told.problem);
    }

    async fn listen(&mut self) {
        let tracking = self.tracking.clone();
        let patience = match self.is_due() {
            true => self.not_before.saturating_duration_since(Instant::now()),
            false => self.resync_at.saturating_duration_since(Instant::now()),
        };
        let heard = tokio::task::spawn_blocking(move || tracking.wait(patience.min(LOOK)));
        let Ok(news) = heard.await else { return };
        self.all |= news.all;
        self.keys.extend(news.keys);
        self.shared.tell(news.trouble, |told| &mut told.deaf);
    }

    fn is_due(&self) -> bool {
        self.all || !self.keys.is_empty()
    }

    /// What a key names may be there now.
    fn look_again_at_refused(&mut self) {
        let revision = self.shared.controller.snapshot().load().revision();
        if revision != self.revision && Instant::now() >= self.look_again_at {
            self.revision = revision;
            self.look_again_at = Instant::now() + LOOK;
            let refused = self.shared.report.told().refused;
            self.keys.extend(refused.into_keys());
        }
    }

    /// Looks at what is due; not for long, since the lease is to be kept.
    async fn take(&mut self) -> Result<(), String> {
        if self.all {
            let differing = self.shared.look_at_all().await?;
            self.all = false;
            self.keys.extend(differing);
            self.resync_at = Instant::now() + self.resync;
        }
        let begun = Instant::now();
        while !self.keys.is_empty() && begun.elapsed() < LOOK {
            let some: Vec<String> = self.keys.iter().take(AT_ONCE).cloned().collect();
            self.all |= !self.shared.settle(&some).await?;
            for key in &some {
                self.keys.remove(key);
            }
        }
        Ok(())
    }
}

/// Keys whose changes are one revision.
const AT_ONCE: usize = 256;

impl fmt::Debug for HostKeyFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKeyFollower").finish_non_exhaustive()
    }
}
