//! What the tests of schedules and groups share: a checker at work in paused time on a snapshot that
//! they change, with probes that end as a script says.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pingora_core::{Error, ErrorType, Result};
use pingora_load_balancing::Backend;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::outage::Outages;
use super::pulse::Pulse;
use super::*;
use crate::domain::names::Resolved;
use crate::domain::server::ServerState;
use crate::domain::snapshot::{Publisher, Snapshot, shared};
use crate::spec::{Spec, UpstreamSpec};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const FOR_EVER: Duration = Duration::from_secs(1_000_000);

/// How a probe ends: after so long, and whether it passes.
pub(super) type Script = Box<dyn Fn(usize, u16) -> (Duration, bool) + Send + Sync>;

/// Probes that follow a script (the number of the probe, the port) and note what happened.
pub(super) struct Fake {
    pub(super) script: Script,
    pub(super) starts: Mutex<Vec<(Instant, u16)>>,
    pub(super) ends: Mutex<Vec<ProbeEnd>>,
    /// Verdicts, each with the number of probes that had ended.
    pub(super) verdicts: Mutex<Vec<(usize, u16, Health, String)>>,
    pub(super) running: AtomicUsize,
    pub(super) most: AtomicUsize,
}

/// A probe under way, however it ends.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl HealthCheck for Fake {
    async fn check(&self, target: &Backend) -> Result<()> {
        let port = target.addr.as_inet().unwrap().port();
        let number = {
            let mut starts = self.starts.lock().unwrap();
            starts.push((Instant::now(), port));
            starts.len() - 1
        };
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(running, Ordering::Relaxed);
        let _guard = UnderWay(&self.running);
        let (time, passes) = (self.script)(number, port);
        sleep(time).await;
        if passes {
            Ok(())
        } else {
            Error::e_explain(ErrorType::Custom("health probe"), "status 500")
        }
    }

    fn health_threshold(&self, _success: bool) -> usize {
        1
    }
}

impl Observer for Fake {
    fn probed(&self, end: ProbeEnd) {
        self.ends.lock().unwrap().push(end);
    }
    fn verdict(&self, _upstream: &Name, address: &Address, health: Health, reason: &str) {
        let (ended, port) = (
            self.ends.lock().unwrap().len(),
            address.ip().unwrap().port(),
        );
        let verdict = (ended, port, health, reason.to_owned());
        self.verdicts.lock().unwrap().push(verdict);
    }
}

impl Fake {
    /// When the probes of this port started.
    pub(super) fn starts_of(&self, port: u16) -> Vec<Instant> {
        let starts = self.starts.lock().unwrap();
        let of_port = starts.iter().filter(|(_, other)| *other == port);
        of_port.map(|(at, _)| *at).collect()
    }

    pub(super) fn verdicts(&self) -> Vec<(usize, u16, Health, String)> {
        self.verdicts.lock().unwrap().clone()
    }
}

/// A running checker and the one who changes its snapshot.
pub(super) struct World {
    pub(super) fake: Arc<Fake>,
    pub(super) spec: Spec,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) publisher: Publisher,
    pub(super) revisions: watch::Sender<u64>,
    pub(super) shutdown: Option<oneshot::Sender<()>>,
    pub(super) task: JoinHandle<()>,
}

impl World {
    pub(super) fn start(
        probe_concurrency: usize,
        upstreams: Value,
        script: impl Fn(usize, u16) -> (Duration, bool) + Send + Sync + 'static,
    ) -> Self {
        fastrand::seed(7);
        let fake = Arc::new(Fake {
            script: Box::new(script),
            starts: Mutex::default(),
            ends: Mutex::default(),
            verdicts: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let probe = fake.clone();
        let spec: Spec = serde_json::from_value(json!({ "upstreams": upstreams })).unwrap();
        let build = |before| Snapshot::build(1, Arc::new(spec.clone()), before);
        let (publisher, readers) = shared(build(None));
        let snapshot = readers.load_full();
        let checker = HealthChecker {
            snapshot: readers,
            pulse: Pulse::default(),
            outages: Outages::default(),
            permits: Semaphore::new(permits(probe_concurrency)),
            forbidden: ForbiddenAddresses {
                control: Some(([10, 0, 0, 1], CONTROL_PORT).into()),
                ..ForbiddenAddresses::default()
            },
            observer: fake.clone(),
            probes: Box::new(move |_| probe.clone()),
            clock: || 1_795_000_000_000,
            random: fastrand::f64,
        };
        let (revisions, followed) = watch::channel(1);
        let (shutdown, asked) = oneshot::channel::<()>();
        let stop = async move {
            let _ = asked.await;
        };
        let task = tokio::spawn(checker.run(followed, stop));
        Self {
            fake,
            spec,
            snapshot,
            publisher,
            revisions,
            shutdown: Some(shutdown),
            task,
        }
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut Spec)) {
        change(&mut self.spec);
        let revision = self.snapshot.revision() + 1;
        let spec = Arc::new(self.spec.clone());
        self.snapshot = Arc::new(Snapshot::build(revision, spec, Some(&self.snapshot)));
        self.publisher.publish(self.snapshot.clone());
        self.revisions.send_replace(revision);
    }

    /// What the names of its servers stand for now.
    pub(super) fn resolve(&mut self, address: &Address, resolved: Arc<Resolved>) {
        let next = self.snapshot.resolved([(address, &resolved)]);
        self.snapshot = Arc::new(next.unwrap());
        self.publisher.publish(self.snapshot.clone());
        self.revisions.send_replace(self.snapshot.revision());
    }

    /// Sets the whole group.
    pub(super) fn set(&mut self, name: &str, upstream: &Value) {
        let upstream: UpstreamSpec = serde_json::from_value(upstream.clone()).unwrap();
        self.change(|spec| {
            let name = Name::new(name).unwrap();
            spec.upstreams.insert(name, Arc::new(upstream));
        });
    }

    pub(super) fn state(&self, upstream: &str, port: u16) -> Arc<ServerState> {
        let upstream = self.snapshot.upstream(&Name::new(upstream).unwrap());
        let server = upstream.unwrap().server(&address(port)).unwrap().clone();
        server.shared().clone()
    }
}

/// Where the control endpoint listens: with the servers.
pub(super) const CONTROL_PORT: u16 = 9900;

pub(super) fn address(port: u16) -> Address {
    Address::Ip(SocketAddr::from(([10, 0, 0, 1], port)))
}

pub(super) fn group(ports: impl IntoIterator<Item = u16>, health: Value) -> Value {
    let servers: Vec<String> = ports.into_iter().map(|p| address(p).to_string()).collect();
    json!({ "servers": servers, "health": health })
}

pub(super) fn at_once(
    passes: bool,
) -> impl Fn(usize, u16) -> (Duration, bool) + Send + Sync + 'static {
    move |_, _| (Duration::ZERO, passes)
}

/// The pauses between probes, all within 10 % of the interval (and a timer's tick of 1 ms).
pub(super) fn assert_every(starts: &[Instant], interval: Duration) {
    let tick = Duration::from_millis(2);
    for pair in starts.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(pause + tick >= interval.mul_f64(0.9), "{pause:?}");
        assert!(pause <= interval.mul_f64(1.1) + tick, "{pause:?}");
    }
}
