//! What a new snapshot does to schedules.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::domain::names::{Place, Resolved};
use crate::domain::server::Health;
use crate::health::GATHER;
use crate::health::tests::{CONTROL_PORT, SECOND, World, address, assert_every, at_once, group};
use crate::spec::{Address, ForbiddenAddresses, Name};

#[tokio::test(start_paused = true)]
async fn the_probe_of_a_removed_server_ends_with_it() {
    let health = json!({ "interval": "1s", "timeout": "100s" });
    let upstreams =
        json!({ "web": group([1, 2], health.clone()), "api": group([3], health.clone()) });
    let mut world = World::start(0, upstreams, |_, _| (50 * SECOND, true));
    sleep(2 * SECOND).await;
    assert_eq!(world.fake.running.load(Ordering::Relaxed), 3);
    world.set("web", &group([2], health));
    world.change(|spec| {
        spec.upstreams.remove(&Name::new("api").unwrap());
    });
    sleep(GATHER + Duration::from_millis(5)).await;
    assert_eq!(world.fake.running.load(Ordering::Relaxed), 1);
    sleep(200 * SECOND).await;
    assert_eq!(world.fake.starts_of(1).len(), 1);
    assert_eq!(world.fake.starts_of(3).len(), 1);
    assert!(world.fake.starts_of(2).len() > 2);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_no_longer_has_checks_is_left_alone() {
    let mut world = World::start(
        0,
        json!({ "web": group([1], json!({ "interval": "1s" })) }),
        at_once(true),
    );
    sleep(5 * SECOND).await;
    world.set("web", &group([1], json!({ "type": "none" })));
    sleep(SECOND).await;
    let before = world.fake.starts_of(1).len();
    sleep(20 * SECOND).await;
    assert_eq!(world.fake.starts_of(1).len(), before);
}

/// The first probe is slow and fails, later ones pass. Meanwhile the server goes and comes again,
/// the checker seeing it gone between, or only the end.
async fn late_result_after_remove_and_add(pause: Duration) {
    let health = json!({ "interval": "1s", "timeout": "60s", "fall": 1, "start": "up" });
    let (both, other) = (group([1, 2], health.clone()), group([2], health));
    let slow_first = |_: usize, port: u16| match port {
        1 => (10 * SECOND, false),
        _ => (Duration::ZERO, true),
    };
    let mut world = World::start(0, json!({ "web": both.clone() }), slow_first);
    sleep(2 * SECOND).await;
    let before = world.state("web", 1);
    world.set("web", &other);
    sleep(pause).await;
    world.set("web", &both);
    let after = world.state("web", 1);
    // The old probe would end before 11 s, the new server's first one not before 12 s.
    sleep(Duration::from_millis(9_900)).await;
    assert_eq!((after.health(), after.last_check()), (Health::Up, None));
    assert_eq!((before.health(), before.last_check()), (Health::Up, None));
    assert_eq!(world.fake.starts_of(1).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_late_result_does_not_land_on_the_same_address_added_again() {
    late_result_after_remove_and_add(SECOND / 10).await;
}

#[tokio::test(start_paused = true)]
async fn nor_when_both_changes_are_seen_as_one() {
    late_result_after_remove_and_add(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn nor_when_the_group_is_restored_with_the_very_spec_it_had() {
    let web = group(
        [1],
        json!({ "interval": "1s", "timeout": "60s", "fall": 1, "start": "up" }),
    );
    let mut world = World::start(0, json!({ "web": web }), |_, _| (10 * SECOND, false));
    sleep(2 * SECOND).await;
    let name = Name::new("web").unwrap();
    let spec = world.spec.upstreams.get(&name).unwrap().clone();
    world.change(|all| {
        all.upstreams.remove(&name);
    });
    world.change(|all| {
        all.upstreams.insert(name.clone(), spec);
    });
    let after = world.state("web", 1);
    sleep(Duration::from_millis(9_900)).await;
    assert_eq!((after.health(), after.last_check()), (Health::Up, None));
    sleep(5 * SECOND).await;
    assert!(after.last_check().is_some(), "the new server is not probed");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_keeps_schedule_and_streak_when_its_group_changes() {
    let health = json!({ "interval": "4s", "fall": 3, "start": "up" });
    let mut world = World::start(
        0,
        json!({ "web": group([1], health.clone()) }),
        at_once(false),
    );
    for port in 2..40 {
        sleep(SECOND).await;
        world.set("web", &group(1..=port, health.clone()));
    }
    assert_every(&world.fake.starts_of(1), 4 * SECOND);
    assert_eq!(world.state("web", 1).health(), Health::Down);
}

#[tokio::test(start_paused = true)]
async fn other_checks_start_anew_and_keep_the_health() {
    let mut world = World::start(
        0,
        json!({ "web": group([1], json!({ "interval": "1s", "fall": 1 })) }),
        at_once(false),
    );
    sleep(5 * SECOND).await;
    let before = world.state("web", 1);
    assert_eq!(before.health(), Health::Down);
    world.set("web", &group([1], json!({ "interval": "20s", "fall": 1 })));
    let changed = Instant::now();
    sleep(100 * SECOND).await;
    assert!(Arc::ptr_eq(&before, &world.state("web", 1)));
    let later = world
        .fake
        .starts_of(1)
        .into_iter()
        .filter(|at| *at > changed + SECOND / 10);
    let later: Vec<Instant> = later.collect();
    assert_every(&later, 20 * SECOND);
    assert_eq!(world.fake.verdicts().len(), 1, "down once, and never reset");
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_every_probe_ends() {
    let web = group(1..=5, json!({ "interval": "1s", "timeout": "100s" }));
    let mut world = World::start(0, json!({ "web": web }), |_, _| (50 * SECOND, true));
    sleep(2 * SECOND).await;
    assert_eq!(world.fake.running.load(Ordering::Relaxed), 5);
    world.shutdown.take().unwrap().send(()).unwrap();
    (&mut world.task).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.fake.running.load(Ordering::Relaxed), 0);
}

fn app_stands_for(world: &mut World, ports: &[u16]) {
    let place = |&port: &u16| Place {
        priority: 0,
        address: address(port).ip().unwrap(),
        weight: 1,
    };
    let places = ports.iter().map(place);
    let resolved = Resolved::new(places, &ForbiddenAddresses::default()).0;
    let app = Address::new("app:80").unwrap();
    world.resolve(&app, Arc::new(resolved.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn each_address_of_a_name_is_probed_for_as_long_as_the_name_has_it() {
    let web = json!({ "servers": ["app:80"], "health": { "interval": "1s" } });
    let mut world = World::start(0, json!({ "web": web }), at_once(true));
    app_stands_for(&mut world, &[1, 2]);
    sleep(5 * SECOND).await;
    assert_eq!(world.state("web", 1).health(), Health::Up);
    app_stands_for(&mut world, &[2, 3]);
    sleep(GATHER + Duration::from_millis(5)).await;
    let gone = world.fake.starts_of(1).len();
    sleep(5 * SECOND).await;
    assert_eq!(world.fake.starts_of(1).len(), gone);
    assert_every(&world.fake.starts_of(2), SECOND);
    assert_eq!(world.state("web", 3).health(), Health::Up);
}

#[tokio::test(start_paused = true)]
async fn no_probe_goes_to_the_control_port_of_what_a_name_stands_for() {
    let web =
        json!({ "servers": ["app:80"], "health": { "interval": "1s", "port": CONTROL_PORT } });
    let mut world = World::start(0, json!({ "web": web }), at_once(true));
    app_stands_for(&mut world, &[1]);
    sleep(5 * SECOND).await;
    assert!(world.fake.starts.lock().unwrap().is_empty());
}
