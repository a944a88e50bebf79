//! Requests that wait for a server with room, first come first served.
//!
//! Whoever makes room serves the line: it picks a server for each request that waits, from the first on, and hands it
//! over. A server that was handed to a request that is gone by then makes room again, which serves the next. So no room is
//! left unused while a request waits that could use it.
//!
//! Where nobody waits, the end of an attempt looks at one number and takes no lock. No end is missed: an attempt first
//! leaves its server and then looks whether somebody waits, a request first waits and then looks for room.

mod group;
mod line;
mod place;

use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::balancer::Pick;
use super::server::{InFlight, ServerId};
use super::sticky::Bound;
use super::upstream::{NobodyLeft, Upstream};
use line::Line;
use place::Place;

/// The line of a group and of all its parts; it survives snapshots.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: AtomicUsize,
    line: Mutex<Line>,
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
    /// It had its turn, and nothing came of it that was a server's doing: it stands before all others, whatever the length
    /// of the line.
    pub goes_first: bool,
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
        let seat = Arc::default();
        let mut line = lock(&self.line);
        if line.len() >= size && !waiter.goes_first {
            drop(line);
            let now = waiter.pick.now;
            let turn = Place::new(waiter, seat).begin(now);
            return Err(turn.unwrap_or(Turn::Nobody(NobodyLeft::Full)));
        }
        let number = line.add(waiter, Arc::clone(&seat));
        self.count(&line);
        drop(line);
        Ok(Waiting {
            queue: self.clone(),
            number,
            seat,
        })
    }

    /// Room that nobody has a use for who waits already; for one who does not wait.
    pub fn at_once(
        self: &Arc<Self>,
        waiter: Waiter,
        now: u64,
        newest: impl Fn(&Arc<Upstream>) -> Option<Arc<Upstream>>,
    ) -> Option<(Arc<Upstream>, InFlight)> {
        let mut waiting = self.join(usize::MAX, waiter).ok()?;
        waiting.look(now, newest);
        match waiting.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Turn::Begun(upstream, begun)) => Some((upstream, begun)),
            _ => None,
        }
    }

    /// Hands servers with room to those who wait, if somebody does.
    pub fn serve(&self) {
        self.serve_by(Line::serve);
    }

    /// The same for the room that an attempt has left at this server.
    pub fn serve_room(&self, left: ServerId) {
        self.serve_by(|line| line.serve_room(left));
    }

    /// Tells all who wait that a server of their group comes back at another time.
    pub fn changed(&self) {
        tell(&mut lock(&self.line));
    }

    /// The same where a group that somebody waits for is another now, or none: most snapshots change other groups, and to
    /// wake thousands for each would cost more than it.
    pub fn follow(&self, newest: impl Fn(&Arc<Upstream>) -> Option<Arc<Upstream>>) {
        let mut line = lock(&self.line);
        if !line.is_of(newest) {
            tell(&mut line);
        }
    }

    fn serve_by(&self, how: impl FnOnce(&mut Line)) {
        if self.waiting() > 0 {
            self.serve_line(how);
        }
    }

    #[cold]
    fn serve_line(&self, how: impl FnOnce(&mut Line)) {
        // Behind the number that was counted up, and before the servers' numbers are read.
        fence(Ordering::SeqCst);
        let mut line = lock(&self.line);
        how(&mut line);
        self.count(&line);
    }

    /// How often somebody was tried for room so far.
    #[cfg(test)]
    fn tries(&self) -> usize {
        lock(&self.line).tries.get()
    }

    /// Under the line's lock.
    fn count(&self, line: &Line) {
        self.waiting.store(line.len(), Ordering::SeqCst);
    }
}

impl Waiting {
    /// Looks for room at `now` (milliseconds by a clock that only goes on) in the `newest` group, behind those who came
    /// before: for all who wait, so that the first who hears of a change does not overtake them.
    pub fn look(
        &self,
        now: u64,
        newest: impl Fn(&Arc<Upstream>) -> Option<Arc<Upstream>>,
    ) -> Outlook {
        let mut line = lock(&self.queue.line);
        let Some(old) = line.upstream(self.number).cloned() else {
            // It has its turn already.
            return Outlook::default();
        };
        // Under the lock, so that nobody puts an older one in the place of a newer.
        let Some(new) = newest(&old) else {
            return Outlook {
                is_over: true,
                ..Outlook::default()
            };
        };
        let outlook = Outlook {
            is_over: false,
            again_at: new.next_return(now),
        };
        if line.needs_look(self.number, now) || !Arc::ptr_eq(&old, &new) {
            // Behind the number that was counted up, and before the servers' numbers are read.
            fence(Ordering::SeqCst);
            let unused = line.look(newest);
            self.queue.count(&line);
            drop(line);
            drop(unused);
        }
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
        line.leave(self.number);
        self.queue.count(&line);
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

fn tell(line: &mut Line) {
    for seat in line.changed() {
        let mut seat = lock(seat);
        seat.is_changed = true;
        seat.wake();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
