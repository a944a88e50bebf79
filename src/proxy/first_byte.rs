use std::io;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use filedescriptor::OwnedHandle;
use socket2::SockRef;
use tokio::task::JoinHandle;

/// The wait for a response's first byte, where it is shorter than the pauses that are allowed later.
///
/// Pingora has one limit for all reads from a server, so that one is set to the longer, and this shuts
/// the connection down when the first byte takes too long. It works on a duplicate of the socket: the
/// original's number may belong to another connection by then. Ends when it is dropped.
pub(super) struct FirstByte {
    wait: Arc<Wait>,
    task: JoinHandle<()>,
}

struct Wait {
    began: Instant,
    /// When the request last moved on, in milliseconds since it began.
    moved: AtomicU64,
    is_over: AtomicBool,
}

impl FirstByte {
    /// Begins to wait on this connection.
    pub(super) fn begin(connection: RawFd, limit: Duration) -> io::Result<Self> {
        let socket = OwnedHandle::dup(&connection).map_err(io::Error::other)?;
        let wait = Arc::new(Wait {
            began: Instant::now(),
            moved: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let task = tokio::spawn(watch(wait.clone(), socket, limit));
        Ok(Self { wait, task })
    }

    /// More of the request was sent: the server cannot be expected to answer yet.
    pub(super) fn touch(&self) {
        let moved = self.wait.began.elapsed().as_millis();
        self.wait
            .moved
            .store(u64::try_from(moved).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether the connection was shut down because it took too long.
    pub(super) fn is_over(&self) -> bool {
        self.wait.is_over.load(Ordering::Acquire)
    }
}

impl Drop for FirstByte {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(wait: Arc<Wait>, socket: OwnedHandle, limit: Duration) {
    loop {
        let moved = Duration::from_millis(wait.moved.load(Ordering::Relaxed));
        let deadline = wait.began + moved + limit;
        if Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep_until(deadline.into()).await;
    }
    wait.is_over.store(true, Ordering::Release);
    // A connection that is gone already needs no end.
    let _ = SockRef::from(&socket).shutdown(Shutdown::Both);
}
