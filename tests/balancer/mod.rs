//! Groups to pick from, as a property test makes them up.

#![allow(dead_code, reason = "each test takes its part")]

use std::collections::HashMap;
use std::sync::Arc;

use pointsman::domain::balancer::Pick;
use pointsman::domain::server::{Health, InFlight, Server, ServerId};
use pointsman::domain::snapshot::Snapshot;
use pointsman::domain::upstream::Upstream;
use pointsman::spec::{
    Address, Admin, BalanceSpec, HealthSpec, Name, ServerSpec, Spec, UpstreamSpec,
};
use proptest::prelude::*;

/// `ip_hash` picks as `hash` does; what differs is the key, which the proxy makes.
pub(crate) const POLICIES: [BalanceSpec; 6] = [
    BalanceSpec::RoundRobin,
    BalanceSpec::Random,
    BalanceSpec::LeastConnections,
    BalanceSpec::RandomTwo,
    BalanceSpec::LeastTime,
    BalanceSpec::Hash,
];

/// One server as it is asked for and observed, and whether the request was tried on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) weight: u16,
    pub(crate) admin: Admin,
    pub(crate) backup: bool,
    pub(crate) tier: u16,
    pub(crate) health: Health,
    pub(crate) tried: bool,
}

impl Member {
    /// A primary of this weight that is up.
    pub(crate) fn up(weight: u16) -> Self {
        Self {
            weight,
            admin: Admin::Up,
            backup: false,
            tier: 0,
            health: Health::Up,
            tried: false,
        }
    }

    /// What is preferred, the better first; none: not to be picked. The contract in one line.
    pub(crate) fn rank(&self) -> Option<(u32, bool)> {
        let tier = if self.backup {
            u32::MAX
        } else {
            self.tier.into()
        };
        let fit = self.admin == Admin::Up && self.weight > 0 && !self.tried;
        (fit && self.health != Health::Down).then_some((tier, self.health == Health::Unknown))
    }
}

/// Any members, most of them fit.
pub(crate) fn members(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Member>> {
    let admin = prop_oneof![6 => Just(Admin::Up), 1 => Just(Admin::Drain), 1 => Just(Admin::Down)];
    let health =
        prop_oneof![2 => Just(Health::Up), 1 => Just(Health::Unknown), 2 => Just(Health::Down)];
    let weight = prop_oneof![1 => Just(0u16), 6 => 1u16..20, 1 => 1u16..200];
    let member = (
        weight,
        admin,
        prop_oneof![3 => Just((0, false)), 1 => Just((1, false)), 1 => Just((7, false)), 3 => Just((0, true))],
        health,
        prop::bool::weighted(0.2),
    )
        .prop_map(|(weight, admin, (tier, backup), health, tried)| Member {
            weight,
            admin,
            backup,
            tier,
            health,
            tried,
        });
    prop::collection::vec(member, count)
}

/// A group of these members, and the requests that hold on to its servers.
pub(crate) struct Group {
    pub(crate) upstream: Arc<Upstream>,
    tried: Vec<ServerId>,
    random: fastrand::Rng,
    held: Vec<InFlight>,
    pub(crate) now: u64,
}

impl Group {
    pub(crate) fn of(members: &[Member], policy: BalanceSpec) -> Self {
        let snapshot = Snapshot::build(1, Arc::new(spec(members, policy)), None);
        let upstream = snapshot.upstream(&name()).unwrap().clone();
        let mut tried = Vec::new();
        for (server, member) in upstream.servers().iter().zip(members) {
            server.shared().set_health(member.health, 1);
            if member.tried {
                tried.push(server.id());
            }
        }
        Self {
            upstream,
            tried,
            random: fastrand::Rng::with_seed(1),
            held: Vec::new(),
            now: 1_000,
        }
    }

    /// The place of the picked member.
    pub(crate) fn pick(&mut self) -> Option<usize> {
        let server = self.pick_server()?;
        self.upstream
            .servers()
            .iter()
            .position(|member| member.id() == server.id())
    }

    fn pick_server(&mut self) -> Option<Arc<Server>> {
        let pick = Pick {
            now: self.now,
            ..Pick::new(&self.tried, self.random.u64(..))
        };
        self.upstream.pick(&pick).cloned()
    }

    /// How often each member is picked by so many requests that all stay in flight.
    pub(crate) fn counts(&mut self, picks: usize) -> Vec<usize> {
        let mut counts: HashMap<ServerId, usize> = HashMap::new();
        for _ in 0..picks {
            let server = self.pick_server().expect("something is eligible");
            *counts.entry(server.id()).or_default() += 1;
            self.held.push(InFlight::begin(server));
        }
        let count = |server: &Arc<Server>| counts.get(&server.id()).copied().unwrap_or(0);
        self.upstream.servers().iter().map(count).collect()
    }

    /// Gives a member so many requests in flight more.
    pub(crate) fn load(&mut self, place: usize, requests: u32) {
        let server = &self.upstream.servers()[place];
        self.held
            .extend((0..requests).map(|_| InFlight::begin(server.clone())));
    }

    /// A member answers after so many microseconds.
    pub(crate) fn answer(&mut self, place: usize, microseconds: u64) {
        let shared = self.upstream.servers()[place].shared();
        shared.latency().observe(microseconds, self.now);
    }

    pub(crate) fn in_flight(&self, place: usize) -> u64 {
        u64::from(self.upstream.servers()[place].shared().in_flight())
    }
}

pub(crate) fn name() -> Name {
    Name::new("web").unwrap()
}

/// A state with one group of these members, checked.
pub(crate) fn spec(members: &[Member], policy: BalanceSpec) -> Spec {
    let server = |(place, member): (usize, &Member)| ServerSpec {
        weight: member.weight,
        admin: member.admin,
        backup: member.backup,
        tier: member.tier,
        ..ServerSpec::new(address(place))
    };
    let upstream = UpstreamSpec {
        balance: Some(policy),
        health: Some(HealthSpec::default()),
        servers: members.iter().enumerate().map(server).collect(),
        ..UpstreamSpec::default()
    };
    Spec {
        upstreams: [(name(), Arc::new(upstream))].into(),
        ..Spec::default()
    }
}

pub(crate) fn address(place: usize) -> Address {
    Address::new(&format!("10.0.{}.{}:80", place / 250, place % 250 + 1)).unwrap()
}
