//! One name: asked for again and again, its answers taken in, its failures told once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::time::sleep;

use super::questions::{Found, Questions};
use super::{Discovery, pace};
use crate::domain::names::{NameState, Named, Observed, Resolved};
use crate::ports::telemetry::NameAnswer;
use crate::spec::Address;

/// The questions about one name, one round after the other.
pub(super) struct Watch {
    discovery: Arc<Discovery>,
    name: Address,
    state: Arc<NameState>,
    questions: Questions,
    failures: u32,
    settling: Option<Arc<Settling>>,
}

/// Held until the first answer; the last one to let go says that all have been.
pub(super) struct Settling(pub(super) channel::Sender<bool>);

impl Drop for Settling {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// How a round went.
struct Round {
    refused: Vec<String>,
    problem: Option<String>,
    answer: NameAnswer,
    ttl: Duration,
}

impl Watch {
    pub(super) fn new(
        discovery: Arc<Discovery>,
        named: &Named,
        settling: Option<Arc<Settling>>,
    ) -> Self {
        let name = named.address().clone();
        Self {
            questions: Questions::new(discovery.clone(), name.clone()),
            state: named.state().clone(),
            discovery,
            name,
            failures: 0,
            settling,
        }
    }

    /// Asks until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let round = match self.questions.ask().await {
                Ok(found) => self.take(found).await,
                Err(problem) => Round::failed(problem),
            };
            let pause = self.pause(&round);
            self.tell(round, pause);
            self.settling = None;
            sleep(pause).await;
        }
    }

    fn pause(&mut self, round: &Round) -> Duration {
        let random = (self.discovery.random)();
        if round.problem.is_none() {
            self.failures = 0;
            return pace::after_answer(round.ttl, random);
        }
        self.failures = self.failures.saturating_add(1);
        pace::after_failure(self.failures, random)
    }

    /// Takes in what the name stands for, if that is another thing than what requests go by.
    async fn take(&self, found: Found) -> Round {
        let (resolved, refused) = Resolved::new(found.places, &self.discovery.forbidden);
        let Some(resolved) = resolved.map(Arc::new) else {
            let why = refused.first().map_or("it has no address", String::as_str);
            let problem = format!("no address that may be taken: {why}");
            return Round {
                refused,
                ..Round::failed(problem)
            };
        };
        let mut round = Round {
            refused,
            answer: match found.problem {
                None => NameAnswer::Good,
                Some(_) => NameAnswer::Partial,
            },
            problem: found.problem,
            ttl: found.ttl,
        };
        if self.is_new(&resolved) {
            log::info!("`{}` stands for {}", self.name, listed(&resolved));
            match (self.discovery.publish)(self.name.clone(), resolved) {
                // A writer that ends answers nobody.
                Some(done) => drop(done.await),
                None => round.problem = Some("the changes that wait are too many".to_owned()),
            }
        }
        round
    }

    fn is_new(&self, resolved: &Arc<Resolved>) -> bool {
        let snapshot = self.discovery.snapshot.load();
        let named = snapshot.names().get(&self.name);
        named.is_some_and(|named| named.resolved() != Some(resolved))
    }

    /// What people see of it. The log has a line when answers begin to be of no use and when they are again,
    /// and one for other addresses that are not taken.
    fn tell(&self, round: Round, pause: Duration) {
        self.discovery.metrics.name_answered(round.answer);
        let now = (self.discovery.clock)();
        let before = self.state.observed();
        let problem = round.problem.clone();
        let observed = Observed {
            asked_at: now,
            failing_since: problem
                .as_ref()
                .map(|_| before.failing_since.unwrap_or(now)),
            problem,
            refused: round.refused,
            again_at: now.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
        };
        match (&round.problem, before.failing_since) {
            (Some(problem), None) => log::warn!(
                "`{}` cannot be resolved: {problem}; its last addresses stay, it is asked for again",
                self.name
            ),
            (None, Some(_)) => log::info!("`{}` is resolved again", self.name),
            _ => {}
        }
        if observed.refused != before.refused && !observed.refused.is_empty() {
            log::warn!(
                "of `{}` not all is taken: {}",
                self.name,
                observed.refused.join("; ")
            );
        }
        self.state.observe(observed);
    }
}

impl Round {
    fn failed(problem: String) -> Self {
        Self {
            refused: Vec::new(),
            problem: Some(problem),
            answer: NameAnswer::Failed,
            ttl: Duration::ZERO,
        }
    }
}

/// The addresses for a line of the log, which has no room for all.
fn listed(resolved: &Resolved) -> String {
    let places = resolved.places();
    let first = places.iter().take(MOST_LISTED);
    let mut text: Vec<String> = first.map(|place| place.address.to_string()).collect();
    let more = places.len().saturating_sub(MOST_LISTED);
    if more > 0 {
        text.push(format!("{more} more"));
    }
    text.join(", ")
}

const MOST_LISTED: usize = 8;
