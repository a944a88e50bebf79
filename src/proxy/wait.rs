use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::RawFd;
use std::time::Instant;

use filedescriptor::OwnedHandle;
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::{Proxy, RequestCtx, pick};
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
        let Some(waiting) = upstream.queue().join(upstream.queue_size(), waiter) else {
            return Ok(Err(Reason::ServersFull));
        };
        self.snapshot.tell(upstream.queue());
        ctx.has_waited = true;
        let limit = upstream
            .queue_timeout()
            .and_then(|limit| Instant::now().checked_add(limit));
        let end = [limit, ctx.deadline()].into_iter().flatten().min();
        tokio::select! {
            biased;
            served = self.served(waiting, ctx) => Ok(served),
            () = until(end) => Ok(Err(Reason::QueueTimeout)),
            () = gone(session) => {
                let error = Error::explain(ErrorType::ConnectionClosed, "while waiting for a server");
                Err(error.into_down())
            }
        }
    }

    async fn served(
        &self,
        mut waiting: Waiting,
        ctx: &mut RequestCtx,
    ) -> std::result::Result<(), Reason> {
        loop {
            if !waiting.look(|old| self.snapshot.load().same(old).cloned()) {
                return Err(Reason::UpstreamMissing);
            }
            match poll_fn(|context| waiting.poll(context)).await {
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
