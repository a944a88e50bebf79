//! Servers that fail while they are asked: nothing that could have succeeded fails.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::size;
use super::support::{Edge, Ledger, Origin, RawOrigin, Tally, pause, until};

const CLIENTS: usize = 8;

fn edge(origins: &[Origin], keys: &str) -> Edge {
    origins.iter().for_each(Origin::keep_only_nonces);
    let servers: Vec<_> = origins.iter().map(Origin::address).collect();
    let web = json!({ "upstreams": { "web": { "servers": servers } } });
    Edge::builder()
        .with(&web.to_string())
        .with(&format!("upstreams: {{ web: {{ {keys} }} }}"))
        .with("{ log: { level: error }, access_log: { path: 'off' } }")
        .listener("limits: { keepalive_requests: 0 }")
        .route("*", "web")
        .start()
}

/// So many requests by all clients together, each client on a connection that it keeps, while `fault` goes on.
fn ask(edge: &Edge, method: &str, count: usize, mut fault: impl FnMut() + Send) -> Ledger {
    let (ledger, is_over) = (Ledger::new(), AtomicBool::new(false));
    thread::scope(|scope| {
        let client = || {
            let mut client = edge.client();
            for _ in 0..count / CLIENTS {
                let body: &[u8] = if method == "POST" { b"x" } else { b"" };
                let answer = ledger
                    .record(|nonce| client.try_request(method, "/", &[("X-Nonce", nonce)], body));
                if !answer.is_ok_and(|answer| answer.status == 200) {
                    client = edge.client();
                }
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let faults = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                fault();
            }
        });
        let ends: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        faults.join().unwrap();
        assert!(ends.iter().all(Result::is_ok));
    });
    ledger
}

#[test]
fn no_get_fails_while_one_of_four_servers_is_killed_and_restarted_at_random() {
    let mut origins = Origin::many(4);
    let edge = edge(&origins, "");
    let (stable, killed) = origins.split_at_mut(3);
    let (mut kills, victim) = (0, &mut killed[0]);
    let ledger = ask(&edge, "GET", size(4_000, 200_000), || {
        victim.refuse();
        pause(Duration::from_millis(fastrand::u64(1..100)));
        victim.come_back();
        pause(Duration::from_millis(fastrand::u64(1..300)));
        kills += 1;
    });
    let tally = ledger.settle(stable.iter().chain([&*victim]));
    println!("one of four servers killed {kills} times");
    assert!(kills >= 3);
    no_failure(&tally);
}

/// A request that was executed twice is none that failed, if its method is idempotent.
fn no_failure(tally: &Tally) {
    assert!(tally.faults.is_empty(), "{tally}; {:?}", tally.faults);
    assert!(
        tally.crossed.is_empty() && tally.unseen.is_empty(),
        "{tally}"
    );
}

#[test]
fn no_post_fails_or_is_executed_twice_by_servers_that_close_idle_connections_at_random() {
    for keys in ["retry: { fresh_post: true }", ""] {
        let origins = Origin::many(4);
        let edge = edge(&origins, keys);
        let mut closed = 0;
        let ledger = ask(&edge, "POST", size(4_000, 200_000), || {
            origins[fastrand::usize(..4)].close_idle();
            pause(Duration::from_millis(fastrand::u64(1..5)));
            closed += 1;
        });
        let tally = ledger.settle(&origins);
        println!(
            "{keys}: {closed} times idle connections were closed; {} of {} failed",
            tally.failed + tally.refused,
            tally.sent
        );
        assert!(tally.doubled.is_empty() && tally.retried == 0, "{tally}");
        if !keys.is_empty() {
            tally.assert_flawless();
        }
    }
}

#[test]
fn what_a_slow_client_has_not_taken_stays_at_the_server() {
    const BODY: usize = 1 << 30;
    let served = RawOrigin::start(|mut stream: &TcpStream, _| {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head);
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n");
        let part = vec![b'x'; 1 << 20];
        while stream.write_all(&part).is_ok() {}
    });
    let web = json!({ "upstreams": { "web": { "servers": [served.address()] } } });
    let edge = Edge::builder()
        .with(&web.to_string())
        .route("*", "web")
        .start();
    let count = size(20, 100);
    let ask = |_| {
        let mut client = TcpStream::connect(edge.address()).unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        client
    };
    // What the first ones need is not each one's.
    let mut clients: Vec<_> = (0..10).map(ask).collect();
    pause(Duration::from_secs(1));
    let before = edge.memory();
    clients.extend((0..count).map(ask));
    let (began, mut most) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(size(2, 15) as u64) {
        for client in &mut clients {
            client.read_exact(&mut [0; 1000]).unwrap();
        }
        most = most.max(edge.memory().saturating_sub(before));
        pause(Duration::from_millis(100));
    }
    let each = most / count as u64;
    println!("{count} clients take 10 KB a second of a body of 1 GiB: {each} KiB of memory each");
    // One part of 64 KiB is read when the one before it was taken; pages are counted, not bytes.
    assert!(each <= 256, "{each}");
}

#[test]
fn no_request_goes_to_servers_that_were_known_to_be_down_before_a_restart() {
    let mut origins = Origin::many(20);
    let checks = "health: { type: tcp, interval: 200ms, fall: 1, rise: 1 }, retry: { attempts: 1 }, max_ejected: 100%";
    let mut edge = edge(&origins, checks);
    let (down, up) = origins.split_at_mut(5);
    down.iter_mut().for_each(Origin::refuse);
    let healthy = |edge: &Edge| {
        let shown = edge.control().get("/v1/upstreams/web").is(200).json;
        let servers = shown["servers"].as_array().unwrap().clone();
        let state = |server: &serde_json::Value| server["status"]["state"] == "unhealthy";
        servers.iter().filter(|server| state(server)).count()
    };
    until("five are down", || (healthy(&edge) == 5).then_some(()));
    // Not at once: what was observed is written when something changed, and at the end.
    for round in 0..size(2, 10) {
        edge.restart();
        let ledger = Ledger::new();
        for _ in 0..100 {
            ledger
                .record(|nonce| edge.client().try_get("/", &[("X-Nonce", nonce)]))
                .unwrap();
        }
        let tally = ledger.settle(&*up);
        println!(
            "restart {round}: {} of {} failed",
            tally.failed + tally.refused,
            tally.sent
        );
        tally.assert_flawless();
        up.iter().for_each(Origin::forget);
    }
}

#[test]
fn a_starved_process_takes_no_server_for_down() {
    let origins = Origin::many(20);
    let checks =
        "health: { type: http, interval: 200ms, timeout: 150ms, fall: 2 }, retry: { attempts: 1 }";
    let edge = edge(&origins, checks);
    let healthy = || {
        let shown = edge.control().get("/v1/upstreams/web").is(200).json;
        let servers = shown["servers"].as_array().unwrap().clone();
        let up = |server: &&serde_json::Value| server["status"]["health"] == "up";
        servers.iter().filter(up).count()
    };
    until("all are up", || (healthy() == 20).then_some(()));
    let seconds = size(4, 600) as u64;
    let (began, mut fewest, mut looks) = (Instant::now(), 20, 0);
    let ledger = thread::scope(|scope| {
        // Far more than the machine has cores, at the same rights.
        for _ in 0..16 {
            scope.spawn(|| {
                let mut number = 1u64;
                while began.elapsed() < Duration::from_secs(seconds) {
                    (0..10_000)
                        .for_each(|_| number = std::hint::black_box(number.rotate_left(7) ^ 1));
                }
            });
        }
        let ledger = Ledger::new();
        let mut client = edge.client();
        while began.elapsed() < Duration::from_secs(seconds) {
            let _in_the_ledger = ledger.record(|nonce| client.try_get("/", &[("X-Nonce", nonce)]));
            fewest = fewest.min(healthy());
            looks += 1;
            pause(Duration::from_millis(50));
        }
        ledger
    });
    let metrics = edge.control().get("/metrics").is(200).text;
    let discarded = metrics
        .lines()
        .find(|line| line.contains("result=\"discarded\""));
    println!(
        "{seconds} s with 16 threads that compute beside it: {fewest} of 20 servers up at least, in {looks} looks; {discarded:?}"
    );
    ledger.settle(&origins).assert_flawless();
    assert_eq!(fewest, 20);
}
