//! One server after the other: when it is probed and what its results make of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::domain::server::Health;
use crate::health::ProbeEnd;
use crate::health::tests::{FOR_EVER, SECOND, World, assert_every, at_once, group};

#[tokio::test(start_paused = true)]
async fn probes_of_a_server_are_an_interval_apart_give_or_take_a_tenth() {
    let web = group([1], json!({ "interval": "2s" }));
    let world = World::start(0, json!({ "web": web }), at_once(true));
    sleep(200 * SECOND).await;
    let starts = world.fake.starts_of(1);
    assert!((91..=112).contains(&starts.len()), "{}", starts.len());
    assert_every(&starts, 2 * SECOND);
    let pauses: Vec<Duration> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
    assert!(*most - *least > Duration::from_millis(200), "no jitter");
}

#[tokio::test(start_paused = true)]
async fn first_probes_spread_over_the_first_interval() {
    let web = group(1..=1000, json!({ "interval": "10s", "concurrency": 0 }));
    let begun = Instant::now();
    let world = World::start(0, json!({ "web": web }), at_once(true));
    sleep(20 * SECOND).await;
    let mut tenths = [0u32; 10];
    for port in 1..=1000 {
        let first = world.fake.starts_of(port)[0] - begun;
        tenths[(first.as_millis() / 1000).min(9) as usize] += 1;
    }
    assert!(
        tenths.iter().all(|count| (70..=130).contains(count)),
        "{tenths:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_never_has_more_probes_under_way_than_its_concurrency() {
    let web = group(
        1..=20,
        json!({ "interval": "1s", "timeout": "5s", "concurrency": 3 }),
    );
    let slow = |_, _| (Duration::from_millis(400), true);
    let world = World::start(0, json!({ "web": web }), slow);
    sleep(30 * SECOND).await;
    assert_eq!(world.fake.most.load(Ordering::Relaxed), 3);
    assert!(
        (1..=20).all(|port| world.fake.starts_of(port).len() >= 9),
        "one starved"
    );
}

#[tokio::test(start_paused = true)]
async fn all_groups_together_never_have_more_probes_under_way_than_the_process_allows() {
    let health = json!({ "interval": "1s", "timeout": "5s", "concurrency": 10 });
    let upstreams = json!({ "a": group(1..=10, health.clone()), "b": group(11..=20, health) });
    let world = World::start(4, upstreams, |_, _| (Duration::from_millis(400), true));
    sleep(30 * SECOND).await;
    assert_eq!(world.fake.most.load(Ordering::Relaxed), 4);
    assert!(
        (1..=20).all(|port| world.fake.starts_of(port).len() >= 9),
        "one starved"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_does_not_delay_the_others() {
    let web = group(
        1..=10,
        json!({ "interval": "1s", "timeout": "1s", "start": "up" }),
    );
    let hang = |_, port| {
        if port == 1 {
            (FOR_EVER, true)
        } else {
            (Duration::ZERO, true)
        }
    };
    let world = World::start(64, json!({ "web": web }), hang);
    sleep(60 * SECOND).await;
    for port in 2..=10 {
        assert_every(&world.fake.starts_of(port), SECOND);
    }
    let verdicts = world.fake.verdicts();
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    assert_eq!((verdicts[0].1, verdicts[0].2), (1, Health::Down));
    assert_eq!(verdicts[0].3, "3 failures, last: timeout after 1s");
    assert_eq!(world.fake.running.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn health_turns_at_exactly_fall_failures_and_rise_passes() {
    let web = group(
        [1],
        json!({ "interval": "1s", "fall": 3, "rise": 2, "start": "up" }),
    );
    let results = [
        false, false, true, false, false, false, true, false, true, true, true,
    ];
    let script = move |number: usize, _| (Duration::ZERO, results.get(number) != Some(&false));
    let world = World::start(0, json!({ "web": web }), script);
    sleep(30 * SECOND).await;
    let turn = |at, health, reason: &str| (at, 1, health, reason.to_owned());
    let expected = [
        turn(6, Health::Down, "3 failures, last: status 500"),
        turn(10, Health::Up, "2 passes, last: connected"),
    ];
    assert_eq!(world.fake.verdicts(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_down_within_fall_intervals_and_a_tenth() {
    let web = group([1], json!({ "interval": "1s", "fall": 2, "start": "up" }));
    let script = |number, _| (Duration::ZERO, number < 10);
    let world = World::start(0, json!({ "web": web }), script);
    let state = world.state("web", 1);
    while state.health() != Health::Down {
        sleep(Duration::from_millis(1)).await;
    }
    let last_good = world.fake.starts_of(1)[9];
    assert!(
        last_good.elapsed() <= Duration::from_millis(2210),
        "{:?}",
        last_good.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_check_says_when_how_long_and_what() {
    let web = group([1], json!({ "interval": "1s" }));
    let world = World::start(0, json!({ "web": web }), |_, _| (SECOND / 4, false));
    sleep(3 * SECOND).await;
    let check = world.state("web", 1).last_check().unwrap();
    assert_eq!((check.at, check.ok), (1_795_000_000_000, false));
    assert_eq!((check.duration_ms / 10, &*check.detail), (25, "status 500"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_the_operator_took_down_is_still_probed() {
    let web = json!({
        "servers": [{ "address": "10.0.0.1:1", "admin": "down" }],
        "health": { "interval": "1s" },
    });
    let world = World::start(0, json!({ "web": web }), at_once(true));
    sleep(10 * SECOND).await;
    assert_eq!(world.state("web", 1).health(), Health::Up);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_says_nothing_while_this_process_is_late_itself() {
    let web = group(
        [1],
        json!({ "interval": "1s", "timeout": "1s", "fall": 1, "start": "up" }),
    );
    let world = World::start(0, json!({ "web": web }), |_, _| (FOR_EVER, true));
    let ends = || world.fake.ends.lock().unwrap().len();
    for _ in 0..20 {
        tokio::time::advance(10 * SECOND).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    assert!(ends() >= 5, "{}", ends());
    assert_eq!(world.state("web", 1).health(), Health::Up);
    sleep(10 * SECOND).await;
    assert_eq!(world.state("web", 1).health(), Health::Down);
}

#[tokio::test(start_paused = true)]
async fn a_probe_longer_than_the_interval_counts_as_a_failure_of_the_server() {
    let web = group(
        [1],
        json!({ "interval": "1s", "timeout": "5s", "fall": 2, "start": "up" }),
    );
    let world = World::start(0, json!({ "web": web }), |_, _| (FOR_EVER, true));
    sleep(12 * SECOND).await;
    assert_eq!(world.state("web", 1).health(), Health::Down);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_probed_at_its_own_interval_until_it_passes() {
    let health =
        json!({ "interval": "1s", "interval_down": "10s", "fall": 2, "rise": 3, "start": "up" });
    let results = |number, _| (Duration::ZERO, !(5..10).contains(&number));
    let world = World::start(0, json!({ "web": group([1], health) }), results);
    sleep(70 * SECOND).await;
    let starts = world.fake.starts_of(1);
    // Up, and failing once: no reason to wait. Down and failing: its own interval. Passing: on its way back.
    assert_every(&starts[..=6], SECOND);
    assert_every(&starts[6..=10], 10 * SECOND);
    assert_every(&starts[10..], SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_interval_for_servers_that_are_down_is_kept_until_they_are_up() {
    let health = json!({ "interval": "10s", "interval_down": "1s", "fall": 1, "rise": 3 });
    let results = |number, _| (Duration::ZERO, number > 3);
    let world = World::start(0, json!({ "web": group([1], health) }), results);
    sleep(60 * SECOND).await;
    let starts = world.fake.starts_of(1);
    assert_every(&starts[..=6], SECOND);
    assert_every(&starts[6..], 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_may_come_or_go_is_probed_at_an_interval_of_its_own() {
    let health = json!({ "interval": "10s", "interval_down": "60s", "interval_changing": "1s", "fall": 3, "rise": 3, "start": "up" });
    let results = |number, _| (Duration::ZERO, !(3..=7).contains(&number));
    let world = World::start(0, json!({ "web": group([1], health) }), results);
    sleep(300 * SECOND).await;
    let starts = world.fake.starts_of(1);
    assert_every(&starts[..=3], 10 * SECOND);
    assert_every(&starts[3..=5], SECOND);
    assert_every(&starts[5..=8], 60 * SECOND);
    assert_every(&starts[8..=10], SECOND);
    assert_every(&starts[10..], 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn no_failure_counts_while_this_process_is_late_itself() {
    let health = json!({ "interval": "1s", "timeout": "1s", "fall": 1, "start": "up" });
    for time in [Duration::ZERO, SECOND / 2, FOR_EVER] {
        let web = group([1], health.clone());
        let world = World::start(0, json!({ "web": web }), move |_, _| (time, false));
        for _ in 0..20 {
            tokio::time::advance(10 * SECOND).await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(world.state("web", 1).health(), Health::Up);
        let ends = world.fake.ends.lock().unwrap().clone();
        assert!(ends.len() >= 5, "{ends:?}");
        assert!(
            ends.iter().all(|end| *end == ProbeEnd::Discarded),
            "{ends:?}"
        );
        sleep(10 * SECOND).await;
        assert_eq!(world.state("web", 1).health(), Health::Down);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_counts_however_late_it_is() {
    let health = json!({ "interval": "1s", "rise": 1, "start": "down" });
    let world = World::start(0, json!({ "web": group([1], health) }), at_once(true));
    for _ in 0..5 {
        tokio::time::advance(10 * SECOND).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(world.state("web", 1).health(), Health::Up);
}

/// When a server that falls every few probes comes up again: after how many passes each time.
async fn flapping(others: &[u16]) -> Vec<String> {
    let health = json!({ "interval": "1s", "fall": 1, "rise": 1, "start": "up" });
    let servers = others.iter().copied().chain([1]);
    let web = group(servers, health);
    let fails = std::sync::atomic::AtomicUsize::new(0);
    // Fails once, then passes 20 times: enough to come up, far too little to be believed for ever.
    let script = move |_, port| {
        let is_pass = port != 1 || !fails.fetch_add(1, Ordering::Relaxed).is_multiple_of(21);
        (Duration::ZERO, is_pass)
    };
    let world = World::start(0, json!({ "web": web }), script);
    sleep(140 * SECOND).await;
    let verdicts = world.fake.verdicts().into_iter();
    let ups = verdicts.filter(|(_, port, health, _)| (*port, *health) == (1, Health::Up));
    ups.map(|(.., reason)| reason).collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_flaps_has_to_pass_more_often_each_time() {
    let ups = flapping(&[2]).await;
    let passes = [
        "1 pass,",
        "2 passes,",
        "4 passes,",
        "8 passes,",
        "16 passes,",
    ];
    for (up, passes) in ups.iter().zip(passes) {
        assert!(up.starts_with(passes), "{ups:?}");
    }
    assert!(ups.len() >= passes.len(), "{ups:?}");
}

#[tokio::test(start_paused = true)]
async fn the_last_server_of_a_group_comes_up_as_soon_as_ever() {
    let ups = flapping(&[]).await;
    assert!(ups.len() >= 5, "{ups:?}");
    assert!(ups.iter().all(|up| up.starts_with("1 pass,")), "{ups:?}");
}

#[tokio::test(start_paused = true)]
async fn the_last_twenty_checks_are_kept() {
    let web = group([1], json!({ "interval": "1s", "fall": 3 }));
    let results = |number, _| (SECOND / 4, number % 2 == 0);
    let world = World::start(0, json!({ "web": web }), results);
    sleep(60 * SECOND).await;
    let state = world.state("web", 1);
    let checks = state.last_checks();
    assert_eq!(checks.len(), 20);
    assert_eq!(state.last_check().as_ref(), checks.first());
    for pair in checks.windows(2) {
        assert_ne!(pair[0].ok, pair[1].ok);
        assert_eq!(pair[0].duration_ms / 10, 25);
    }
}
