//! What was not heard is found all the same, in time. In this process, where a minute can be shorter.

use std::sync::Arc;
use std::time::Duration;

use pointsman::clock;
use pointsman::controller::{Controller, StartSettings, start};
use pointsman::discovery::host_keys::HostKeyFollower;
use pointsman::ports::telemetry::Metrics;
use pointsman::spec::{ForbiddenAddresses, Span, Spec};
use pointsman::store::{History, HostKeys, Redis};
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

use crate::support::{RedisServer, until};

const STATE: &str = r#"{"upstreams":{"blue":{},"green":{}},"routes":[{"id":"all","to":"blue"}]}"#;

fn leads_to(controller: &Controller, host: &str) -> String {
    let snapshot = controller.snapshot().load_full();
    let route = snapshot.spec().route_of_host(host).unwrap();
    route.to.to_string()
}

#[test]
fn a_message_that_never_came_is_made_up_for_by_the_next_look_at_all_keys() {
    let redis = RedisServer::start();
    // Nobody is told of anything.
    redis.call(&["ACL", "SETUSER", "default", "-client|tracking"]);
    let store = Arc::new(Redis::new(redis.settings()));
    let seed: Spec = serde_json::from_str(STATE).unwrap();
    let settings = StartSettings {
        seed,
        reset: false,
        forbidden: ForbiddenAddresses::default(),
        history: History {
            revisions: 100,
            age: Span::from_secs(60),
            size: 1 << 20,
        },
    };
    let metrics = Metrics::new();
    let controller = start(store.clone(), settings, metrics.clone()).unwrap();
    let follower = HostKeyFollower::new(
        HostKeys::new(store.clone(), ""),
        controller.clone(),
        (store, "a".into()),
        ForbiddenAddresses::default(),
        metrics.host_keys().clone(),
        clock::unix_ms,
    );
    let follower = follower.with_resync(Duration::from_millis(100));
    let runtime = Runtime::new().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = runtime.spawn(follower.run(watch::channel(false).0, async {
        let _told = stopped.await;
    }));
    for (command, group) in [
        (&["SET", "a.example", "green"][..], "green"),
        (&["SET", "a.example", "blue"], "blue"),
        (&["SET", "a.example", "green"], "green"),
        (&["DEL", "a.example"], "blue"),
    ] {
        redis.call(command);
        until(&format!("it leads to {group}"), || {
            (leads_to(&controller, "a.example") == group).then_some(())
        });
    }
    until("it is said that nothing is heard", || {
        metrics.host_keys().told().deaf
    });
    stop.send(()).unwrap();
    runtime.block_on(running).unwrap();
}
