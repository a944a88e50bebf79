//! One contract for every balancer, through `Upstream::pick`. What each promises beyond it stands below.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

mod balancer;

use std::sync::Arc;

use balancer::{Group, Member, POLICIES, members, name, spec};
use pointsman::domain::balancer::{EXACT, Pick};
use pointsman::domain::server::{Health, InFlight};
use pointsman::domain::snapshot::Snapshot;
use pointsman::spec::{Admin, BalanceSpec};
use proptest::prelude::*;

fn best_rank(members: &[Member]) -> Option<(u32, bool)> {
    members.iter().filter_map(Member::rank).min()
}

proptest! {
    /// Admin, health, weight 0 and the tried list each exclude; primary up comes before primary
    /// unknown, tier by tier, and the backups last; nothing is picked only if nothing is eligible.
    #[test]
    fn in_a_group_of_up_to_32_a_pick_is_one_of_the_best(members in members(0..EXACT + 1), picks in 1..40usize) {
        for policy in POLICIES {
            let mut group = Group::of(&members, policy);
            for _ in 0..picks {
                let rank = group.pick().map(|place| members[place].rank().expect("eligible"));
                prop_assert_eq!(rank, best_rank(&members), "{:?}", policy);
            }
        }
    }

    /// Above 32 the order between up and unknown is that of a sample (below); the rest holds as it is.
    #[test]
    fn in_a_larger_group_a_pick_is_eligible_and_of_the_first_tier_that_can_serve(members in members(EXACT + 1..200), picks in 1..40usize) {
        for policy in POLICIES {
            let mut group = Group::of(&members, policy);
            for _ in 0..picks {
                let rank = group.pick().map(|place| members[place].rank().expect("eligible"));
                prop_assert_eq!(rank.map(|(tier, _)| tier), best_rank(&members).map(|(tier, _)| tier), "{:?}", policy);
            }
        }
    }

    #[test]
    fn the_one_eligible_server_among_many_is_found(count in 1..3000usize, at in any::<prop::sample::Index>(), health in prop::sample::select(vec![Health::Up, Health::Unknown])) {
        let mut members = vec![Member { health: Health::Down, ..Member::up(1) }; count];
        let at = at.index(count);
        members[at].health = health;
        for policy in POLICIES {
            let mut group = Group::of(&members, policy);
            for _ in 0..5 {
                prop_assert_eq!(group.pick(), Some(at), "{:?}", policy);
            }
        }
    }
}

proptest! {
    // Each case is thousands of picks.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Requests that stay in flight are shared by weight among the best: by turns, by chance or by load.
    #[test]
    fn shares_follow_the_weights_of_the_eligible(members in members(1..EXACT + 1), picks in 1..1000usize) {
        let Some(rank) = best_rank(&members) else { return Ok(()) };
        let best = |member: &Member| member.rank() == Some(rank);
        let total: f64 = members.iter().filter(|member| best(member)).map(|member| f64::from(member.weight)).sum();
        let eligible = members.iter().filter(|member| best(member)).count();
        for policy in POLICIES {
            let counts = Group::of(&members, policy).counts(picks);
            for (member, count) in members.iter().zip(counts).filter(|(member, _)| best(member)) {
                let share = f64::from(member.weight) / total;
                let off = (count as f64 - share * picks as f64).abs();
                let most = tolerance(policy, member, share, picks, eligible);
                prop_assert!(off <= most, "{:?}: {} of {} picks for a share of {}, off by {} > {}", policy, count, picks, share, off, most);
            }
        }
    }
}

/// How far a count may be from its share of `picks`:
///
/// - By chance: Bernstein's inequality. For a sum X of independent draws of variance v = n p (1 - p),
///   P(|X - n p| >= t) <= 2 exp(-t^2 / (2 (v + t / 3))), which is below 1e-9 for
///   t = l / 3 + sqrt(l^2 / 9 + 2 l v) with l = ln(2e9).
/// - By turns: n picks are whole rounds, in which each has exactly its weight, and a part of one, in which
///   it has between none and its weight, as has its share: off by at most its weight. Where the next 32 turns
///   have nobody fit, chance decides, which adds its own tolerance.
/// - By load: the least (c + 1) / w is D'Hondt's rule. From c_i w_j <= w_i (c_j + 1) for all j follows
///   c_i <= p_i (n + m - 1) for m servers, and from c_j w_i <= w_j (c_i + 1) follows c_i >= p_i n - 1 + p_i.
/// - By load of two: the second choice only takes from who has more for its weight and gives to who has
///   less, so that counts lie closer to their shares than by chance alone (Azar et al. 1999, Wieder 2007);
///   a comparison of c / w is off by one request.
/// - By keys, which here are all different: by chance, on a ring where n points of N in all have a share
///   with the variance p (1 - p) / (N + 1) (a beta distribution) around p = n / N; 8 of its deviations,
///   since it is skewed. p is off from the weight's share by the rounding of points, less than one of
///   80 or more on average. Whoever is crowded passes requests on to those that have less.
/// - By time, while none has answered: every server has one request at once, and the rest is by load.
fn tolerance(
    policy: BalanceSpec,
    member: &Member,
    share: f64,
    picks: usize,
    servers: usize,
) -> f64 {
    let l = 2e9_f64.ln();
    let variance = picks as f64 * share * (1.0 - share);
    let chance = l / 3.0 + (l * l / 9.0 + 2.0 * l * variance).sqrt();
    // Rounding of the sums above.
    let exact = |bound: f64| bound + 1e-6;
    let least = (share * (servers as f64 - 1.0)).max(1.0 - share);
    let points = 80.0 * servers as f64;
    let ring = 8.0 * (share * (1.0 - share) / points).sqrt() + 1.0 / points;
    let ring = ring * picks as f64;
    match policy {
        BalanceSpec::Random => chance,
        BalanceSpec::RoundRobin => exact(f64::from(member.weight)) + chance,
        BalanceSpec::LeastConnections => exact(least),
        BalanceSpec::RandomTwo => exact(1.0) + chance,
        BalanceSpec::LeastTime => exact(least) + servers as f64,
        BalanceSpec::IpHash | BalanceSpec::Hash => ring + chance,
    }
}

/// Turns that fall on servers that are skipped, for whatever reason, leave the others' shares even:
/// nobody inherits them because of where it stands.
#[test]
fn no_server_of_a_large_group_is_starved_or_flooded_by_those_that_are_skipped() {
    let odd_one = |place: usize| place.is_multiple_of(3);
    let half = |place: usize| place >= 100;
    let skips: [(&str, &dyn Fn(usize) -> bool); 3] = [
        ("none", &|_| false),
        ("a third", &odd_one),
        ("the second half", &half),
    ];
    for policy in POLICIES {
        for (what, skipped) in skips {
            for (good, bad) in [
                (Health::Up, Health::Down),
                (Health::Unknown, Health::Down),
                (Health::Up, Health::Unknown),
            ] {
                let health = |place| if skipped(place) { bad } else { good };
                let members: Vec<Member> = (0..200)
                    .map(|place| Member {
                        health: health(place),
                        ..Member::up(1)
                    })
                    .collect();
                let good_places = (0..200).filter(|place| !skipped(*place)).count();
                let counts = Group::of(&members, policy).counts(100 * good_places);
                for place in (0..200).filter(|place| !skipped(*place)) {
                    // 100 expected; chance is off by at most 73, but for 1 in 1e9 (Bernstein, above).
                    assert!(
                        (27..=173).contains(&counts[place]),
                        "{policy:?}, {what} {bad:?}: {} picks",
                        counts[place]
                    );
                }
            }
        }
    }
}

/// Of a large group a sample is looked at: an unknown server is picked with up ones there only if the
/// sample had none. With half of them up that has a probability of 2^-32 by turns or chance, and of 2^-8
/// by load.
#[test]
fn in_a_large_group_unknown_servers_hardly_get_requests_while_half_are_up() {
    let health = |place| {
        if place % 2 == 0 {
            Health::Up
        } else {
            Health::Unknown
        }
    };
    let members: Vec<Member> = (0..1000)
        .map(|place| Member {
            health: health(place),
            ..Member::up(1)
        })
        .collect();
    for policy in POLICIES {
        let mut group = Group::of(&members, policy);
        let unknown = (0..20_000)
            .filter(|_| group.pick().unwrap() % 2 == 1)
            .count();
        // 78 expected by load or time; Bernstein's tolerance for 20,000 picks is 66.
        let most = match policy {
            BalanceSpec::LeastConnections | BalanceSpec::LeastTime => 78 + 66,
            _ => 0,
        };
        assert!(unknown <= most, "{policy:?}: {unknown}");
    }
}

/// nginx's own loop, as its documentation tells it (ngx_http_upstream_round_robin.c).
fn nginx(weights: &[u16], picks: usize) -> Vec<usize> {
    let total: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
    let mut current = vec![0; weights.len()];
    let mut turn = || {
        current
            .iter_mut()
            .zip(weights)
            .for_each(|(current, &weight)| *current += i64::from(weight));
        let highest = *current.iter().max().unwrap();
        let best = current.iter().position(|&value| value == highest).unwrap();
        current[best] -= total;
        best
    };
    (0..picks).map(|_| turn()).collect()
}

proptest! {
    #[test]
    fn round_robin_is_the_sequence_of_nginx(weights in prop::collection::vec(1u16..50, 1..40), health in prop::sample::select(vec![Health::Up, Health::Unknown])) {
        let members: Vec<Member> = weights.iter().map(|&weight| Member { health, ..Member::up(weight) }).collect();
        let mut group = Group::of(&members, BalanceSpec::RoundRobin);
        let picked: Vec<usize> = (0..300).map(|_| group.pick().unwrap()).collect();
        prop_assert_eq!(picked, nginx(&weights, 300));
    }

    /// A change elsewhere, or of the group's own settings, does not begin the round anew.
    #[test]
    fn turns_go_on_in_the_next_snapshot(weights in prop::collection::vec(1u16..10, 1..8), turns in prop::collection::vec(0..20usize, 1..6)) {
        let members: Vec<Member> = weights.iter().map(|&weight| Member::up(weight)).collect();
        let mut spec = spec(&members, BalanceSpec::RoundRobin);
        let mut snapshot = Snapshot::build(1, Arc::new(spec.clone()), None);
        let mut picked = Vec::new();
        for (step, turns) in turns.into_iter().enumerate() {
            let upstream = snapshot.upstream(&name()).unwrap();
            for _ in 0..turns {
                let server = upstream.pick(&Pick::new(&[], 0)).unwrap();
                picked.push(upstream.servers().iter().position(|member| member.id() == server.id()).unwrap());
            }
            Arc::make_mut(spec.upstreams.get_mut(&name()).unwrap()).min_healthy = Some(step as u32);
            snapshot = Snapshot::build(step as u64 + 2, Arc::new(spec.clone()), Some(&snapshot));
        }
        prop_assert_eq!(&picked, &nginx(&weights, picked.len()));
    }

    #[test]
    fn least_connections_picks_the_least_load_for_its_weight(members in members(1..EXACT + 1), loads in prop::collection::vec(0u32..30, EXACT), picks in 1..30usize) {
        let Some(rank) = best_rank(&members) else { return Ok(()) };
        let mut group = Group::of(&members, BalanceSpec::LeastConnections);
        loads.iter().zip(0..members.len()).for_each(|(&load, place)| group.load(place, load));
        for _ in 0..picks {
            let place = group.pick().unwrap();
            let load = |place: usize| (group.in_flight(place) + 1, u64::from(members[place].weight));
            let (in_flight, weight) = load(place);
            for other in (0..members.len()).filter(|&other| members[other].rank() == Some(rank)) {
                let (others, its_weight) = load(other);
                prop_assert!(in_flight * its_weight <= others * weight, "{place} before {other}");
            }
            group.load(place, 1);
        }
    }
}

/// The best of eight: a pick lies among the lower half with a probability of 1 - 2^-8, and among the
/// lowest tenth with 1 - 0.9^8 = 0.57.
#[test]
fn in_a_large_group_least_connections_picks_nearly_the_least() {
    let mut group = Group::of(&vec![Member::up(1); 1000], BalanceSpec::LeastConnections);
    (0..1000).for_each(|place| group.load(place, (place * 7 % 1000) as u32));
    let picks: Vec<u64> = (0..10_000)
        .map(|_| group.pick().map(|place| group.in_flight(place)).unwrap())
        .collect();
    let below = |load: u64| picks.iter().filter(|picked| **picked < load).count();
    // 9,961 and 5,695 expected, less Bernstein's tolerances of 49 and 336.
    assert!(below(500) >= 9_912, "{}", below(500));
    assert!(below(100) >= 5_359, "{}", below(100));
}

/// When all is down but the backups, they share alike: what the primaries' turns are does not matter.
#[test]
fn backups_share_evenly_whatever_the_primaries_turns() {
    for policy in POLICIES {
        for (primaries, backups) in [(1, 3), (2, 3), (5, 2), (33, 3), (40, 11)] {
            let down = Member {
                health: Health::Down,
                ..Member::up(1)
            };
            let backup = Member {
                backup: true,
                ..Member::up(1)
            };
            let members = [vec![down; primaries], vec![backup; backups]].concat();
            let counts = Group::of(&members, policy).counts(1000 * backups);
            for &count in &counts[primaries..] {
                // 1,000 expected; chance is off by at most 215, but for 1 in 1e9 (Bernstein, above).
                assert!(
                    count.abs_diff(1000) <= 215,
                    "{policy:?} {primaries}+{backups}: {counts:?}"
                );
            }
        }
    }
}

#[test]
fn an_operators_down_and_drain_are_never_picked_even_alone() {
    for admin in [Admin::Down, Admin::Drain] {
        for policy in POLICIES {
            let alone = Member {
                admin,
                ..Member::up(1)
            };
            assert_eq!(Group::of(&[alone], policy).pick(), None);
            assert_eq!(Group::of(&[alone, Member::up(1)], policy).pick(), Some(1));
        }
    }
}

/// Many threads at once: the turns add up to the shares of one thread.
#[test]
fn threads_share_the_turns() {
    let group = Group::of(&[5, 1, 1].map(Member::up), BalanceSpec::RoundRobin);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..7_000 {
                    let server = group.upstream.pick(&Pick::new(&[], 0)).unwrap();
                    drop(InFlight::begin(server.clone()));
                }
            });
        }
    });
    let requests: Vec<u64> = group
        .upstream
        .servers()
        .iter()
        .map(|server| server.shared().requests())
        .collect();
    assert_eq!(requests, [20_000, 4_000, 4_000]);
}
