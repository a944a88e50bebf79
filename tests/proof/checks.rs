//! Checks of servers that come and go, and of servers that flap.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::size;
use super::support::{Edge, Origin, Reply, Seen, pause, until};

/// Probes to `/old` fail, late enough to be under way when their servers are gone; all others pass.
#[test]
fn no_result_lands_on_a_server_that_came_to_the_address_of_one_that_is_gone() {
    let origin = Origin::start();
    let probes = Arc::new(AtomicUsize::new(0));
    let seen = probes.clone();
    origin.by(move |request| match request.path.as_str() {
        "/old" => {
            seen.fetch_add(1, Ordering::SeqCst);
            Reply::status(500)
        }
        _ => Reply::Name,
    });
    origin.delay(Duration::from_millis(30));
    let edge = Edge::builder()
        .with("{ log: { level: error }, upstreams: { web: { servers: [] } } }")
        .start();
    // Their own ports are never asked: all are probed at the origin's.
    let port = origin.address().port();
    let servers: Vec<String> = (1..=SERVERS)
        .map(|own| format!("127.0.0.1:{own}"))
        .collect();
    let put = |servers: &[String], path: &str| {
        let health = json!({ "path": path, "port": port, "interval": "20ms", "fall": 1, "rise": 1, "start": "up",
            "concurrency": 1000 });
        let web = json!({ "servers": servers, "health": health, "min_healthy": 0 });
        let _ = edge
            .control()
            .with("Pointsman-Reason", "proof")
            .put("/v1/upstreams/web?force=true", &web)
            .is(200);
    };
    let other = ["127.0.0.1:9999".to_owned()];
    let (mut removed, mut under_way, mut fds) = (0, 0, 0);
    for round in 0..size(3, 10_000 / SERVERS) {
        let before = probes.load(Ordering::SeqCst);
        put(&servers, "/old");
        until("each is probed", || {
            (probes.load(Ordering::SeqCst) >= before + SERVERS).then_some(())
        });
        put(&other, "/new");
        put(&servers, "/new");
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(100) {
            let shown = edge.control().get("/v1/upstreams/web").is(200).json;
            for server in shown["servers"].as_array().unwrap() {
                let status = &server["status"];
                let is_theirs =
                    status["last_check"].is_null() || status["last_check"]["ok"] == true;
                assert!(status["health"] == "up" && is_theirs, "{server}");
            }
        }
        removed += SERVERS;
        under_way += probes.load(Ordering::SeqCst) - before;
        if round == 0 {
            fds = descriptors(&edge);
        }
    }
    put(&[], "/new");
    until("every connection of a probe is closed", || {
        (descriptors(&edge) <= fds).then_some(())
    });
    println!(
        "{removed} servers replaced at their address during {under_way} probes: no result landed on another"
    );
}

const SERVERS: usize = 100;

fn descriptors(edge: &Edge) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", edge.process_id()));
    open.unwrap().count()
}

/// One that fails every other probe, and one that is there and gone for half a second in turn.
#[test]
fn a_server_that_flaps_changes_its_state_less_and_less() {
    let origins = Origin::many(3);
    let probes = AtomicUsize::new(0);
    let fails_if = |fails| {
        if fails {
            Reply::status(500)
        } else {
            Reply::Name
        }
    };
    let is_probe = |request: &Seen| request.path == "/check";
    origins[0].by(move |request| {
        fails_if(is_probe(request) && probes.fetch_add(1, Ordering::SeqCst).is_multiple_of(2))
    });
    let began = Instant::now();
    origins[1].by(move |request| {
        fails_if(is_probe(request) && (began.elapsed().as_millis() / 500).is_multiple_of(2))
    });
    let servers: Vec<_> = origins.iter().map(Origin::address).collect();
    let health = json!({ "path": "/check", "interval": "100ms", "fall": 1, "rise": 1 });
    let web = json!({ "servers": servers, "health": health });
    let edge = Edge::builder()
        .with(&json!({ "upstreams": { "web": web } }).to_string())
        .route("*", "web")
        .start();
    let seconds = size(5, 570) as u64;
    while began.elapsed() < Duration::from_secs(seconds) {
        assert_eq!(edge.client().get("/", &[]).status, 200);
        pause(Duration::from_millis(50));
    }
    let log = edge.stderr();
    let changes = |origin: &Origin| {
        let about = format!("server {} of web is ", origin.address());
        log.lines().filter(|line| line.contains(&about)).count()
    };
    let [alternating, half, steady] = [&origins[0], &origins[1], &origins[2]].map(changes);
    println!(
        "{seconds} s at 10 probes a second: {alternating} changes of a server that fails every other probe, {half} of one that is gone every other half second"
    );
    // Each goes up and down five times before 16 passes are asked for, and once in each two minutes after that.
    let most = 2 * (6 + seconds as usize / 60);
    assert!((2..=most).contains(&alternating), "{alternating}");
    assert!((2..=most).contains(&half), "{half}");
    assert_eq!(steady, 1, "up");
}
