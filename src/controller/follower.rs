use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::Job;
use super::standing::Standing;
use super::writer::MOST_AT_ONCE;
use crate::store::{Head, Store, StoreError};

/// Waits for what other processes store, and hands it to the writer. On a thread of its own, since the writer must not
/// wait for others and the store's call does.
pub(super) struct Follower {
    pub(super) store: Arc<dyn Store>,
    /// What the writer serves.
    pub(super) served: watch::Receiver<Head>,
    /// Weak: the writer ends with the last that can ask it for something.
    pub(super) jobs: Weak<SyncSender<Job>>,
    /// Says when that is.
    pub(super) ended: Receiver<()>,
    pub(super) standing: Standing,
}

impl Follower {
    pub(super) fn run(self) {
        loop {
            let pause = self.look();
            if self.ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// Looks once; answers how long to wait for the next look.
    fn look(&self) -> Duration {
        let begun = Instant::now();
        let at = *self.served.borrow();
        let taken = match self.store.next(at, MOST_AT_ONCE, FOLLOW) {
            Ok(newer) if newer.is_empty() => {
                self.standing.agreed();
                return FOLLOW.saturating_sub(begun.elapsed());
            }
            Ok(newer) => self.hand(|reply| Job::Newer(newer, reply)),
            Err(error) => self.succeed(at, error),
        };
        match taken {
            Ok(()) => {
                self.standing.agreed();
                Duration::ZERO
            }
            // The writer was first: what was read is about a state that it has left.
            Err(_) if *self.served.borrow() != at => Duration::ZERO,
            Err((reason, is_diverged)) => {
                self.standing.failed(reason, is_diverged, at.number);
                RETRY + jitter(RETRY)
            }
        }
    }

    /// Where there is no way step by step there may be one all the same.
    fn succeed(&self, at: Head, error: StoreError) -> Result<(), Trouble> {
        if !error.is_divergence() {
            return Err((error.to_string(), false));
        }
        match self.store.successor(at) {
            Ok(Some(state)) => {
                log::warn!("revision {} is taken over whole: {error}", state.number);
                self.hand(|reply| Job::Successor(at, state, reply))
            }
            Ok(None) => Err((diverged(&error), true)),
            Err(other) if other.is_divergence() => Err((diverged(&other), true)),
            Err(other) => Err((other.to_string(), false)),
        }
    }

    fn hand(&self, job: impl FnOnce(oneshot::Sender<Taken>) -> Job) -> Result<(), Trouble> {
        let (reply, answer) = oneshot::channel();
        let stopping = || ("this process is stopping".to_owned(), false);
        let jobs = self.jobs.upgrade().ok_or_else(stopping)?;
        jobs.send(job(reply)).map_err(|_| stopping())?;
        drop(jobs);
        let taken = answer.blocking_recv().map_err(|_| stopping())?;
        taken.map_err(|reason| (reason, true))
    }
}

/// The reason, and whether the store holds another history.
type Trouble = (String, bool);

/// The writer's answer: why it did not go on from what it was given.
pub(super) type Taken = Result<(), String>;

/// What an operator can do about it. The log of another fleet is nobody's to throw away.
pub(super) fn diverged(error: &StoreError) -> String {
    if matches!(error, StoreError::OtherFleet { .. }) {
        return error.to_string();
    }
    format!(
        "{error}: the state that this node serves is not what the store leads to; mend the store, or make this node's state the fleet's by any change with `?force=true`"
    )
}

fn jitter(most: Duration) -> Duration {
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(fastrand::u64(0..=most))
}

/// How long one look waits, and how often a store that cannot wait is looked at.
const FOLLOW: Duration = Duration::from_secs(1);
/// After a failure, and up to twice as long: three looks a second at most, and nodes that lost their store together
/// do not come back together.
const RETRY: Duration = Duration::from_millis(300);
