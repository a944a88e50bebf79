//! Very many groups, one change each.

use std::fmt;
use std::time::{Duration, Instant};

use super::size;
use super::support::{Client, Edge};

/// Through dyups on SQLite, as a script would: each change is on the disk before it is answered.
#[test]
fn the_last_of_ten_thousand_groups_take_at_most_twice_the_time_of_the_first_and_their_memory_is_used_again()
 {
    let groups = size(1_000, 10_000);
    let edge = Edge::builder()
        .route("*", "{host}")
        .with("log: { level: warn }")
        .start();
    let mut caller = Caller::new(&edge);
    println!("{groups} groups; at the start {} KiB", edge.memory());
    let left: Vec<u64> = (0..size(1, 3))
        .map(|_| cycle(&edge, &mut caller, groups))
        .collect();
    // What the allocator and SQLite keep at hand after the first time serves the others. The groups
    // themselves take more than ROOM each time: a leak would show.
    let (first, last) = (left[0], left[left.len() - 1]);
    assert!(last <= first + ROOM, "KiB left after each cycle: {left:?}");
}

/// In KiB. 10,000 groups of two servers take some 23,000; a thread that wrote a page about them keeps
/// a few thousand.
const ROOM: u64 = 16 * 1024;

/// Creates, lists and deletes; the memory that is left, in KiB.
fn cycle(edge: &Edge, caller: &mut Caller, groups: usize) -> u64 {
    let created: Vec<Duration> = (0..groups).map(|number| caller.create(number)).collect();
    let full = edge.memory();
    let began = Instant::now();
    assert_eq!(caller.call("GET", "/list", "").lines().count(), groups);
    let listing = began.elapsed();
    let detail = caller.call("GET", "/detail", "");
    assert_eq!(detail.lines().count(), 4 * groups);
    let deleted: Vec<Duration> = (0..groups).map(|number| caller.delete(number)).collect();
    assert_eq!(caller.call("GET", "/list", ""), "");
    let left = edge.memory();
    println!("listed in {listing:?}; {full} KiB with the groups, {left} KiB without them");
    let part = groups / 10;
    for (what, times) in [("create", &created), ("delete", &deleted)] {
        let (first, last) = (Part::of(&times[..part]), Part::of(&times[groups - part..]));
        println!("{what}: the first {part}: {first}; the last {part}: {last}");
        // A cost that grows with the state would be ten times as high.
        assert!(last.fast <= first.fast * 2, "{what}: {first}; {last}");
    }
    left
}

struct Part {
    mean: Duration,
    median: Duration,
    /// What the fastest tenth took at most. Whatever else the machine does makes calls slower, never faster:
    /// this is compared, the others are told.
    fast: Duration,
}

impl Part {
    fn of(times: &[Duration]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort();
        Self {
            mean: times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap(),
            median: sorted[sorted.len() / 2],
            fast: sorted[sorted.len() / 10],
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mean, median, fast } = self;
        write!(
            f,
            "mean {mean:?}, median {median:?}, the fastest tenth within {fast:?}"
        )
    }
}

/// One kept connection to the control endpoint.
struct Caller {
    client: Client,
}

impl Caller {
    fn new(edge: &Edge) -> Self {
        Self {
            client: Client::connect(edge.control_address()),
        }
    }

    fn create(&mut self, number: usize) -> Duration {
        let (a, b) = (number / 250, number % 250 + 1);
        let body = format!("server 10.1.{a}.{b}:8080;server 10.2.{a}.{b}:8080 weight=2 backup;");
        self.change("POST", number, &body)
    }

    fn delete(&mut self, number: usize) -> Duration {
        self.change("DELETE", number, "")
    }

    fn change(&mut self, method: &str, number: usize, body: &str) -> Duration {
        let path = format!("/upstream/host-{number}.example");
        let began = Instant::now();
        let answer = self.call(method, &path, body);
        let time = began.elapsed();
        assert_eq!(answer, "success");
        time
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> String {
        let answer = self.client.request(method, path, &[], body.as_bytes());
        assert!(
            matches!(answer.status, 200 | 204),
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        answer.text()
    }
}
