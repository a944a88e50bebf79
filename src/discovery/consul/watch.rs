//! One thing that is waited for: asked again and again, its answers taken to the groups, its failures told once.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::super::pace;
use super::super::watch::Settling;
use super::answer::Listed;
use super::connection::{Answer, Fault, Question};
use super::plans::{Part, Plan};
use super::{Shared, members};
use crate::controller::{Object, Precondition, Refusal, Submission, Wanted};
use crate::ports::telemetry::SourceAnswer;
use crate::spec::{Listing, Meta, Name, SourceSpec};

/// The questions of one plan, one after the other.
pub(super) struct Watch {
    shared: Arc<Shared>,
    plan: Plan,
    /// What the last answer said of where Consul stands; none: do not wait.
    index: Option<u64>,
    failures: u32,
    settling: Option<Arc<Settling>>,
}

impl Watch {
    pub(super) fn new(shared: Arc<Shared>, plan: Plan, settling: Option<Arc<Settling>>) -> Self {
        Self {
            shared,
            plan,
            index: None,
            failures: 0,
            settling,
        }
    }

    /// Asks until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let asked = self.ask_first().await;
            let answered = Instant::now();
            let pause = match asked {
                Ok(answer) => {
                    // It goes back when Consul is restored from a backup.
                    let is_back = self.index.is_some_and(|index| answer.index < index);
                    self.index = (!is_back).then_some(answer.index);
                    let is_done = self.take(answer).await;
                    self.failures = if is_done {
                        0
                    } else {
                        self.failures.saturating_add(1)
                    };
                    None
                }
                Err(Fault::Forbidden(why)) if self.plan.folder.is_some() => {
                    return self.part_ways(&why).await;
                }
                Err(fault) => {
                    for part in &self.plan.parts {
                        self.tell(part, Err(fault.text()));
                    }
                    self.index = None;
                    self.failures = self.failures.saturating_add(1);
                    Some(pace::after_failure(self.failures, (self.shared.random)()))
                }
            };
            self.settling = None;
            match pause {
                Some(pause) => sleep(pause).await,
                None => sleep_until(answered + LEAST).await,
            }
        }
    }

    /// Not an opaque type, since a watch may start others.
    fn boxed(self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.run())
    }

    /// Waits for each source by itself: a token may be for them, but not for the folder that they stand in.
    async fn part_ways(self, why: &str) {
        if let Some(folder) = &self.plan.folder {
            log::info!("the keys of `{folder}` cannot be waited for together: {why}");
        }
        let mut watches = tokio::task::JoinSet::new();
        for part in self.plan.parts {
            let plan = Plan {
                folder: None,
                parts: vec![part],
            };
            let watch = Self::new(self.shared.clone(), plan, self.settling.clone());
            watches.spawn(watch.boxed());
        }
        drop(self.settling);
        while watches.join_next().await.is_some() {}
    }

    /// The question that waits for a change.
    async fn ask_first(&self) -> Result<Answer, Fault> {
        let Some(part) = self.plan.parts.first() else {
            return std::future::pending().await;
        };
        let path = match &self.plan.folder {
            Some(folder) => format!("/v1/kv/{folder}/?keys&separator=%2F"),
            None => path(&part.source),
        };
        let query = part.source.consul.query();
        let mut target = with(path, query);
        let mut wait = Duration::ZERO;
        if let Some(index) = self.index {
            wait = self.wait();
            target = with(
                target,
                &format!("index={index}&wait={}ms", wait.as_millis()),
            );
        }
        self.ask(&part.source, target, wait).await
    }

    /// How long Consul may hold its answer back. What could not be done is tried again soon, whatever Consul says.
    fn wait(&self) -> Duration {
        let random = (self.shared.random)();
        match self.failures {
            0 => LONGEST.mul_f64(1.0 - random / 6.0),
            failures => pace::after_failure(failures, random),
        }
    }

    async fn ask(
        &self,
        source: &SourceSpec,
        target: String,
        wait: Duration,
    ) -> Result<Answer, Fault> {
        let question = Question {
            url: source.consul.clone(),
            token: source.token.clone(),
            target,
            // Consul adds up to a sixteenth, so that not all answers are due at once.
            patience: wait + wait / 16 + PATIENCE,
        };
        self.shared.consul.ask(&question).await
    }

    /// Takes an answer to the groups, of a folder those to all its sources. False if a part of that is to be tried again.
    async fn take(&self, answer: Answer) -> bool {
        let mut is_done = true;
        if self.plan.folder.is_none() {
            for part in &self.plan.parts {
                is_done &= self.take_part(part, answer.body.as_deref()).await;
            }
            return is_done;
        }
        for part in &self.plan.parts {
            let target = with(path(&part.source), part.source.consul.query());
            is_done &= match self.ask(&part.source, target, Duration::ZERO).await {
                Ok(answer) => self.take_part(part, answer.body.as_deref()).await,
                Err(fault) => {
                    self.tell(part, Err(fault.text()));
                    false
                }
            };
        }
        is_done
    }

    async fn take_part(&self, part: &Part, body: Option<&[u8]>) -> bool {
        let listing = part.source.consul.listing();
        let listed = match Listed::read(listing, body, &self.shared.forbidden) {
            Ok(listed) => listed,
            Err(why) => {
                self.tell(part, Err(&why));
                return false;
            }
        };
        // What was cut on its way may come whole the next time.
        let mut is_done = !listed.is_partial;
        for group in &part.groups {
            match self.put(group, &part.source, &listed).await {
                Ok(()) => self.shared.tell(group, Ok(&listed.skipped)),
                Err(why) => {
                    is_done = false;
                    let why = match listed.skipped.is_empty() {
                        true => why,
                        false => format!("{why}: {}", shown(&listed.skipped)),
                    };
                    self.shared.tell(group, Err(&why));
                }
            }
        }
        is_done
    }

    /// Makes a group's servers those that are listed: as a change like any other, if they are others. The
    /// error says why they stay.
    async fn put(&self, group: &Name, source: &SourceSpec, listed: &Listed) -> Result<(), String> {
        for _ in 0..MOST_RACES {
            let snapshot = self.shared.controller.snapshot().load_full();
            let upstream = snapshot.spec().upstreams.get(group);
            let Some(upstream) = upstream.filter(|found| found.source.as_ref() == Some(source))
            else {
                // This watch is about to end.
                return Ok(());
            };
            let next = members::merged(&upstream.servers, listed)?;
            if next == upstream.servers {
                return Ok(());
            }
            let changes = members::edits(group, &upstream.servers, &next)
                .map_err(|error| error.to_string())?;
            let meta = Meta {
                time: (self.shared.clock)(),
                author: AUTHOR.to_owned(),
                reason: format!("as {} has it", source.consul),
                ..Meta::default()
            };
            let submission = Submission {
                by_source: true,
                precondition: Some(Precondition {
                    object: Object::Upstream(group.clone()),
                    wanted: Wanted::ChangedIn(vec![upstream.changed_at]),
                }),
                ..Submission::new(changes, meta)
            };
            match self.shared.controller.submit(submission).await {
                Ok(done) => {
                    log::info!(
                        "revision {}: upstream `{group}` has {} servers, as Consul has it",
                        done.revision,
                        next.len()
                    );
                    return Ok(());
                }
                Err(Refusal::Precondition(_) | Refusal::Outdated) => {}
                Err(refusal) => return Err(refusal.to_string()),
            }
        }
        Err("changes by others came in between".to_owned())
    }

    fn tell(&self, part: &Part, what: Result<&[String], &str>) {
        for group in &part.groups {
            self.shared.tell(group, what);
        }
    }
}

impl Shared {
    /// What people see of it: a line in the log when something begins to be wrong, when that changes, and when it is over.
    fn tell(&self, group: &Name, what: Result<&[String], &str>) {
        self.metrics.source_answered(match what {
            Ok([]) => SourceAnswer::Good,
            Ok(_) => SourceAnswer::Partial,
            Err(_) => SourceAnswer::Failed,
        });
        let before = self.table.told(group, what, (self.clock)());
        match what {
            Err(why) if before.problem.as_deref() != Some(why) => {
                log::warn!("upstream `{group}` keeps its servers: {why}")
            }
            Ok(_) if before.problem.is_some() => {
                log::info!("upstream `{group}` follows Consul again")
            }
            _ => {}
        }
        if let Ok(skipped) = what
            && !skipped.is_empty()
            && skipped != before.skipped
        {
            log::warn!(
                "of what Consul has for upstream `{group}` not all is taken: {}",
                shown(skipped)
            );
        }
    }
}

/// For a line of the log, which has no room for all.
fn shown(skipped: &[String]) -> String {
    let mut text: Vec<String> = skipped.iter().take(MOST_SHOWN).cloned().collect();
    let more = skipped.len().saturating_sub(MOST_SHOWN);
    if more > 0 {
        text.push(format!("{more} more"));
    }
    text.join("; ")
}

const MOST_SHOWN: usize = 8;

/// Who it is in histories.
const AUTHOR: &str = "consul";
/// Changes by others that may come in between before it is tried again later.
const MOST_RACES: usize = 4;
/// From one answer to the next question: what changes faster is taken together.
const LEAST: Duration = Duration::from_secs(1);
/// How long Consul holds an answer back at most; up to a sixth less, so that the questions of many come apart.
const LONGEST: Duration = Duration::from_secs(60);
/// For an answer that is not held back.
const PATIENCE: Duration = Duration::from_secs(10);

fn path(source: &SourceSpec) -> String {
    match source.consul.listing() {
        // With its slash: `web` is not the beginning of `web2`.
        Listing::Keys(folder) => format!("/v1/kv/{folder}/?recurse"),
        Listing::Catalogue(service) => format!("/v1/catalog/service/{service}"),
        Listing::Health(service) => format!("/v1/health/service/{service}"),
    }
}

fn with(path: String, query: &str) -> String {
    match (query.is_empty(), path.contains('?')) {
        (true, _) => path,
        (false, true) => format!("{path}&{query}"),
        (false, false) => format!("{path}?{query}"),
    }
}
