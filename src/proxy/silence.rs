use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use filedescriptor::OwnedHandle;
use socket2::SockRef;
use tokio::task::JoinHandle;

use super::ahead::Unsent;

/// The watch over a server's silence before the response's first byte or after it: in the one of the
/// two in which it may be silent for less long.
///
/// Or over all of it, where the whole request has a limit: then it ends in any case.
///
/// For bodies that have a connection of HTTP/2 of their own: there Pingora has one limit for all reads, so this shuts the connection
/// down. It works on a duplicate of the socket: the
/// original's number may belong to another connection by then. Ends when it is dropped.
pub(super) struct Silence {
    wait: Arc<Wait>,
    task: JoinHandle<()>,
}

struct Wait {
    began: Instant,
    /// When the request or the response last moved on, in milliseconds since it began.
    moved: AtomicU64,
    is_over: AtomicBool,
    /// Of the request's body, where that is watched.
    unsent: Option<Unsent>,
}

impl Silence {
    /// Begins to watch this connection.
    pub(super) fn begin(
        connection: RawFd,
        limit: Option<Duration>,
        end: Option<Instant>,
        unsent: Option<Unsent>,
    ) -> io::Result<Self> {
        let socket = OwnedHandle::dup(&connection).map_err(io::Error::other)?;
        let wait = Arc::new(Wait {
            began: Instant::now(),
            moved: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            unsent,
        });
        let task = tokio::spawn(watch(wait.clone(), socket, limit, end));
        Ok(Self { wait, task })
    }

    /// More of the request was sent, so that no answer can be expected yet, or more of the answer came.
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

impl Drop for Silence {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(
    wait: Arc<Wait>,
    socket: OwnedHandle,
    limit: Option<Duration>,
    end: Option<Instant>,
) {
    let silence = async {
        match limit {
            Some(limit) => silent_for(limit, &wait, &socket).await,
            None => std::future::pending().await,
        }
    };
    match end {
        Some(end) => {
            let _whichever = tokio::time::timeout_at(end.into(), silence).await;
        }
        None => silence.await,
    }
    if let Some(unsent) = &wait.unsent {
        unsent.remember();
    }
    wait.is_over.store(true, Ordering::Release);
    // A connection that is gone already needs no end.
    let _ = SockRef::from(&socket).shutdown(Shutdown::Both);
}

async fn silent_for(limit: Duration, wait: &Wait, socket: &OwnedHandle) {
    loop {
        let moved = Duration::from_millis(wait.moved.load(Ordering::Relaxed));
        let deadline = wait.began + moved + limit;
        if Instant::now() < deadline {
            tokio::time::sleep_until(deadline.into()).await;
        } else if has_unread(socket) {
            // It is the client that is slow: what has come is not asked for.
            tokio::time::sleep(limit).await;
        } else {
            break;
        }
    }
}

fn has_unread(socket: &OwnedHandle) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    SockRef::from(socket)
        .peek(&mut byte)
        .is_ok_and(|count| count > 0)
}
