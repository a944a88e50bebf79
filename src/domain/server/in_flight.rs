use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Server;

/// A server at work on one attempt: counted in flight until this is dropped, however that comes.
pub struct InFlight(Arc<Server>);

impl InFlight {
    /// Counts an attempt that begins now.
    pub fn begin(server: Arc<Server>) -> Self {
        server.state.requests.fetch_add(1, Ordering::Relaxed);
        server.state.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(server)
    }

    /// Counts an attempt that begins now, unless the server works on as many as it may already.
    pub fn try_begin(server: Arc<Server>) -> Option<Self> {
        let Some(most) = server.limit() else {
            return Some(Self::begin(server));
        };
        let one_more = |in_flight| (in_flight < most).then_some(in_flight + 1);
        let in_flight = &server.state.in_flight;
        let counted = in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.ok()?;
        server.state.requests.fetch_add(1, Ordering::Relaxed);
        Some(Self(server))
    }

    /// The server at work.
    pub fn server(&self) -> &Arc<Server> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // Sequentially consistent, so that either this sees who waits or the one who waits sees the room.
        self.0.state.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.0.state.queue().serve();
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InFlight({})", self.0.label)
    }
}
