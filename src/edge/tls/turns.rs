use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::Semaphore;
use tokio_util::sync::PollSemaphore;

/// Lets handshakes compute on half of the worker threads at most, first come, first served.
///
/// One costs as much as ten requests on an open connection: a flood of them would otherwise have every thread, and those
/// who are connected already would wait behind it.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Semaphore>);

impl Turns {
    /// Of so many worker threads.
    pub fn of(threads: usize) -> Self {
        Self(Arc::new(Semaphore::new((threads / 2).max(1))))
    }

    /// The same future, which goes on only when it is its turn. While it waits for the network it has none.
    pub(super) fn wait<F: Future + Unpin>(&self, work: F) -> InTurn<F> {
        InTurn {
            work,
            turns: PollSemaphore::new(self.0.clone()),
        }
    }
}

/// A future that goes on in turn.
#[derive(Debug)]
pub(super) struct InTurn<F> {
    work: F,
    turns: PollSemaphore,
}

impl<F: Future + Unpin> Future for InTurn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _turn = ready!(self.turns.poll_acquire(context));
        Pin::new(&mut self.work).poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    #[test]
    fn at_most_half_of_the_threads_are_at_work_at_a_time() {
        let turns = Turns::of(4);
        let mut context = Context::from_waker(Waker::noop());
        let mut third = pin!(turns.wait(poll_fn(|_| Poll::Ready(3))));
        let second = |context: &mut Context<'_>| {
            let mut inner = pin!(turns.wait(poll_fn(|context| {
                // Both turns are taken here: by the first, and by this one around it.
                assert!(third.as_mut().poll(context).is_pending());
                Poll::Ready(2)
            })));
            inner.as_mut().poll(context)
        };
        let mut first = pin!(turns.wait(poll_fn(second)));
        assert_eq!(first.as_mut().poll(&mut context), Poll::Ready(2));
        assert_eq!(third.as_mut().poll(&mut context), Poll::Ready(3));
    }

    #[test]
    fn whoever_waits_for_the_network_has_no_turn() {
        let turns = Turns::of(1);
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting = pin!(turns.wait(pending::<()>()));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        let mut next = pin!(turns.wait(poll_fn(|_| Poll::Ready(()))));
        assert!(next.as_mut().poll(&mut context).is_ready());
    }
}
