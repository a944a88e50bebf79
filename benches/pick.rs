//! What a pick costs, by policy and by the size of the group: it should not grow, and it allocates
//! nothing. `cargo bench --bench pick`

#![allow(
    clippy::expect_used,
    reason = "a bench that cannot go on may stop with a panic"
)]

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use pointsman::domain::balancer::Pick;
use pointsman::domain::server::Health;
use pointsman::domain::upstream::Upstream;

fn pick(c: &mut Criterion) {
    for policy in [
        "round_robin",
        "random",
        "least_connections",
        "random_two",
        "least_time",
        "hash",
    ] {
        for (health, up_of) in [("healthy", [true, true]), ("half down", [true, false])] {
            let mut group = c.benchmark_group(format!("pick {policy} {health}"));
            for servers in [10, 1_000, 100_000] {
                measure(&mut group, &upstream(servers, policy, up_of), servers);
            }
            group.finish();
        }
        let mut group =
            c.benchmark_group(format!("pick {policy} while 1,000 states change a second"));
        for servers in [10, 1_000, 100_000] {
            let upstream = upstream(servers, policy, [true, true]);
            while_changing(&upstream, || measure(&mut group, &upstream, servers));
        }
        group.finish();
    }
}

/// Every other server goes down and comes back, one change each millisecond on a thread of its own.
fn while_changing(upstream: &Upstream, measure: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let changing = upstream.servers().iter().skip(1).step_by(2);
            let both = [Health::Down, Health::Up];
            let mut changes = changing
                .cycle()
                .flat_map(|server| both.map(|health| (server, health)));
            while !is_over.load(Ordering::Relaxed) {
                if let Some((server, health)) = changes.next() {
                    server.shared().set_health(health, 1);
                }
                #[allow(clippy::disallowed_methods, reason = "a pace, not a wait")]
                thread::sleep(Duration::from_millis(1));
            }
        });
        measure();
        is_over.store(true, Ordering::Relaxed);
    });
}

/// One group; servers are up by their place, even and odd.
fn upstream(servers: usize, policy: &str, up: [bool; 2]) -> Arc<Upstream> {
    let snapshot = support::group(servers, policy);
    let upstream = snapshot.upstreams().next().expect("one group").clone();
    for (server, up) in upstream.servers().iter().zip(up.into_iter().cycle()) {
        let health = if up { Health::Up } else { Health::Down };
        server.shared().set_health(health, 1);
    }
    upstream
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, upstream: &Upstream, servers: usize) {
    let mut random = fastrand::Rng::with_seed(7);
    let mut pick = || {
        let pick = Pick::new(&[], random.u64(..));
        black_box(upstream.pick(&pick)).is_some()
    };
    let counted = allocation_counter::measure(|| {
        for _ in 0..10_000 {
            assert!(pick());
        }
    });
    assert_eq!(counted.count_total, 0, "allocations in 10,000 picks");
    group.bench_function(servers.to_string(), |b| b.iter(&mut pick));
}

criterion_group!(benches, pick);
criterion_main!(benches);
