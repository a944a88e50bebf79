//! The same table for other proxies. What counts: a message is refused if not one byte of it is at the server when the
//! client has its answer, the connection is over, or nothing has come for `PATIENCE`, and then nothing moves for `QUIET`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::conversation::Conversation;
use crate::message::{Expected, Message};
use crate::recorder::{Evidence, Recorder};
use crate::{edge_to, others, table};

const PATIENCE: Duration = Duration::from_millis(150);
const QUIET: Duration = Duration::from_millis(10);

/// How one proxy treated the table.
#[derive(Default)]
struct Row {
    /// Not one byte reached the server; of several requests, none but the sound ones.
    refused: usize,
    /// No whole request reached it that must not.
    harmless: usize,
    forwarded: usize,
    /// What came through, and what did not.
    through: Vec<String>,
    withheld: Vec<String>,
}

#[test]
fn other_proxies_are_given_the_same_table() {
    let messages = table::all();
    let must = messages
        .iter()
        .filter(|message| message.must_be_refused())
        .count();
    println!(
        "| proxy | refused, of {must} | no whole request came through | valid and passed on, of {} |",
        messages.len() - must
    );
    println!("|---|---|---|---|");
    let recorder = Recorder::start();
    let edge = edge_to(&recorder);
    let ours = Row::of([edge.address(); 2], &recorder, &messages);
    ours.print("Pointsman");
    let mut lists = Vec::new();
    for start in others::ALL {
        let recorder = Recorder::start();
        let Some(other) = start(recorder.address()) else {
            println!("skipped: one that is not installed");
            continue;
        };
        let row = Row::of(
            [other.http1.address(), other.http2.address()],
            &recorder,
            &messages,
        );
        row.print(&other.name);
        lists.push((other.name.clone(), row));
    }
    for (name, row) in lists {
        println!(
            "\n{name} let through: {}\n\n{name} did not pass on: {}",
            row.through.join("; "),
            row.withheld.join("; ")
        );
    }
    assert_eq!(ours.withheld, Vec::<String>::new());
    assert_eq!(ours.harmless, must);
}

impl Row {
    fn of(addresses: [SocketAddr; 2], recorder: &Recorder, messages: &[Message]) -> Self {
        let mut row = Self::default();
        for message in messages {
            let address = addresses[usize::from(!message.is_http1())];
            let enough = message.arrivals().count() + usize::from(message.must_be_refused());
            let _said = Conversation::of(address, message, PATIENCE, enough);
            row.add(message, &settled(recorder));
        }
        row
    }

    fn add(&mut self, message: &Message, seen: &Evidence) {
        let arrivals = match &message.expected {
            Expected::Forwarded(arrivals) | Expected::Both(arrivals, _) => arrivals.len(),
            Expected::Refused(_) | Expected::Broken(_) => 0,
        };
        let (whole, is_only) = (seen.whole.len(), seen.bytes == seen.whole_bytes);
        if !message.must_be_refused() {
            let bodies = message.arrivals().map(|arrival| &arrival.body);
            let is_right = whole == arrivals
                && is_only
                && seen.whole.iter().map(|arrival| &arrival.body).eq(bodies);
            self.forwarded += usize::from(is_right);
            self.withheld
                .extend((!is_right).then(|| message.name.to_string()));
            return;
        }
        let is_harmless = whole <= arrivals;
        self.harmless += usize::from(is_harmless);
        self.refused += usize::from(is_harmless && is_only);
        self.through
            .extend((!is_harmless).then(|| message.name.to_string()));
    }

    fn print(&self, name: &str) {
        println!(
            "| {name} | {} | {} | {} |",
            self.refused, self.harmless, self.forwarded
        );
    }
}

/// What arrived, when nothing more does.
fn settled(recorder: &Recorder) -> Evidence {
    let mut all = recorder.take();
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        std::thread::yield_now();
        let more = recorder.take();
        if more.bytes > 0 {
            since = Instant::now();
        }
        all.bytes += more.bytes;
        all.whole_bytes += more.whole_bytes;
        all.whole.extend(more.whole);
    }
    all
}
