use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use filedescriptor::OwnedHandle;
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Proxy, RequestCtx, pick};
use crate::clock;
use crate::domain::queue::{Turn, Waiter, Waiting};
use crate::ports::telemetry::Reason;

impl Proxy {
    /// Waits in the group's line until the request has a server. The client that goes away leaves the line.
    ///
    /// # Errors
    /// The client is gone. Within: why there is no server.
    pub(super) async fn wait(
        &self,
        waiter: Waiter,
        session: &mut Session,
        ctx: &mut RequestCtx,
    ) -> Result<std::result::Result<(), Reason>> {
        let upstream = waiter.upstream.clone();
        let waiting = match upstream.queue().join(upstream.queue_size(), waiter) {
            Ok(waiting) => waiting,
            Err(Turn::Begun(upstream, begun)) => {
                ctx.retry_on(upstream, begun);
                return Ok(Ok(()));
            }
            Err(Turn::Nobody(nobody)) => return Ok(Err(pick::reason(nobody))),
            Err(Turn::Changed) => return Ok(Err(Reason::ServersFull)),
        };
        self.snapshot.tell(upstream.queue());
        let began = Instant::now();
        let limit = upstream.queue_timeout();
        let limit = limit.and_then(|limit| began.checked_add(limit));
        let end = [limit, ctx.deadline()].into_iter().flatten().min();
        let ended = tokio::select! {
            biased;
            served = self.served(waiting, ctx) => Ok(served),
            () = until(end) => Ok(Err(Reason::QueueTimeout)),
            () = gone(session) => {
                let error = Error::explain(ErrorType::ConnectionClosed, "while waiting for a server");
                Err(error.into_down())
            }
        };
        // A retry may wait too.
        *ctx.waited.get_or_insert_default() += began.elapsed();
        ended
    }

    async fn served(
        &self,
        mut waiting: Waiting,
        ctx: &mut RequestCtx,
    ) -> std::result::Result<(), Reason> {
        loop {
            let now = clock::monotonic_ms();
            let outlook = waiting.look(now, |old| self.snapshot.load().same(old).cloned());
            if outlook.is_over {
                return Err(Reason::UpstreamMissing);
            }
            let turn = poll_fn(|context| waiting.poll(context));
            let turn = match outlook.again_at {
                Some(then) => timeout(Duration::from_millis(then - now), turn)
                    .await
                    .unwrap_or(Turn::Changed),
                None => turn.await,
            };
            match turn {
                Turn::Begun(upstream, begun) => {
                    ctx.upstream = Some(upstream);
                    ctx.begin(begun);
                    return Ok(());
                }
                Turn::Nobody(nobody) => return Err(pick::reason(nobody)),
                Turn::Changed => {}
            }
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end.into()).await,
        None => pending().await,
    }
}

/// Ends when the client has closed its connection, or its stream of HTTP/2.
async fn gone(session: &mut Session) {
    if let Some(closed) = session.as_downstream_mut().watch_h2_stream_close() {
        // Whatever ends it.
        let _reason = closed.await;
        return;
    }
    let connection = session.as_downstream().stream().map(|stream| stream.id());
    let closed = match connection {
        Some(connection) => closed(connection).await,
        None => pending().await,
    };
    if let Err(error) = closed {
        log::warn!("a client that waits is not watched: {error}");
        pending::<()>().await;
    }
}

/// Nothing is read from the connection: what has come stays for when it is asked for. Works on a duplicate, which the
/// runtime can watch beside the connection itself. A Unix socket is watched as a TCP stream: nothing but its readiness is
/// asked for.
async fn closed(connection: RawFd) -> io::Result<()> {
    let socket = OwnedHandle::dup(&connection).map_err(io::Error::other)?;
    let socket = SockRef::from(&socket).try_clone()?;
    let socket = TcpStream::from_std(socket.into())?;
    loop {
        if socket.ready(Interest::READABLE).await?.is_read_closed() {
            return Ok(());
        }
        // Something has come: only what comes next is news.
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _again = socket.try_io(Interest::READABLE, nothing);
    }
}
