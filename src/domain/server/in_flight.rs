use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Server;
use crate::domain::ejection::Claim;

/// A server at work on one attempt: counted in flight until this is dropped, however that comes.
pub struct InFlight {
    server: Arc<Server>,
    /// When it began, if it is the attempt that tells whether an ejected server is back.
    trial: Option<u64>,
}

impl InFlight {
    /// An attempt that is made at once, whatever the server's limit and its failures.
    pub fn begin(server: Arc<Server>) -> Self {
        server.state.in_flight.fetch_add(1, Ordering::Relaxed);
        let begun = Self {
            server,
            trial: None,
        };
        begun.count();
        begun
    }

    /// Counts an attempt in flight from `now` (milliseconds by a clock that only goes on), unless the server works on as
    /// many as it may already, or is being tried again by another one.
    pub fn try_begin(server: Arc<Server>, now: u64) -> Option<Self> {
        let in_flight = &server.state.in_flight;
        match server.limit() {
            None => drop(in_flight.fetch_add(1, Ordering::Relaxed)),
            Some(most) => {
                let one_more = |in_flight| (in_flight < most).then_some(in_flight + 1);
                let counted =
                    in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
                counted.ok()?;
            }
        }
        let ejection = server.state.ejection();
        let until = ejection.until();
        // One that is out still is picked where all are: that is no trial.
        let claim = match until != 0 && until <= now {
            true => ejection.try_again(now),
            false => Claim::None,
        };
        if claim == Claim::Lost {
            // Nobody who waits has missed this place: for them the server is out.
            in_flight.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        let trial = (claim == Claim::Trial).then_some(now);
        Some(Self { server, trial })
    }

    /// The attempt is made: what was only picked is not counted as one.
    pub fn count(&self) {
        self.server.state.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The server at work.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let state = &self.server.state;
        // Its client left, or the attempt was not made: another one has to tell.
        let is_untold = |trial| state.ejection().told_nothing(trial);
        if self.trial.is_some_and(is_untold) {
            state.queue().changed();
        }
        // Sequentially consistent, so that either this sees who waits or the one who waits sees the room.
        state.in_flight.fetch_sub(1, Ordering::SeqCst);
        state.queue().serve_room(state.id());
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InFlight({})", self.server.label)
    }
}
