use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::size;
use super::super::support::until;
use super::{Fleet, Look, Spread};

const WRITERS: usize = 16;
/// Groups that the writers change; few, so that they meet.
const GROUPS: usize = 8;
const SERVER: &str = "10.0.0.1:80";

/// One conditional change as its caller saw it.
struct Call {
    /// What it says in the history.
    name: String,
    group: usize,
    /// The revision of the group that it was made on.
    on: u64,
    weight: u64,
    sent: Instant,
    ended: Instant,
    /// Its revision; `Err` with the status otherwise.
    result: Result<u64, u16>,
}

/// Reads a group from its node and raises the weight of its server by one, if it is still as read.
fn call(fleet: &Fleet, writer: usize, number: usize, group: usize) -> Call {
    let control = fleet.control(writer);
    let path = format!("/v1/upstreams/r{group}/servers/{SERVER}");
    let read = control.get(&path).is(200);
    let tag = read.headers.first("ETag").unwrap();
    let weight = read.json["weight"].as_u64().unwrap() % 1000 + 1;
    let name = format!("w{writer}-{number}");
    let on = tag.trim_matches('"').parse().unwrap();
    let control = control
        .with("If-Match", tag)
        .with("Pointsman-Reason", &name);
    let sent = Instant::now();
    let answer = control.patch(&path, &json!({ "weight": weight }));
    let result = match answer.status {
        200 => Ok(answer.revision()),
        status => Err(status),
    };
    Call {
        name,
        group,
        on,
        weight,
        sent,
        ended: Instant::now(),
        result,
    }
}

/// The whole history, the oldest first.
fn history(fleet: &Fleet) -> Vec<Value> {
    let (mut all, mut before) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/revisions?limit=1000{before}");
        let answer = fleet.control(0).get(&path).is(200).json;
        let page = answer
            .as_array()
            .unwrap_or_else(|| answer["revisions"].as_array().unwrap());
        all.extend(page.iter().cloned());
        match page.last().and_then(|last| last["number"].as_u64()) {
            None | Some(1) => break,
            Some(number) => before = format!("&before={number}"),
        }
    }
    all.reverse();
    all
}

#[test]
fn conditional_changes_of_16_writers_on_five_nodes_are_one_line() {
    let fleet = Fleet::start();
    for group in 0..GROUPS {
        let body = json!({ "servers": [SERVER] });
        drop(
            fleet
                .control(0)
                .put(&format!("/v1/upstreams/r{group}"), &body)
                .is(201),
        );
    }
    let seeded = fleet.control(0).get("/healthz").revision();
    for node in &fleet.nodes {
        Look::at(node).wait_for(seeded);
    }
    let (wanted, done) = (size(200, 10_000), AtomicUsize::new(0));
    let (calls, began) = (Mutex::new(Vec::new()), Instant::now());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (fleet, done, calls) = (&fleet, &done, &calls);
            scope.spawn(move || {
                let mut spread = Spread(writer as u64 + 1);
                let mut number = 0;
                while done.load(Ordering::Relaxed) < wanted {
                    assert!(
                        began.elapsed() < Duration::from_secs(600),
                        "it takes too long"
                    );
                    let group = usize::try_from(spread.below(GROUPS as u64)).unwrap();
                    let call = call(fleet, writer, number, group);
                    number += 1;
                    if call.result.is_ok() {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    calls.lock().unwrap().push(call);
                }
            });
        }
    });
    let (calls, took) = (calls.into_inner().unwrap(), began.elapsed());
    let acknowledged = calls.iter().filter(|call| call.result.is_ok()).count();
    let refused = calls.iter().filter(|call| call.result == Err(412)).count();
    let unknown = calls.len() - acknowledged - refused;
    println!(
        "{} calls in {took:?}: {acknowledged} acknowledged, {refused} refused with 412, {unknown} without a certain answer",
        calls.len()
    );
    let newest = fleet.control(0).get("/healthz").revision();
    let states: Vec<Value> = fleet
        .nodes
        .iter()
        .map(|node| {
            until("the node has every revision", || {
                let state = node.control().get("/v1/state");
                (state.revision() >= newest).then_some(state.json)
            })
        })
        .collect();
    assert!(
        states.windows(2).all(|pair| pair[0] == pair[1]),
        "one state"
    );
    check(&calls, &history(&fleet), seeded);
}

/// Each revision's number is its place in the order. Shown: the order explains every answer, each change was made on
/// what it said that it was made on, and no change stands before one that was answered before it was sent. Since a
/// change is decided by the log alone, that is linearizability of the changes; what a node shows may be older.
fn check(calls: &[Call], history: &[Value], seeded: u64) {
    let numbers: Vec<u64> = history
        .iter()
        .map(|it| it["number"].as_u64().unwrap())
        .collect();
    let newest = numbers.last().copied().unwrap();
    assert_eq!(
        numbers,
        (1..=newest).collect::<Vec<u64>>(),
        "no gap, no fork"
    );
    let mut by_name: HashMap<&str, &Call> = HashMap::new();
    for call in calls {
        assert!(by_name.insert(&call.name, call).is_none());
    }
    let (mut last, mut found) = (HashMap::new(), HashMap::new());
    for revision in &history[usize::try_from(seeded).unwrap()..] {
        let number = revision["number"].as_u64().unwrap();
        let call = by_name[revision["reason"].as_str().unwrap()];
        assert!(
            found.insert(&*call.name, number).is_none(),
            "{} stands twice",
            call.name
        );
        assert!(
            call.result == Ok(number) || call.result.is_err_and(|it| it != 412),
            "{}",
            call.name
        );
        let before = last.insert(call.group, number).unwrap_or(call.on);
        assert_eq!(call.on, before, "{number}: an update was lost");
        assert_eq!(revision["diff"][0]["after"], call.weight, "{revision}");
    }
    let acknowledged = calls.iter().filter(|call| call.result.is_ok());
    assert!(
        acknowledged
            .clone()
            .all(|call| found.contains_key(&*call.name))
    );
    let mut by_end: Vec<&Call> = acknowledged.clone().collect();
    by_end.sort_by_key(|call| call.ended);
    let mut by_start: Vec<&Call> = acknowledged.collect();
    by_start.sort_by_key(|call| call.sent);
    let (mut ended, mut highest) = (by_end.iter().peekable(), 0);
    for call in by_start {
        while let Some(before) = ended.next_if(|other| other.ended < call.sent) {
            highest = highest.max(before.result.unwrap());
        }
        assert!(
            call.result.unwrap() > highest,
            "{} stands too early",
            call.name
        );
    }
    println!(
        "{newest} revisions in one line; each acknowledged change stands in it once, in real time's order"
    );
}
