//! A named group of servers that can pick one of them.

mod begin;
mod carry;
mod limits;
pub mod members;
mod outcome;
mod stick;
mod wait;

use std::sync::{Arc, Mutex};

use super::balancer::{self, Accept, Pick, Tier};
use super::budget::Budget;
use super::ejection::RateRule;
use super::names::Names;
use super::queue::Queue;
use super::server::Server;
use super::sticky::Sticky;
use super::tls::Tls;
use crate::spec::{
    Address, BalanceSpec, CheckType, HashKey, HealthSpec, HostHeader, Labels, Name, Percent,
    Protocol, SendProxyProtocol, ServerSpec, Target, UpstreamSpec, WhenAllDown,
};
use carry::{carried_over, tiers};

pub use begin::{NobodyLeft, Room};
pub use limits::{Retry, Timeouts};

use members::MemberName;
use wait::Patience;

/// A group in one snapshot. Never edited: a change makes a new one around the same states.
#[derive(Debug)]
pub struct Upstream {
    name: Name,
    spec: Arc<UpstreamSpec>,
    policy: BalanceSpec,
    hash: HashKey,
    sticky: Option<Arc<Sticky>>,
    servers: Vec<Arc<Server>>,
    /// Those of the whole group, if it is a part of one.
    siblings: Option<Vec<Arc<Server>>>,
    /// The names among its members.
    names: Vec<MemberName>,
    /// By their numbers, the first first.
    tiers: Box<[(u64, Tier)]>,
    /// What its servers were chosen by, if it is a part of a group.
    labels: Labels,
    host: HostHeader,
    timeouts: Timeouts,
    retry: Arc<Retry>,
    keepalive: bool,
    tls: Option<Tls>,
    rate: Option<RateRule>,
    max_ejected: Percent,
    /// Held while it is decided whether a server is ejected; for all snapshots of the group.
    ejecting: Arc<Mutex<()>>,
    budget: Arc<Budget>,
    queue: Arc<Queue>,
    patience: Patience,
    when_all_down: WhenAllDown,
    protocol: Protocol,
    send_proxy_protocol: SendProxyProtocol,
    min_healthy: u32,
    health: Option<Arc<HealthSpec>>,
    /// The target of the routes that imply it; none for a group that has a name of its own.
    implied_by: Option<Target>,
}

/// What of a request decides where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKey<'a> {
    /// The client's network, as nginx's `ip_hash` has it.
    ClientNetwork,
    /// What the group says.
    Of(&'a HashKey),
}

impl Upstream {
    /// Builds the group around what survives from the one before: the states of the servers that
    /// stay, and whose turn it is. `names`: what the names of servers stand for.
    pub fn build(
        name: &Name,
        spec: &Arc<UpstreamSpec>,
        defaults: &UpstreamSpec,
        names: &Names,
        before: Option<&Self>,
    ) -> Self {
        let full = spec.or(defaults);
        let health = full
            .health
            .clone()
            .filter(|health| health.kind != Some(CheckType::None))
            .map(Arc::new);
        let listed = members::listed(&spec.servers, names);
        let queue = before
            .map(|before| before.queue.clone())
            .unwrap_or_default();
        let servers = carried_over(listed, health.as_deref(), &queue, before);
        let policy = full.balance.unwrap_or_default();
        Self {
            name: name.clone(),
            spec: spec.clone(),
            policy,
            hash: full.hash.and_then(|hash| hash.key).unwrap_or_default(),
            tiers: tiers(policy, &servers, before),
            sticky: Sticky::carried_over(
                full.sticky,
                &servers,
                before.and_then(|before| before.sticky.as_deref()),
            ),
            servers,
            siblings: None,
            names: members::names(&spec.servers, names),
            labels: Labels::default(),
            host: full.host.unwrap_or_default(),
            timeouts: Timeouts::new(full.timeouts.unwrap_or_default()),
            retry: Arc::new(Retry::new(full.retry.unwrap_or_default())),
            tls: Tls::carried_over(full.tls, before.and_then(|before| before.tls.as_ref())),
            protocol: full.protocol.unwrap_or_default(),
            send_proxy_protocol: full.send_proxy_protocol.unwrap_or_default(),
            keepalive: full.keepalive != Some(0),
            rate: full.outlier.as_ref().map(RateRule::new),
            max_ejected: full.max_ejected.unwrap_or(outcome::MAX_EJECTED),
            ejecting: before
                .map(|before| before.ejecting.clone())
                .unwrap_or_default(),
            budget: before
                .map(|before| before.budget.clone())
                .unwrap_or_default(),
            queue,
            patience: Patience::new(&full.queue.unwrap_or_default()),
            when_all_down: full.when_all_down.unwrap_or_default(),
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
            sticky: None,
            ..defaults.clone()
        };
        Self {
            implied_by: Some(target.clone()),
            ..Self::build(
                &name,
                &Arc::new(spec),
                &without_checks,
                &Names::default(),
                before,
            )
        }
    }

    /// A server for a request that was tried on `pick.tried`: tier by tier, and within each an up one before an unknown
    /// one. Only when nothing eligible is left, one that is ejected: failing requests have said less of it than its
    /// checks would. None when there is none of these either.
    pub fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Server>> {
        self.pick_of(pick).or_else(|| self.last_resort(pick))
    }

    fn pick_of(&self, pick: &Pick<'_>) -> Option<&Arc<Server>> {
        let mut tiers = self.tiers.iter();
        tiers.find_map(|(_, tier)| balancer::pick(self.policy, tier, pick))
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
            siblings: Some(self.servers.clone()),
            names: self.names_with(labels),
            labels: labels.clone(),
            name: self.name.clone(),
            spec: self.spec.clone(),
            hash: self.hash.clone(),
            sticky: self.sticky.clone(),
            host: self.host.clone(),
            retry: self.retry.clone(),
            tls: self.tls.clone(),
            ejecting: self.ejecting.clone(),
            budget: self.budget.clone(),
            queue: self.queue.clone(),
            health: self.health.clone(),
            implied_by: None,
            ..*self
        }
    }

    /// The labels by which its servers were chosen, if it is a part of a group.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    #[cold]
    fn last_resort(&self, pick: &Pick<'_>) -> Option<&Arc<Server>> {
        if self.is_full_for(pick) {
            // Room comes by itself; a server that fails is no better.
            return None;
        }
        let accepting = |accept| Pick { accept, ..*pick };
        let ejected = self.pick_of(&accepting(Accept::Ejected));
        if ejected.is_some() || self.when_all_down == WhenAllDown::Fail || !self.is_all_down() {
            return ejected;
        }
        self.pick_of(&accepting(Accept::Unhealthy))
    }

    /// Whether checks or operators have taken every server out.
    pub fn is_all_down(&self) -> bool {
        self.usable_servers() == 0
    }

    /// Whether that is an outage. One without servers is nobody's failure: an operator made it so, or DNS has not answered
    /// yet.
    pub fn is_outage(&self) -> bool {
        self.is_all_down() && !self.servers.is_empty()
    }

    /// What happens when they have.
    pub fn when_all_down(&self) -> WhenAllDown {
        self.when_all_down
    }

    /// Counts a request that may be retried later.
    pub fn count_request(&self) {
        if self.retry.attempts > 1 && self.retry.budget.get() < 100 {
            self.budget.request();
        }
    }

    /// Takes one retry from the group's budget at `now` (milliseconds by a clock that only goes on).
    pub fn spend_retry(&self, now: u64) -> bool {
        self.budget.spend(self.retry.budget, now)
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

    /// Its servers, in the order of its members.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// The server with this address, be it a member or one that a name stands for.
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
