//! A named group of servers that can pick one of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::balancer::{self, Pick, Tier};
use super::ramp::Ramp;
use super::server::{InFlight, Server, ServerState};
use crate::spec::{
    Address, BalanceSpec, CheckType, HashKey, HealthSpec, HostHeader, Labels, Name, RetryCause,
    RetrySpec, ServerSpec, Span, Target, TimeoutsSpec, UpstreamSpec,
};

/// A group in one snapshot. Never edited: a change makes a new one around the same states.
#[derive(Debug)]
pub struct Upstream {
    name: Name,
    spec: Arc<UpstreamSpec>,
    policy: BalanceSpec,
    hash: HashKey,
    servers: Vec<Arc<Server>>,
    /// By their numbers, the first first.
    tiers: Box<[(u32, Tier)]>,
    /// What its servers were chosen by, if it is a part of a group.
    labels: Labels,
    has_ramps: bool,
    host: HostHeader,
    timeouts: Timeouts,
    retry: Arc<Retry>,
    keepalive: bool,
    min_healthy: u32,
    health: Option<Arc<HealthSpec>>,
    /// The target of the routes that imply it; none for a group that has a name of its own.
    implied_by: Option<Target>,
}

/// How long each step towards a server may take; none means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Option<Duration>,
    /// Until the response's first byte.
    pub first_byte: Option<Duration>,
    /// Between two reads.
    pub read: Option<Duration>,
    /// Between two writes.
    pub write: Option<Duration>,
    /// How long an unused connection is kept.
    pub idle: Option<Duration>,
}

/// Picks that may lose the last place at a server to another request. Each loss is another's gain.
const RACES: usize = 64;

/// Why no server can be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NobodyLeft {
    /// None is up, or those that are were tried.
    NoServer,
    /// Those that could be picked work on as many requests as they may.
    Full,
}

/// What of a request decides where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKey<'a> {
    /// The client's network, as nginx's `ip_hash` has it.
    ClientNetwork,
    /// What the group says.
    Of(&'a HashKey),
}

/// When a request is tried on another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u8,
    /// The failures after which another server is tried.
    pub on: Vec<RetryCause>,
    /// Whether a request that may have been processed is sent again whatever its method.
    pub non_idempotent: bool,
}

impl Upstream {
    /// Builds the group around what survives from the one before: the states of the servers that
    /// stay, and whose turn it is.
    pub fn build(
        name: &Name,
        spec: &Arc<UpstreamSpec>,
        defaults: &UpstreamSpec,
        before: Option<&Self>,
    ) -> Self {
        let full = spec.or(defaults);
        let health = full
            .health
            .clone()
            .filter(|health| health.kind != Some(CheckType::None))
            .map(Arc::new);
        let servers = carried_over(&full, health.as_deref(), before);
        let policy = full.balance.unwrap_or_default();
        let has_ramps = servers.iter().any(|server| server.ramp().is_some());
        Self {
            name: name.clone(),
            spec: spec.clone(),
            policy,
            hash: full.hash.and_then(|hash| hash.key).unwrap_or_default(),
            tiers: tiers(policy, &servers, before),
            servers,
            labels: Labels::default(),
            has_ramps,
            host: full.host.unwrap_or_default(),
            timeouts: Timeouts::new(full.timeouts.unwrap_or_default()),
            retry: Arc::new(Retry::new(full.retry.unwrap_or_default())),
            keepalive: full.keepalive != Some(0),
            min_healthy: full.min_healthy.unwrap_or(1),
            health,
            implied_by: None,
        }
    }

    /// The implicit group of a route straight to an address: one server, the defaults, no checks.
    pub fn straight_to(
        target: &Target,
        address: &Address,
        defaults: &UpstreamSpec,
        before: Option<&Self>,
    ) -> Self {
        let name = Name::from_any(&address.to_string());
        let spec = UpstreamSpec {
            servers: vec![ServerSpec::new(address.clone())],
            ..UpstreamSpec::default()
        };
        let without_checks = UpstreamSpec {
            health: None,
            ..defaults.clone()
        };
        Self {
            implied_by: Some(target.clone()),
            ..Self::build(&name, &Arc::new(spec), &without_checks, before)
        }
    }

    /// A server for a request that was tried on `pick.tried`: tier by tier, and within each an up one before an unknown one. None when nothing eligible is left.
    pub fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Server>> {
        let mut tiers = self.tiers.iter();
        tiers.find_map(|(_, tier)| balancer::pick(self.policy, tier, pick))
    }

    /// Picks a server and counts the attempt in flight, so that no server works on more than it may.
    pub fn begin(&self, pick: &Pick<'_>) -> Result<InFlight, NobodyLeft> {
        for _ in 0..RACES {
            let Some(server) = self.pick(pick) else {
                break;
            };
            if let Some(begun) = InFlight::try_begin(server.clone()) {
                return Ok(begun);
            }
        }
        let is_full = |server: &Arc<Server>| {
            server.is_full() && server.is_usable() && !pick.tried.contains(&server.id())
        };
        Err(match self.servers.iter().any(is_full) {
            true => NobodyLeft::Full,
            false => NobodyLeft::NoServer,
        })
    }

    /// The part of the group that has these labels, around the same servers.
    pub fn subset(&self, labels: &Labels, before: Option<&Self>) -> Self {
        let servers = self
            .servers
            .iter()
            .filter(|server| server.has_labels(labels));
        let servers: Vec<_> = servers.cloned().collect();
        Self {
            tiers: tiers(self.policy, &servers, before),
            servers,
            labels: labels.clone(),
            name: self.name.clone(),
            spec: self.spec.clone(),
            hash: self.hash.clone(),
            host: self.host.clone(),
            retry: self.retry.clone(),
            health: self.health.clone(),
            implied_by: None,
            ..*self
        }
    }

    /// The labels by which its servers were chosen, if it is a part of a group.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Servers that are usable as the rails count: admin up and health not down, backups too.
    pub fn usable(&self) -> usize {
        self.servers
            .iter()
            .filter(|server| server.is_usable())
            .count()
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The target of the routes that imply it, if it is implicit.
    pub fn implied_by(&self) -> Option<&Target> {
        self.implied_by.as_ref()
    }

    /// What it was built from.
    pub fn spec(&self) -> &Arc<UpstreamSpec> {
        &self.spec
    }

    /// How it picks.
    pub fn policy(&self) -> BalanceSpec {
        self.policy
    }

    /// Whether a pick needs to know the time.
    pub fn needs_time(&self) -> bool {
        self.measures_latency() || self.has_ramps
    }

    /// Whether its balancer wants to know how fast its servers answer.
    pub fn measures_latency(&self) -> bool {
        self.policy == BalanceSpec::LeastTime
    }

    /// What of a request decides where it goes; none in groups that do not hash.
    pub fn request_key(&self) -> Option<RequestKey<'_>> {
        match self.policy {
            BalanceSpec::IpHash => Some(RequestKey::ClientNetwork),
            BalanceSpec::Hash => Some(RequestKey::Of(&self.hash)),
            _ => None,
        }
    }

    /// Its members in file order.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// The member with this address.
    pub fn server(&self, address: &Address) -> Option<&Arc<Server>> {
        self.servers
            .iter()
            .find(|server| server.address() == address)
    }

    /// The Host header that its servers see.
    pub fn host(&self) -> &HostHeader {
        &self.host
    }

    /// How long each step towards a server may take.
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// When a request is tried on another server.
    pub fn retry(&self) -> &Arc<Retry> {
        &self.retry
    }

    /// Whether connections are kept for the next request.
    pub fn keeps_connections(&self) -> bool {
        self.keepalive
    }

    /// A change that leaves fewer usable servers is refused.
    pub fn min_healthy(&self) -> u32 {
        self.min_healthy
    }

    /// Its active checks, if it has any.
    pub fn health(&self) -> Option<&Arc<HealthSpec>> {
        self.health.as_ref()
    }
}

/// Each tier with its turns going on from the one of its number before.
fn tiers(
    policy: BalanceSpec,
    servers: &[Arc<Server>],
    before: Option<&Upstream>,
) -> Box<[(u32, Tier)]> {
    let numbers: BTreeSet<u32> = servers.iter().map(|server| server.tier()).collect();
    let tier = |number| {
        let members = servers.iter().filter(|server| server.tier() == number);
        let mut old = before.iter().flat_map(|before| &before.tiers);
        let old = old.find(|(its, _)| *its == number).map(|(_, tier)| tier);
        (number, Tier::new(policy, members, old))
    };
    numbers.into_iter().map(tier).collect()
}

fn carried_over(
    spec: &UpstreamSpec,
    health: Option<&HealthSpec>,
    before: Option<&Upstream>,
) -> Vec<Arc<Server>> {
    let old: HashMap<&Address, &Arc<Server>> = before
        .into_iter()
        .flat_map(|before| &before.servers)
        .map(|server| (server.address(), server))
        .collect();
    let start = health.and_then(|health| health.start).unwrap_or_default();
    let new = || Arc::new(ServerState::new(start));
    let server = |spec: &ServerSpec| {
        let old = old.get(&spec.address).copied();
        let state = old.map_or_else(new, |old| old.shared().clone());
        let server = Server::new(spec, health.is_some(), state);
        let ramp = ramp(&server, old, before.is_some());
        Arc::new(server.with_ramp(ramp))
    };
    spec.servers.iter().map(server).collect()
}

/// The slow start of a server: due when it joins a group that is there already, or when the operator lets
/// it take requests again; else it goes on. A group that comes with all of its servers has nobody to
/// spare them.
fn ramp(server: &Server, old: Option<&Arc<Server>>, has_group: bool) -> Option<Ramp> {
    let length = server.spec().slow_start.limit()?;
    let recoveries = server.shared().recoveries();
    Some(match old {
        None => Ramp::new(length, recoveries, has_group),
        Some(old) if server.is_let() && !old.is_let() => Ramp::new(length, recoveries, true),
        Some(old) => match old.ramp() {
            Some(ramp) => ramp.of_length(length),
            None => Ramp::new(length, recoveries, false),
        },
    })
}

impl Timeouts {
    /// The limit for every read from a server: the longer of the two.
    pub fn any_read(&self) -> Option<Duration> {
        self.first_byte
            .zip(self.read)
            .map(|(first, read)| first.max(read))
    }

    /// The limit for the first byte, where it is shorter than that.
    pub fn own_first_byte(&self) -> Option<Duration> {
        self.first_byte
            .filter(|first| self.read.is_none_or(|read| *first < read))
    }

    /// The limit between two reads, where it is shorter than that.
    pub fn own_read(&self) -> Option<Duration> {
        self.read
            .filter(|read| self.first_byte.is_none_or(|first| *read < first))
    }

    fn new(spec: TimeoutsSpec) -> Self {
        let limit = |span: Option<Span>, default: Span| span.unwrap_or(default).limit();
        Self {
            connect: limit(spec.connect, Span::from_secs(2)),
            first_byte: limit(spec.first_byte, Span::from_secs(60)),
            read: limit(spec.read, Span::from_secs(60)),
            write: limit(spec.write, Span::from_secs(30)),
            idle: limit(spec.idle, Span::from_secs(30)),
        }
    }
}

impl Retry {
    fn new(spec: RetrySpec) -> Self {
        use RetryCause::{Connect, Reset, Status502, Status503, Status504, Timeout};
        let every = || vec![Connect, Reset, Timeout, Status502, Status503, Status504];
        Self {
            attempts: spec.attempts.unwrap_or(2).max(1),
            on: spec.on.unwrap_or_else(every),
            non_idempotent: spec.non_idempotent.unwrap_or(false),
        }
    }
}
