//! Acknowledged means durable: kill -9 in the middle of writes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::size;
use super::support::{Client, Edge, Origin, until};

/// What each writer knows: the last weight that was acknowledged, and the one it may have sent after.
#[derive(Clone, Copy, Default)]
struct Written {
    acknowledged: u64,
    sent: u64,
}

#[test]
fn every_acknowledged_change_outlives_kill_9() {
    let kills = size(10, 2_000);
    let origins = Origin::many(1);
    let names: Vec<String> = (0..WRITERS)
        .map(|writer| format!("group-{writer}"))
        .collect();
    let mut builder = Edge::builder().upstream("web", &origins).route("*", "web");
    for name in &names {
        builder = builder.upstream(name, &origins);
    }
    let mut edge = builder.start();
    let written = Mutex::new([Written::default(); WRITERS]);
    let mut acknowledged = 0;
    for round in 0..kills {
        let before = total(&written);
        write_until_killed(&mut edge, &names, &written, round);
        acknowledged += total(&written) - before;
        edge.start_again();
        settle(&edge, &names, &written);
    }
    println!(
        "{kills} kills during {acknowledged} acknowledged changes by {WRITERS} writers: 0 lost, every start succeeded"
    );
    assert!(
        acknowledged > kills as u64,
        "the kills came before the changes"
    );
}

const WRITERS: usize = 8;

fn total(written: &Mutex<[Written; WRITERS]>) -> u64 {
    written
        .lock()
        .unwrap()
        .iter()
        .map(|written| written.acknowledged)
        .sum()
}

/// Eight writers, each changing the weight of its own group as fast as it can, until the process is gone.
fn write_until_killed(
    edge: &mut Edge,
    names: &[String],
    written: &Mutex<[Written; WRITERS]>,
    round: usize,
) {
    let (control, address) = (edge.control_address(), server_of(edge));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (writer, name) in names.iter().enumerate() {
            let (address, is_over) = (&address, &is_over);
            scope.spawn(move || {
                let path = format!("/v1/upstreams/{name}/servers/{address}");
                while !is_over.load(Ordering::Relaxed) {
                    let Ok(client) = Client::try_connect(&control) else {
                        return;
                    };
                    write(client, &path, written, writer);
                }
            });
        }
        // After some answers, at a random point within the next commits: derived from the round, so
        // that a failure can be repeated.
        let (before, noise) = (
            total(written),
            (round as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33,
        );
        until("some changes are acknowledged", || {
            (total(written) > before + noise % 40).then_some(())
        });
        let (moment, began) = (Duration::from_micros(noise % 3_000), Instant::now());
        while began.elapsed() < moment {
            std::hint::spin_loop();
        }
        edge.kill9();
        is_over.store(true, Ordering::Relaxed);
    });
}

fn write(mut client: Client, path: &str, written: &Mutex<[Written; WRITERS]>, writer: usize) {
    loop {
        let number = {
            let mut written = written.lock().unwrap();
            written[writer].sent = written[writer].sent.max(written[writer].acknowledged) + 1;
            written[writer].sent
        };
        let body = json!({ "weight": weight(number) }).to_string();
        let headers = [("Content-Type", "application/json")];
        match client.try_request("PATCH", path, &headers, body.as_bytes()) {
            Ok(answer) if answer.status == 200 => {
                written.lock().unwrap()[writer].acknowledged = number
            }
            _ => return,
        }
    }
}

/// Weights count 1 to 60,000 and begin anew.
fn weight(number: u64) -> u64 {
    1 + number % 60_000
}

fn server_of(edge: &Edge) -> String {
    let group = edge.control().get("/v1/upstreams/group-0");
    group.json["servers"][0]["address"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Each group has the last acknowledged weight, or one that was sent after it.
fn settle(edge: &Edge, names: &[String], written: &Mutex<[Written; WRITERS]>) {
    let state: Value = edge.control().get("/v1/state").json;
    let mut written = written.lock().unwrap();
    for (name, written) in names.iter().zip(written.iter_mut()) {
        let stored = state["upstreams"][name]["servers"][0]["weight"]
            .as_u64()
            .unwrap();
        let possible = written.acknowledged..=written.sent.max(written.acknowledged);
        let found = possible
            .clone()
            .find(|&number| stored == weight(number) || number == 0 && stored == 1);
        let number =
            found.unwrap_or_else(|| panic!("{name}: {stored} is none of the writes {possible:?}"));
        *written = Written {
            acknowledged: number,
            sent: number,
        };
    }
}
