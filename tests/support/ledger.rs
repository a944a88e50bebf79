//! Double-entry book-keeping of requests: what clients sent and got, against what the origins saw.

use super::{Origin, Response};
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    io,
    sync::Mutex,
};

/// One for a test; clients on any thread write into it.
pub struct Ledger {
    /// Random for each ledger, so that two runs never share a nonce.
    run: u64,
    entries: Mutex<Vec<Entry>>,
}

/// The name of one request: 128 bits, 64 of the run and 64 of the request, as 32 hexadecimal digits. Sent as `X-Nonce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce {
    run: u64,
    number: u64,
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.run, self.number)
    }
}

/// What the client knows about its request.
#[derive(Clone, Debug)]
enum Entry {
    Pending,
    /// With the nonce that came back.
    Answered {
        status: u16,
        echo: Option<String>,
    },
    Failed(String),
}

/// The two sides compared. `fmt::Display` gives the one line to print.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub sent: usize,
    /// Got an origin's response.
    pub answered: usize,
    /// Got a status of 400 or more without an origin's echo: the edge's own answer.
    pub refused: usize,
    /// Got no response; the reasons are in `faults`.
    pub failed: usize,
    /// Arrived more than once, and was answered by an origin once at most: a retry.
    pub retried: usize,
    /// Answered by origins more than once.
    pub doubled: Vec<String>,
    /// The client has a response that no origin gave.
    pub unseen: Vec<String>,
    /// The client got the response to another request.
    pub crossed: Vec<String>,
    /// Seen by an origin, sent by nobody.
    pub foreign: usize,
    /// Nonce and reason of each request that failed, was refused or was never concluded.
    pub faults: Vec<String>,
}

impl Ledger {
    pub fn new() -> Self {
        Self {
            run: RandomState::new().hash_one("run"),
            entries: Mutex::default(),
        }
    }

    /// Opens an entry; the request must carry the nonce as `X-Nonce`.
    pub fn send(&self) -> Nonce {
        let mut entries = self.entries.lock().unwrap();
        entries.push(Entry::Pending);
        Nonce {
            run: self.run,
            number: entries.len() as u64 - 1,
        }
    }

    /// Sends by `call`, which gets the nonce as text, and writes down what came of it.
    pub fn record(&self, call: impl FnOnce(&str) -> io::Result<Response>) -> io::Result<Response> {
        let nonce = self.send();
        let result = call(&nonce.to_string());
        match &result {
            Ok(response) => self.answered(nonce, response.status, response.header("x-nonce")),
            Err(error) => self.failed(nonce, error),
        }
        result
    }

    pub fn answered(&self, nonce: Nonce, status: u16, echo: Option<&str>) {
        self.conclude(
            nonce,
            Entry::Answered {
                status,
                echo: echo.map(str::to_owned),
            },
        );
    }

    pub fn failed(&self, nonce: Nonce, reason: impl ToString) {
        self.conclude(nonce, Entry::Failed(reason.to_string()));
    }

    fn conclude(&self, nonce: Nonce, entry: Entry) {
        self.entries.lock().unwrap()[usize::try_from(nonce.number).unwrap()] = entry;
    }

    /// Compares with what these origins saw, and prints the line.
    pub fn settle<'a>(&self, origins: impl IntoIterator<Item = &'a Origin>) -> Tally {
        let mut arrivals: HashMap<String, Arrivals> = HashMap::new();
        for seen in origins.into_iter().flat_map(Origin::requests) {
            // Health probes and the like carry none.
            if let Some(nonce) = seen.nonce() {
                let arrivals = arrivals.entry(nonce.to_owned()).or_default();
                arrivals.seen += 1;
                arrivals.answered += usize::from(seen.answered);
            }
        }
        let mut tally = Tally::default();
        for (number, entry) in self.entries.lock().unwrap().iter().enumerate() {
            let nonce = Nonce {
                run: self.run,
                number: number as u64,
            }
            .to_string();
            let arrived = arrivals.remove(&nonce).unwrap_or_default();
            tally.add(nonce, entry, &arrived);
        }
        tally.foreign = arrivals.len();
        println!("{tally}");
        tally
    }
}

#[derive(Default)]
struct Arrivals {
    seen: usize,
    answered: usize,
}

impl Tally {
    fn add(&mut self, nonce: String, entry: &Entry, arrived: &Arrivals) {
        self.sent += 1;
        self.retried += usize::from(arrived.seen > 1 && arrived.answered <= 1);
        match entry {
            Entry::Pending => self.faults.push(format!("{nonce}: never concluded")),
            Entry::Failed(reason) => {
                self.failed += 1;
                self.faults.push(format!("{nonce}: {reason}"));
            }
            Entry::Answered { status, echo: None } if *status >= 400 => {
                self.refused += 1;
                self.faults.push(format!("{nonce}: status {status}"));
            }
            Entry::Answered { echo, .. } => {
                self.answered += 1;
                if echo.as_ref().is_some_and(|echo| *echo != nonce) {
                    self.crossed.push(nonce.clone());
                }
                if arrived.answered == 0 {
                    self.unseen.push(nonce.clone());
                }
            }
        }
        if arrived.answered > 1 {
            self.doubled.push(nonce);
        }
    }

    /// No response is doubled, crossed or from nowhere. Failed, refused and retried requests are counted, not wrong.
    #[track_caller]
    pub fn assert_accounted(&self) {
        let clean = self.doubled.is_empty()
            && self.unseen.is_empty()
            && self.crossed.is_empty()
            && self.foreign == 0;
        let concluded = self.answered + self.refused + self.failed == self.sent;
        assert!(clean && concluded && self.sent > 0, "{self}\n{self:#?}");
    }

    /// Every request got its answer, each of which an origin gave exactly once.
    #[track_caller]
    pub fn assert_flawless(&self) {
        self.assert_accounted();
        assert!(
            self.answered == self.sent,
            "{self}; the first faults: {:#?}",
            &self.faults[..self.faults.len().min(10)]
        );
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ledger: {} sent, {} answered, {} refused, {} failed; ",
            self.sent, self.answered, self.refused, self.failed
        )?;
        write!(
            f,
            "{} retried, {} doubled, {} unseen, {} crossed, {} foreign",
            self.retried,
            self.doubled.len(),
            self.unseen.len(),
            self.crossed.len(),
            self.foreign
        )
    }
}
