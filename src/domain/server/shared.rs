use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::Health;
use super::checks::{Checks, LastCheck};
use crate::domain::ejection::Ejection;
use crate::domain::latency::Latency;
use crate::domain::queue::Queue;
use crate::spec::StartHealth;

/// The identity of a [`ServerState`] within this process: one for each (upstream, address) for as
/// long as it is a member. A server that is removed and added again is a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(u64);

impl ServerId {
    /// An identity that no other server of this process has.
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What survives snapshots: health, requests in flight, counters. Identity is (upstream, address).
#[derive(Debug)]
pub struct ServerState {
    id: ServerId,
    health: AtomicU8,
    recoveries: AtomicU32,
    health_since: AtomicU64,
    pub(super) in_flight: AtomicU32,
    pub(super) requests: AtomicU64,
    failures: AtomicU64,
    latency: Latency,
    ejection: Ejection,
    queue: Arc<Queue>,
    checks: Checks,
}

impl ServerState {
    /// The state of a new member.
    pub fn new(start: StartHealth) -> Self {
        Self::with_queue(start, Arc::default())
    }

    /// The same for a group whose requests wait in this line.
    pub fn with_queue(start: StartHealth, queue: Arc<Queue>) -> Self {
        let health = match start {
            StartHealth::Unknown => Health::Unknown,
            StartHealth::Up => Health::Up,
            StartHealth::Down => Health::Down,
        };
        Self {
            id: ServerId::next(),
            health: AtomicU8::new(health as u8),
            recoveries: AtomicU32::new(0),
            health_since: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            latency: Latency::default(),
            ejection: Ejection::default(),
            queue,
            checks: Checks::default(),
        }
    }

    /// Its identity.
    pub fn id(&self) -> ServerId {
        self.id
    }

    /// What checks observed.
    pub fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            1 => Health::Up,
            2 => Health::Down,
            _ => Health::Unknown,
        }
    }

    /// When the health changed last, in milliseconds since 1970; 0: never.
    pub fn health_since(&self) -> u64 {
        self.health_since.load(Ordering::Relaxed)
    }

    /// Records a verdict at `now` (milliseconds since 1970). Returns whether it is another than before.
    pub fn set_health(&self, health: Health, now: u64) -> bool {
        let was = self.health.swap(health as u8, Ordering::Relaxed);
        let changed = was != health as u8;
        if was == Health::Down as u8 && health == Health::Up {
            self.recoveries.fetch_add(1, Ordering::Relaxed);
        }
        if changed {
            self.health_since.store(now, Ordering::Relaxed);
            self.queue.serve();
        }
        changed
    }

    /// How often its checks, or requests that went well, have brought it back.
    pub fn recoveries(&self) -> u32 {
        self.recoveries.load(Ordering::Relaxed)
    }

    /// How the last probe went. For pages and probes: no request takes this lock.
    pub fn last_check(&self) -> Option<LastCheck> {
        self.checks.last()
    }

    /// How the last 20 probes went, the newest first.
    pub fn last_checks(&self) -> Vec<LastCheck> {
        self.checks.all()
    }

    /// Records a probe.
    pub fn add_check(&self, check: LastCheck) {
        self.checks.add(check);
    }

    /// Requests that it works on now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Attempts sent to it so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Attempts of these that failed: no connection, no response in time, a broken one.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Where requests wait for it and for the others of its group.
    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// What failing requests have done to it.
    pub fn ejection(&self) -> &Ejection {
        &self.ejection
    }

    /// It answers again at `now`, or its checks say so: it is in, begins slowly if it is told to, and has room for those who
    /// wait.
    pub fn readmit(&self, now: u64) {
        if self.ejection.is_unproven() {
            self.recoveries.fetch_add(1, Ordering::Relaxed);
            self.ejection.readmit(now);
            self.queue.serve();
        }
    }

    /// How fast it answers, where its group's balancer wants to know.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Counts a failed attempt.
    pub fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}
