//! `max_connections` of a server, with every balancer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

mod balancer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use balancer::{Member, POLICIES, name, spec};
use pointsman::domain::balancer::Pick;
use pointsman::domain::server::{Health, InFlight};
use pointsman::domain::snapshot::Snapshot;
use pointsman::domain::upstream::{NobodyLeft, Upstream};
use pointsman::spec::BalanceSpec;

fn group(limits: &[u32], policy: BalanceSpec) -> Arc<Upstream> {
    let mut spec = spec(&vec![Member::up(1); limits.len()], policy);
    let group = Arc::make_mut(spec.upstreams.get_mut(&name()).unwrap());
    for (server, most) in group.servers.iter_mut().zip(limits) {
        server.max_connections = *most;
    }
    let snapshot = Snapshot::build(1, Arc::new(spec), None);
    let upstream = snapshot.upstream(&name()).unwrap().clone();
    for server in upstream.servers() {
        server.shared().set_health(Health::Up, 1);
    }
    upstream
}

fn in_flight(group: &Upstream) -> Vec<u32> {
    let servers = group.servers().iter();
    servers.map(|server| server.shared().in_flight()).collect()
}

#[test]
fn a_full_server_is_passed_over_until_it_has_room() {
    for policy in POLICIES {
        let limits: Vec<u32> = (0..40).map(|place| place % 3 + 1).collect();
        let group = group(&limits, policy);
        let mut random = fastrand::Rng::with_seed(5);
        let mut begin = || group.begin(&Pick::new(&[], random.u64(..)));
        let room: u32 = limits.iter().sum();
        let mut held: Vec<InFlight> = (0..room).map(|_| begin().unwrap()).collect();
        assert_eq!(in_flight(&group), limits, "{policy:?}");
        assert_eq!(begin().unwrap_err(), NobodyLeft::Full);
        let freed = held.swap_remove(7).server().id();
        assert_eq!(begin().unwrap().server().id(), freed, "{policy:?}");
    }
}

#[test]
fn full_is_told_from_down_and_from_tried() {
    let group = group(&[1, 0], BalanceSpec::RoundRobin);
    let ids: Vec<_> = group.servers().iter().map(|server| server.id()).collect();
    let held = InFlight::try_begin(group.servers()[0].clone(), 1).unwrap();
    let begin = |tried: &[_]| {
        group
            .begin(&Pick::new(tried, 1))
            .map(|begun| begun.server().id())
    };
    assert_eq!(begin(&[]), Ok(ids[1]));
    assert_eq!(begin(&ids[1..]), Err(NobodyLeft::Full));
    assert_eq!(begin(&ids), Err(NobodyLeft::NoServer));
    group.servers()[1].shared().set_health(Health::Down, 2);
    assert_eq!(begin(&[]), Err(NobodyLeft::Full));
    drop(held);
    assert_eq!(begin(&[]), Ok(ids[0]));
}

/// Where the others have no more room the one that fails is no better: room comes by itself.
#[test]
fn what_full_servers_cannot_take_goes_to_none_that_is_ejected() {
    let group = group(&[1, 1], BalanceSpec::RoundRobin);
    let ejected = group.servers()[0].shared();
    (0..3).for_each(|_| {
        group.failed(&group.servers()[0], 1_000, 1_000);
    });
    assert!(ejected.ejection().is_out(1_001));
    let pick = Pick {
        now: 1_001,
        ..Pick::new(&[], 7)
    };
    let held = group.begin(&pick).unwrap();
    assert_eq!(held.server().id(), group.servers()[1].id());
    assert_eq!(group.begin(&pick).unwrap_err(), NobodyLeft::Full);
}

/// Threads race for the last place; none gets one more.
#[test]
fn the_limit_holds_whoever_comes_at_once() {
    let group = group(&[2, 3], BalanceSpec::LeastConnections);
    let begun = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (group, begun) = (&group, &begun);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..50_000 {
                    let held = group.begin(&Pick::new(&[], random.u64(..)));
                    let counts = in_flight(group);
                    assert!(counts[0] <= 2 && counts[1] <= 3, "{counts:?}");
                    if let Ok(held) = held {
                        held.count();
                        begun.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(in_flight(&group), [0, 0]);
    let requests = group
        .servers()
        .iter()
        .map(|server| server.shared().requests());
    assert_eq!(requests.sum::<u64>(), begun.into_inner() as u64);
}
