use std::sync::{Arc, Mutex};

use super::{Seat, Turn, Waiter};
use crate::domain::balancer::Pick;
use crate::domain::server::ServerId;
use crate::domain::sticky::Bound;
use crate::domain::upstream::{NobodyLeft, Upstream};

/// One who waits, as the line sees it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) upstream: Arc<Upstream>,
    /// In order: which came first makes no difference.
    pub(super) tried: Arc<[ServerId]>,
    /// The server that the client is bound to, if the group has it and it was not tried.
    pub(super) own: Option<ServerId>,
    bound: Option<Bound>,
    pick: Pick<'static>,
    pub(super) seat: Arc<Mutex<Seat>>,
    pub(super) has_looked: bool,
}

impl Place {
    pub(super) fn new(waiter: Waiter, seat: Arc<Mutex<Seat>>) -> Self {
        let mut tried = waiter.tried;
        tried.sort_unstable();
        let mut place = Self {
            upstream: waiter.upstream,
            tried: tried.into(),
            own: None,
            bound: waiter.bound,
            pick: waiter.pick,
            seat,
            has_looked: false,
        };
        place.find_own();
        place
    }

    /// The group has become another.
    pub(super) fn moves_to(&mut self, upstream: &Arc<Upstream>) {
        self.upstream = upstream.clone();
        self.find_own();
    }

    fn find_own(&mut self) {
        let sticky = self.upstream.sticky().zip(self.bound);
        let own = sticky.and_then(|(sticky, bound)| sticky.server(bound.server));
        let own = own.map(|server| server.id());
        self.own = own.filter(|own| !self.tried.contains(own));
    }

    /// What it comes to at `now`, if it need not wait on.
    pub(super) fn begin(&self, now: u64) -> Option<Turn> {
        self.begin_at_own(now)
            .or_else(|| match self.upstream.begin(&self.pick(now)) {
                Ok(begun) => Some(Turn::Begun(self.upstream.clone(), begun)),
                Err(NobodyLeft::Full) => None,
                Err(nobody) => Some(Turn::Nobody(nobody)),
            })
    }

    /// The server that the client had, if that has room.
    pub(super) fn begin_at_own(&self, now: u64) -> Option<Turn> {
        let bound = self.bound.as_ref().filter(|_| self.own.is_some())?;
        let begun = self.upstream.begin_at(bound, &self.pick(now))?;
        Some(Turn::Begun(self.upstream.clone(), begun))
    }

    fn pick(&self, now: u64) -> Pick<'_> {
        let now = now.max(self.pick.now);
        Pick {
            tried: &self.tried,
            now,
            ..self.pick
        }
    }
}
