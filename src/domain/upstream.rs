//! A named group of servers that can pick one of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::balancer::{self, Pick, Tier};
use super::server::{Server, ServerState};
use super::tls::Tls;
use crate::spec::{
    Address, BalanceSpec, CheckType, HealthSpec, HostHeader, Name, Protocol, RetryCause, RetrySpec,
    SendProxyProtocol, ServerSpec, Span, Target, TimeoutsSpec, UpstreamSpec,
};

/// A group in one snapshot. Never edited: a change makes a new one around the same states.
#[derive(Debug)]
pub struct Upstream {
    name: Name,
    spec: Arc<UpstreamSpec>,
    policy: BalanceSpec,
    servers: Vec<Arc<Server>>,
    primaries: Tier,
    backups: Tier,
    host: HostHeader,
    timeouts: Timeouts,
    retry: Arc<Retry>,
    keepalive: bool,
    tls: Option<Tls>,
    protocol: Protocol,
    send_proxy_protocol: SendProxyProtocol,
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
        let tier = |backup, before| {
            let members = servers.iter().filter(|server| server.is_backup() == backup);
            Tier::new(members, before)
        };
        Self {
            name: name.clone(),
            spec: spec.clone(),
            policy: full.balance.unwrap_or_default(),
            primaries: tier(false, before.map(|before| &before.primaries)),
            backups: tier(true, before.map(|before| &before.backups)),
            servers,
            host: full.host.unwrap_or_default(),
            timeouts: Timeouts::new(full.timeouts.unwrap_or_default()),
            retry: Arc::new(Retry::new(full.retry.unwrap_or_default())),
            tls: Tls::carried_over(full.tls, before.and_then(|before| before.tls.as_ref())),
            protocol: full.protocol.unwrap_or_default(),
            send_proxy_protocol: full.send_proxy_protocol.unwrap_or_default(),
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

    /// A server for a request that was tried on `pick.tried`: primaries before backups, and within
    /// each an up one before an unknown one. None when nothing eligible is left.
    pub fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Server>> {
        let from = |tier| balancer::pick(self.policy, tier, pick);
        from(&self.primaries).or_else(|| from(&self.backups))
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

    /// How connections to its servers are secured, if they are.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The protocol spoken to its servers.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The PROXY header that begins each connection to a server.
    pub fn send_proxy_protocol(&self) -> SendProxyProtocol {
        self.send_proxy_protocol
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

fn carried_over(
    spec: &UpstreamSpec,
    health: Option<&HealthSpec>,
    before: Option<&Upstream>,
) -> Vec<Arc<Server>> {
    let old: HashMap<&Address, &Arc<ServerState>> = before
        .into_iter()
        .flat_map(|before| &before.servers)
        .map(|server| (server.address(), server.shared()))
        .collect();
    let start = health.and_then(|health| health.start).unwrap_or_default();
    let new = || Arc::new(ServerState::new(start));
    let state = |address: &Address| old.get(address).map_or_else(new, |&state| state.clone());
    let server = |server: &ServerSpec| {
        Arc::new(Server::new(
            server,
            health.is_some(),
            state(&server.address),
        ))
    };
    spec.servers.iter().map(server).collect()
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
