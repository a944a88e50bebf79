//! Requests that wait for a server with room, first come first served.
//!
//! Whoever makes room serves the line: it picks a server for each request that waits, from the first on, and hands it
//! over. A server that was handed to a request that is gone by then makes room again, which serves the next. So no room is
//! left unused while a request waits that could use it.
//!
//! Where nobody waits, the end of an attempt looks at one number and takes no lock. No end is missed: an attempt first
//! leaves its server and then looks whether somebody waits, a request first waits and then looks for room.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::balancer::Pick;
use super::server::{InFlight, ServerId};
use super::sticky::Bound;
use super::upstream::{NobodyLeft, Upstream};

/// The line of a group and of all its parts; it survives snapshots.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    places: VecDeque<Place>,
    last: u64,
}

#[derive(Debug)]
struct Place {
    number: u64,
    waiter: Waiter,
    seat: Arc<Mutex<Seat>>,
    /// When somebody looked for it last; 0: nobody has.
    looked_at: u64,
}

/// What a request that waits may go to.
#[derive(Debug, Clone)]
pub struct Waiter {
    /// The group, or the part of it.
    pub upstream: Arc<Upstream>,
    /// Servers that the request has been tried on.
    pub tried: Vec<ServerId>,
    /// The server that the client had before.
    pub bound: Option<Bound>,
    /// The rest of what a pick needs to know. Its time goes on with each look.
    pub pick: Pick<'static>,
}

/// How far a request has come that waits.
#[derive(Debug)]
pub enum Turn {
    /// It has a server of this group, counted in flight.
    Begun(Arc<Upstream>, InFlight),
    /// There is none any more that it could wait for.
    Nobody(NobodyLeft),
    /// The group may be another now: [`Waiting::look`] again.
    Changed,
}

/// What the line and the one who waits tell each other.
#[derive(Debug, Default)]
struct Seat {
    outcome: Option<Turn>,
    is_changed: bool,
    waker: Option<Waker>,
}

/// What one who waits may expect.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// The group is gone.
    pub is_over: bool,
    /// When a server that failing requests have taken out comes back: [`Waiting::look`] again then, nobody else tells.
    pub again_at: Option<u64>,
}

/// A place in the line. It is left when this is dropped.
#[derive(Debug)]
pub struct Waiting {
    queue: Arc<Queue>,
    number: u64,
    seat: Arc<Mutex<Seat>>,
}

impl Queue {
    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// A place at the end of the line. Nothing happens until [`Waiting::look`].
    ///
    /// # Errors
    /// `size` wait already. The request need not be shed for that: they may all wait for servers that it has no use for,
    /// since the parts of a group share the line. So it has its turn at once.
    pub fn join(self: &Arc<Self>, size: usize, waiter: Waiter) -> Result<Waiting, Turn> {
        let mut line = lock(&self.line);
        if line.places.len() >= size {
            drop(line);
            return Err(match waiter.begin() {
                Ok(begun) => Turn::Begun(waiter.upstream, begun),
                Err(nobody) => Turn::Nobody(nobody),
            });
        }
        line.last += 1;
        let waiting = Waiting {
            queue: self.clone(),
            number: line.last,
            seat: Arc::default(),
        };
        line.places.push_back(Place {
            number: waiting.number,
            waiter,
            seat: waiting.seat.clone(),
            looked_at: 0,
        });
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Ok(waiting)
    }

    /// Hands servers with room to those who wait, if somebody does.
    pub fn serve(&self) {
        if self.waiting() > 0 {
            self.serve_line();
        }
    }

    /// Tells all who wait that their group may be another now, or that a server of it comes back at another time.
    pub fn changed(&self) {
        for place in &lock(&self.line).places {
            let mut seat = lock(&place.seat);
            seat.is_changed = true;
            seat.wake();
        }
    }

    #[cold]
    fn serve_line(&self) {
        // Behind the number that was counted up, and before the servers' numbers are read.
        fence(Ordering::SeqCst);
        let mut line = lock(&self.line);
        let mut full: Vec<*const Upstream> = Vec::new();
        let mut at = 0;
        while let Some(place) = line.places.get(at) {
            let waiter = &place.waiter;
            let group = Arc::as_ptr(&waiter.upstream);
            // The next ones find no more room than the one before who could go anywhere.
            let goes_anywhere = waiter.tried.is_empty() && waiter.bound.is_none();
            if goes_anywhere && full.contains(&group) {
                at += 1;
                continue;
            }
            let turn = match waiter.begin() {
                Ok(begun) => Turn::Begun(waiter.upstream.clone(), begun),
                Err(NobodyLeft::Full) => {
                    full.extend(goes_anywhere.then_some(group));
                    at += 1;
                    continue;
                }
                Err(nobody) => Turn::Nobody(nobody),
            };
            if let Some(place) = line.places.remove(at) {
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                let mut seat = lock(&place.seat);
                seat.outcome = Some(turn);
                seat.wake();
            }
        }
    }
}

impl Line {
    /// Where the place with this number is: their numbers only go up.
    fn at(&self, number: u64) -> Result<usize, usize> {
        self.places
            .binary_search_by_key(&number, |place| place.number)
    }

    fn place(&self, number: u64) -> Option<&Place> {
        self.places.get(self.at(number).ok()?)
    }
}

impl Waiter {
    fn begin(&self) -> Result<InFlight, NobodyLeft> {
        let tried = &self.tried;
        let pick = Pick { tried, ..self.pick };
        let bound = self.bound.as_ref();
        let had = bound.and_then(|bound| self.upstream.begin_at(bound, &pick));
        had.map_or_else(|| self.upstream.begin(&pick), Ok)
    }
}

impl Waiting {
    /// Looks for room at `now` (milliseconds by a clock that only goes on) in the `newest` group, behind those who came
    /// before: for all who wait for the same, so that the first who hears of a change does not overtake them.
    pub fn look(
        &self,
        now: u64,
        newest: impl FnOnce(&Upstream) -> Option<Arc<Upstream>>,
    ) -> Outlook {
        let mut line = lock(&self.queue.line);
        let Some(own) = line.place(self.number) else {
            // It has its turn already.
            return Outlook::default();
        };
        let (old, looked_at) = (own.waiter.upstream.clone(), own.looked_at);
        // Under the lock, so that nobody puts an older one in the place of a newer.
        let Some(newest) = newest(&old) else {
            return Outlook {
                is_over: true,
                ..Outlook::default()
            };
        };
        let outlook = Outlook {
            is_over: false,
            again_at: newest.next_return(now),
        };
        let is_same = Arc::ptr_eq(&old, &newest);
        if is_same && looked_at >= now {
            // Another one who waits has looked for all.
            return outlook;
        }
        for place in &mut line.places {
            place.looked_at = place.looked_at.max(now);
            place.waiter.pick.now = place.waiter.pick.now.max(now);
            if !is_same && Arc::ptr_eq(&old, &place.waiter.upstream) {
                place.waiter.upstream = newest.clone();
            }
        }
        drop(line);
        // A whole group may go with it.
        drop(old);
        self.queue.serve();
        outlook
    }

    /// How far it has come.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        let mut seat = lock(&self.seat);
        if let Some(turn) = seat.outcome.take() {
            return Poll::Ready(turn);
        }
        if std::mem::take(&mut seat.is_changed) {
            return Poll::Ready(Turn::Changed);
        }
        seat.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut line = lock(&self.queue.line);
        let place = line.at(self.number).ok();
        let place = place.and_then(|at| line.places.remove(at));
        if place.is_some() {
            self.queue.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        drop(line);
        // A server that was handed over already makes room, for which the lock must be free.
        let unused = lock(&self.seat).outcome.take();
        drop(unused);
    }
}

impl Seat {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
