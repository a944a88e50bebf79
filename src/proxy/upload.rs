use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use filedescriptor::{OwnedHandle, POLLOUT, poll, pollfd};
use pingora_proxy::Session;
use socket2::SockRef;
use tokio::task::JoinHandle;

use super::ahead::Unsent;

/// The watch over a request's body that comes over HTTP/2, until it ends or its answer begins: from then on the client may
/// rest as long as the server does. It has the limits that the edge keeps for bodies over HTTP/1.
///
/// Pingora's stream waits for such a body without a limit, and in its exchange nothing but the end of the other side can wake it: so
/// what is too slow ends the connection to the server, which a part of a request has made useless anyway.
pub(super) struct Upload {
    came: Arc<Came>,
    task: JoinHandle<()>,
}

/// What a body may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Between two parts.
    pub(super) pause: Option<Duration>,
    /// Bytes a second over all, after the first ten seconds.
    pub(super) rate: Option<u32>,
}

impl Pace {
    /// How long a client may take for a part of a response over HTTP/2 at the lowest rate: what Pingora waits for in one go. The
    /// edge sees the steps, and how long each of them takes.
    pub(super) fn longest_write(self) -> Option<Duration> {
        let part = self.rate.map(|rate| PART / u64::from(rate.max(1)));
        self.pause?
            .checked_add(Duration::from_secs(part.unwrap_or_default()))
    }
}

/// The most that Pingora passes on of a response at once.
const PART: u64 = 64 * 1024;

struct Came {
    began: Instant,
    pace: Pace,
    bytes: AtomicU64,
    /// When the last of them came, in milliseconds since it began.
    moved: AtomicU64,
    is_over: AtomicBool,
}

/// So much waiting is free: a client may be slow to begin.
const GRACE: Duration = Duration::from_secs(10);

/// How often a server that takes nothing is looked at.
const STEP: Duration = Duration::from_millis(500);

/// What came in time may still lie unread where the process had no time.
const LAST_LOOK: Duration = Duration::from_millis(100);

impl Upload {
    /// Begins to watch what is left of the body, if it has to be watched. `connection`: to the server, this request's
    /// alone.
    pub(super) fn begin(
        session: &mut Session,
        pace: Pace,
        connection: RawFd,
        unsent: Option<Unsent>,
    ) -> Option<Self> {
        let is_limited = pace.pause.is_some() || pace.rate.is_some();
        let is_watched = is_limited && session.is_http2() && !session.as_mut().is_body_done();
        if !is_watched {
            return None;
        }
        let came = Arc::new(Came {
            began: Instant::now(),
            pace,
            bytes: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let socket = OwnedHandle::dup(&connection)
            .inspect_err(|error| log::warn!("a client's body is not watched: {error}"))
            .ok()?;
        let task = tokio::spawn(watch(came.clone(), socket, unsent));
        Some(Self { came, task })
    }

    /// More of the body came.
    pub(super) fn moved(&self, bytes: usize) {
        self.came.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.came.touch();
    }

    /// Whether the connection was shut down because the client took too long.
    pub(super) fn is_over(&self) -> bool {
        self.came.is_over.load(Ordering::Acquire)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Came {
    fn touch(&self) {
        let moved = u64::try_from(self.began.elapsed().as_millis());
        self.moved
            .store(moved.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Until when more is waited for, where `since` and the first `before` bytes are what the rate counts from.
    fn deadline(&self, since: Instant, before: u64) -> Option<Instant> {
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        let by_pause = self
            .pace
            .pause
            .and_then(|pause| (self.began + moved).checked_add(pause));
        let bytes = self.bytes.load(Ordering::Relaxed).saturating_sub(before);
        let by_rate = self.pace.rate.and_then(|rate| {
            let earned = Duration::from_secs(bytes / u64::from(rate.max(1)));
            since.checked_add(earned.max(GRACE))
        });
        by_pause.into_iter().chain(by_rate).min()
    }
}

async fn watch(came: Arc<Came>, socket: OwnedHandle, unsent: Option<Unsent>) {
    let (mut since, mut before) = (came.began, 0);
    while let Some(deadline) = came.deadline(since, before) {
        if Instant::now() < deadline {
            tokio::time::sleep_until(deadline.into()).await;
            tokio::time::sleep(LAST_LOOK).await;
        } else if takes_more(&socket) && !unsent.as_ref().is_some_and(Unsent::is_any) {
            came.is_over.store(true, Ordering::Release);
            // A connection that is gone already needs no end.
            let _gone = SockRef::from(&socket).shutdown(std::net::Shutdown::Both);
            return;
        } else {
            // It is the server that is slow: the client may not have been asked for more. It begins anew.
            tokio::time::sleep(STEP).await;
            (since, before) = (Instant::now(), came.bytes.load(Ordering::Relaxed));
            came.touch();
        }
    }
}

/// Whether there is room for more on the way to the server.
fn takes_more(socket: &OwnedHandle) -> bool {
    let mut asked = [pollfd {
        fd: socket.as_raw_fd(),
        events: POLLOUT,
        revents: 0,
    }];
    poll(&mut asked, Some(Duration::ZERO)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_body_has_ten_seconds_and_then_must_keep_the_rate_and_move() {
        let began = Instant::now();
        let came = |bytes, moved| Came {
            began,
            pace: Pace {
                pause: Some(30 * SECOND),
                rate: Some(240),
            },
            bytes: AtomicU64::new(bytes),
            moved: AtomicU64::new(moved),
            is_over: AtomicBool::new(false),
        };
        let left = |came: &Came| (came.deadline(began, 0).unwrap() - began).as_secs();
        assert_eq!(left(&came(0, 0)), 10);
        assert_eq!(left(&came(240 * 15, 1000)), 15);
        assert_eq!(left(&came(1_000_000, 1000)), 31);
        assert_eq!(left(&came(1_000_000, 20_000)), 50);
        // Behind a server that was slow it begins anew.
        let later = came(1_000_000, 60_000).deadline(began + 60 * SECOND, 1_000_000);
        assert_eq!((later.unwrap() - began).as_secs(), 70);
    }
}
