//! Only its own keys move when a server leaves a group that hashes. The figures: `cargo test --test moved_keys -- --nocapture`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

mod balancer;

use std::sync::Arc;

use balancer::{Group, Member, name, spec};
use pointsman::domain::balancer::Pick;
use pointsman::domain::hashing::StableHash;
use pointsman::domain::server::{Health, InFlight, ServerId};
use pointsman::domain::snapshot::Snapshot;
use pointsman::domain::upstream::Upstream;
use pointsman::spec::{Admin, BalanceSpec, ServerSpec};

const KEYS: usize = 100_000;
const POLICIES: [BalanceSpec; 2] = [BalanceSpec::Hash, BalanceSpec::IpHash];

/// Where each key goes: `hash` has names, `ip_hash` networks.
fn places(upstream: &Upstream, policy: BalanceSpec) -> Vec<ServerId> {
    let key = |number: usize| match policy {
        BalanceSpec::IpHash => StableHash::of(&(number as u32).to_be_bytes()[1..]),
        _ => StableHash::of(format!("/item/{number}").as_bytes()),
    };
    let pick = |number| Pick {
        key: key(number),
        ..Pick::new(&[], number as u64)
    };
    let server = |number| upstream.pick(&pick(number)).unwrap().id();
    (0..KEYS).map(server).collect()
}

/// The keys that are elsewhere although their server is still there.
fn moved(before: &[ServerId], after: &[ServerId], left: Option<ServerId>) -> usize {
    let pairs = before.iter().zip(after);
    pairs
        .filter(|(was, is)| Some(**was) != left && was != is)
        .count()
}

/// The group before and after its servers were edited, and the server at place 37 (or the first).
fn edited(
    servers: usize,
    weights: &[u16],
    policy: BalanceSpec,
    edit: impl Fn(&mut Vec<ServerSpec>),
) -> (Vec<ServerId>, Vec<ServerId>, ServerId) {
    let weight = |place: usize| weights[place % weights.len()];
    let members: Vec<Member> = (0..servers)
        .map(|place| Member::up(weight(place)))
        .collect();
    let mut state = spec(&members, policy);
    let first = Snapshot::build(1, Arc::new(state.clone()), None);
    let group = state.upstreams.get_mut(&name()).unwrap();
    edit(&mut Arc::make_mut(group).servers);
    let second = Snapshot::build(2, Arc::new(state), Some(&first));
    let upstreams = [&first, &second].map(|snapshot| snapshot.upstream(&name()).unwrap().clone());
    for server in upstreams.iter().flat_map(|upstream| upstream.servers()) {
        server.shared().set_health(Health::Up, 1);
    }
    let [before, after] = upstreams
        .each_ref()
        .map(|upstream| places(upstream, policy));
    (before, after, upstreams[0].servers()[37 % servers].id())
}

#[test]
fn when_one_of_100_servers_leaves_only_its_own_keys_move() {
    for policy in POLICIES {
        for weights in [&[1][..], &[1, 2, 5]] {
            let (before, after, left) =
                edited(100, weights, policy, |servers| drop(servers.remove(37)));
            let own = before.iter().filter(|server| **server == left).count();
            let others = moved(&before, &after, Some(left));
            let percent = |keys: usize| keys as f64 * 100.0 / KEYS as f64;
            println!(
                "{policy:?}, weights {weights:?}, 1 of 100 servers leaves: {:.2} % of {KEYS} keys were its own, {:.2} % others moved",
                percent(own),
                percent(others)
            );
            assert!(!after.contains(&left));
            assert_eq!(others, 0);
        }
    }
}

#[test]
fn a_server_that_is_added_takes_keys_and_no_others_move() {
    for policy in POLICIES {
        let (before, after, _) = edited(100, &[1], policy, |servers| {
            servers.push(ServerSpec::new(balancer::address(100)));
        });
        let known: std::collections::HashSet<_> = before.iter().collect();
        let among_old = before
            .iter()
            .zip(&after)
            .filter(|(was, is)| was != is && known.contains(is));
        let among_old = among_old.count() as f64 * 100.0 / KEYS as f64;
        println!(
            "{policy:?}, 1 server joins 100: {among_old:.2} % of the keys moved between the others"
        );
        assert!(among_old == 0.0);
    }
}

#[test]
fn the_order_of_the_servers_moves_no_key() {
    for policy in POLICIES {
        let (before, after, _) = edited(100, &[1, 3], policy, |servers| servers.reverse());
        assert_eq!(moved(&before, &after, None), 0);
    }
}

/// Health does not change the ring: the keys of a server that is down go elsewhere and come back.
#[test]
fn while_a_server_is_down_only_its_keys_move_and_then_they_come_back() {
    for policy in POLICIES {
        let group = Group::of(&[Member::up(1); 100], policy);
        let before = places(&group.upstream, policy);
        let down = &group.upstream.servers()[37];
        down.shared().set_health(Health::Down, 2);
        let meanwhile = places(&group.upstream, policy);
        assert!(!meanwhile.contains(&down.id()));
        assert_eq!(moved(&before, &meanwhile, Some(down.id())), 0);
        // They spread over the others: 1,000 keys over 99 servers, about 10 each.
        let mut counts = std::collections::HashMap::new();
        let pairs = before.iter().zip(&meanwhile);
        pairs
            .filter(|(was, _)| **was == down.id())
            .for_each(|(_, is)| *counts.entry(is).or_insert(0) += 1);
        assert!(*counts.values().max().unwrap() <= 40, "{counts:?}");
        down.shared().set_health(Health::Up, 3);
        assert_eq!(places(&group.upstream, policy), before);
    }
}

#[test]
fn the_same_key_goes_to_the_same_server_before_the_first_verdicts_and_after() {
    let group = Group::of(&[Member::up(1); 40], BalanceSpec::Hash);
    let set = |health| {
        let servers = group.upstream.servers().iter();
        servers.for_each(|server| assert!(server.shared().set_health(health, 2)));
    };
    set(Health::Unknown);
    let before = places(&group.upstream, BalanceSpec::Hash);
    set(Health::Up);
    assert_eq!(places(&group.upstream, BalanceSpec::Hash), before);
}

/// It leaves the ring, and with it only its own keys.
#[test]
fn a_drained_server_gets_no_key_and_no_other_key_moves() {
    for policy in POLICIES {
        let (before, after, drained) = edited(100, &[1], policy, |servers| {
            servers[37].admin = Admin::Drain;
        });
        assert!(!after.contains(&drained));
        assert_eq!(moved(&before, &after, Some(drained)), 0);
    }
}

/// One key alone cannot take more than 5/4 of the average and two, and one request that is too many.
#[test]
fn a_popular_key_does_not_crowd_its_server() {
    for count in [5, 30, 200] {
        let group = Group::of(&vec![Member::up(1); count], BalanceSpec::Hash);
        let mut held = Vec::new();
        for random in 0..count as u64 * 20 {
            let pick = Pick {
                key: 7,
                ..Pick::new(&[], random.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            };
            held.push(InFlight::begin(group.upstream.pick(&pick).unwrap().clone()));
        }
        let most = group
            .upstream
            .servers()
            .iter()
            .map(|server| server.shared().in_flight())
            .max();
        println!(
            "one key, {count} servers, 20 requests each in flight on average: at most {}",
            most.unwrap()
        );
        // In a larger tier the average is a sample's.
        let bound = if count <= 32 { 25 + 3 } else { 40 };
        assert!(most.unwrap() <= bound, "{count} servers: {most:?}");
    }
}
