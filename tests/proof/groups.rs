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
    let start = || {
        Edge::builder()
            .route("*", "{host}")
            .with("log: { level: warn }")
            .start()
    };
    let (edge, few) = (start(), start());
    println!("{groups} groups; at the start {} KiB", edge.memory());
    let left: Vec<u64> = (0..size(1, 3))
        .map(|_| cycle(&edge, &few, groups))
        .collect();
    // What the allocator and SQLite keep at hand after the first time serves the others. The groups
    // themselves take more than ROOM each time: a leak would show.
    let (first, last) = (left[0], left[left.len() - 1]);
    assert!(last <= first + ROOM, "KiB left after each cycle: {left:?}");
}

/// In KiB. 10,000 groups of two servers take some 23,000; a thread that wrote a page about them keeps
/// a few thousand.
const ROOM: u64 = 16 * 1024;

/// Creates, lists and deletes; the memory that is left, in KiB. The changes of the full edge's last tenth are
/// timed beside those of an edge with `few` groups, turn by turn: whatever else the machine does meets both.
fn cycle(edge: &Edge, few: &Edge, groups: usize) -> u64 {
    let (mut full, mut few) = (Caller::new(edge), Caller::new(few));
    let part = groups / 10;
    for number in part..groups {
        full.create(number);
    }
    compare("create", part, |number| {
        (full.create(number), few.create(number))
    });
    let memory = edge.memory();
    let began = Instant::now();
    assert_eq!(full.call("GET", "/list", "").lines().count(), groups);
    let listing = began.elapsed();
    let detail = full.call("GET", "/detail", "");
    assert_eq!(detail.lines().count(), 4 * groups);
    compare("delete", part, |number| {
        (full.delete(number), few.delete(number))
    });
    for number in part..groups {
        full.delete(number);
    }
    assert_eq!(full.call("GET", "/list", ""), "");
    let left = edge.memory();
    println!("listed in {listing:?}; {memory} KiB with the groups, {left} KiB without them");
    left
}

/// The first `part` changes of all and the last: what each takes with many groups and with few.
fn compare(what: &str, part: usize, change: impl FnMut(usize) -> (Duration, Duration)) {
    let (last, first): (Vec<Duration>, Vec<Duration>) = (0..part).map(change).unzip();
    let (first, last) = (Part::of(&first), Part::of(&last));
    println!("{what}: the first {part}: {first}; the last {part}: {last}");
    // A cost that grows with the state would be ten times as high.
    assert!(last.fast <= first.fast * 2, "{what}: {first}; {last}");
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
