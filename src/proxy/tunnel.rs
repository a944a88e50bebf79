use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::StatusCode;
use http::header::UPGRADE;
use pingora_core::protocols::Stream;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep_until, timeout};

use super::log::{Answered, Journal};
use super::{Proxy, RequestCtx, strictness};
use crate::ports::client_connection::{self, Verdict};
use crate::ports::telemetry::Reason;

/// The server switches protocols: that is for a WebSocket that was asked for, and nothing else.
pub(super) fn agree(
    session: &Session,
    response: &ResponseHeader,
    ctx: &mut RequestCtx,
) -> Result<()> {
    let protocol = response.headers.get(UPGRADE);
    let is_websocket = protocol.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !ctx.asks_for_tunnel || !is_websocket {
        let error = Error::explain(ErrorType::InvalidHTTPHeader, "101 that nobody asked for");
        return Err(error.into_up());
    }
    ctx.answered(StatusCode::SWITCHING_PROTOCOLS.as_u16());
    if let Some(connection) = strictness::connection(session) {
        connection.decide(Verdict::Tunnel);
    }
    ctx.tunnel.iter().for_each(|tunnel| tunnel.agree());
    Ok(())
}

/// Whether the request goes on as a tunnel, which takes its record with it.
pub(super) fn open(
    proxy: &Proxy,
    session: &Session,
    error: Option<&Error>,
    ctx: &mut RequestCtx,
) -> bool {
    let connection = strictness::connection(session).filter(|_| error.is_none());
    let server = ctx.tunnel.as_ref().and_then(|tunnel| tunnel.take());
    let (Some(connection), Some(server)) = (connection, server) else {
        return false;
    };
    connection.open(Box::new(Tunnel {
        server,
        idle: proxy.settings.limits.websocket_idle,
        head: Box::new(session.req_header().clone()),
        sent: session.body_bytes_sent() as u64,
        ctx: std::mem::replace(ctx, RequestCtx::new()),
        journal: proxy.journal.clone(),
    }));
    true
}

/// A WebSocket that the server has agreed to, from the end of the exchange in HTTP on. The request is over, counted and logged
/// when one side leaves, or when neither has sent a byte for too long.
struct Tunnel {
    server: Stream,
    /// How long neither side may send anything.
    idle: Option<Duration>,
    head: Box<RequestHeader>,
    /// Bytes that the client got of it while it was an answer in HTTP.
    sent: u64,
    ctx: RequestCtx,
    journal: Arc<Journal>,
}

impl client_connection::Tunnel for Tunnel {
    fn join(
        self: Box<Self>,
        client: Stream,
        early: Bytes,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.last(client, early))
    }
}

impl Tunnel {
    async fn last(mut self: Box<Self>, mut client: Stream, early: Bytes) {
        let mut ways = Ways {
            up: Way::beginning_with(early),
            down: Way::default(),
        };
        let end = ways.last(&mut client, &mut self.server, self.idle).await;
        self.ctx.reason = match end {
            End::Left => None,
            End::Client => Some(Reason::ClientAborted),
            End::Server => Some(Reason::UpstreamReset),
            End::Idle => Some(Reason::UpstreamTimeout),
        };
        if let Some(reason) = self.ctx.reason {
            // Its two sides end it as they please, also by falling silent: no server is blamed for that.
            self.ctx.failed(reason.as_str(), false);
        }
        let answered = Answered {
            status: Some(StatusCode::SWITCHING_PROTOCOLS.as_u16()),
            body_bytes: self.sent + ways.down.moved,
        };
        self.journal.log(&self.head, &answered, &self.ctx);
        // Whoever is still there is told; TLS has a last word to write.
        for side in [&mut client, &mut self.server] {
            let _already_gone = timeout(LAST_WORD, AsyncWriteExt::shutdown(side)).await;
        }
    }
}

/// For the end of TLS to a side that takes nothing.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How a tunnel ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// One side has ended it.
    Left,
    /// The connection to the client broke.
    Client,
    /// The one to the server did.
    Server,
    /// Neither has sent anything.
    Idle,
}

/// Both directions.
struct Ways {
    up: Way,
    down: Way,
}

impl Ways {
    /// Passes on what comes, until there is an end.
    async fn last(
        &mut self,
        client: &mut Stream,
        server: &mut Stream,
        idle: Option<Duration>,
    ) -> End {
        let limit = |since: Instant| since + idle.unwrap_or(FOR_EVER);
        let (mut moved, mut since) = (self.moved(), Instant::now());
        let mut timer = pin!(sleep_until(limit(since)));
        poll_fn(|context| {
            if let Poll::Ready(end) = self.poll(client, server, context) {
                return Poll::Ready(end);
            }
            if moved != self.moved() {
                (moved, since) = (self.moved(), Instant::now());
            }
            // Set once, and looked at again when it fires: most bytes come long before.
            while timer.as_mut().poll(context).is_ready() {
                if limit(since) <= Instant::now() {
                    return Poll::Ready(End::Idle);
                }
                timer.as_mut().reset(limit(since));
            }
            Poll::Pending
        })
        .await
    }

    fn poll(
        &mut self,
        client: &mut Stream,
        server: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<End> {
        let down = self.down.poll(server, client, context);
        let up = match down {
            Poll::Ready(end) => return Poll::Ready(end.of(End::Server, End::Client)),
            Poll::Pending => ready!(self.up.poll(client, server, context)),
        };
        Poll::Ready(up.of(End::Client, End::Server))
    }

    fn moved(&self) -> u64 {
        self.up.moved + self.down.moved
    }
}

const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);

/// One direction. It keeps nothing while nothing waits to be written.
#[derive(Default)]
struct Way {
    waiting: Bytes,
    is_flushed: bool,
    /// Bytes that were passed on.
    moved: u64,
}

/// How one direction ends: the reader's connection is at its end, or one of the two is broken.
enum Ended {
    Left,
    Reading,
    Writing,
}

impl Ended {
    fn of(self, reader: End, writer: End) -> End {
        match self {
            Self::Left => End::Left,
            Self::Reading => reader,
            Self::Writing => writer,
        }
    }
}

impl Way {
    fn beginning_with(waiting: Bytes) -> Self {
        Self {
            waiting,
            ..Self::default()
        }
    }

    /// Passes on what comes until it ends.
    fn poll(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Ended> {
        let mut space = [const { MaybeUninit::uninit() }; PART];
        loop {
            if ready!(self.poll_write(to, context)).is_err() {
                return Poll::Ready(Ended::Writing);
            }
            let mut part = ReadBuf::uninit(&mut space);
            match Pin::new(&mut *from).poll_read(context, &mut part) {
                Poll::Ready(Ok(())) if part.filled().is_empty() => {
                    let flushed = ready!(self.poll_flush(to, context));
                    return Poll::Ready(flushed.map_or(Ended::Writing, |()| Ended::Left));
                }
                Poll::Ready(Ok(())) => self.waiting = Bytes::copy_from_slice(part.filled()),
                Poll::Ready(Err(_)) => return Poll::Ready(Ended::Reading),
                Poll::Pending => {
                    let flushed = ready!(self.poll_flush(to, context));
                    return flushed.map_or(Poll::Ready(Ended::Writing), |()| Poll::Pending);
                }
            }
        }
    }

    fn poll_write(&mut self, to: &mut Stream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            self.is_flushed = false;
            let count = ready!(Pin::new(&mut *to).poll_write(context, &self.waiting))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(count);
            self.moved += count as u64;
        }
        self.waiting = Bytes::new();
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, to: &mut Stream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_flushed {
            ready!(Pin::new(&mut *to).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// What is read at a time.
const PART: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A tunnel whose silence ends it after 10 s, and its two sides.
    fn tunnel(
        early: &'static [u8],
    ) -> (
        impl Future<Output = (End, Duration, [u64; 2])>,
        DuplexStream,
        DuplexStream,
    ) {
        let ((ours, client), (theirs, server)) = (duplex(7), duplex(7));
        let (mut ours, mut theirs): (Stream, Stream) = (Box::new(ours), Box::new(theirs));
        let run = async move {
            let mut ways = Ways {
                up: Way::beginning_with(Bytes::from_static(early)),
                down: Way::default(),
            };
            let began = Instant::now();
            let end = ways.last(&mut ours, &mut theirs, Some(10 * SECOND)).await;
            (end, began.elapsed(), [ways.up.moved, ways.down.moved])
        };
        (run, client, server)
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_speaks_keeps_a_tunnel_open_whose_other_side_is_silent() {
        for speaker in [0, 1] {
            let (run, client, server) = tunnel(b"");
            let mut sides = [client, server];
            let speak = async {
                let [client, server] = &mut sides;
                let (from, to) = if speaker == 0 {
                    (client, server)
                } else {
                    (server, client)
                };
                for _ in 0..5 {
                    sleep(6 * SECOND).await;
                    from.write_all(b"x").await.unwrap();
                    assert_eq!(to.read_u8().await.unwrap(), b'x');
                }
            };
            let ((end, took, _), ()) = tokio::join!(run, speak);
            assert_eq!((end, took), (End::Idle, 40 * SECOND));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_takes_nothing_does_not_keep_a_tunnel_open() {
        let (run, _client, mut server) = tunnel(b"");
        let speak = async {
            // As much as there is room for, and no more.
            let _blocked = timeout(20 * SECOND, server.write_all(&[b'x'; 1 << 17])).await;
        };
        let ((end, took, [_, down]), ()) = tokio::join!(run, speak);
        assert_eq!((end, took, down), (End::Idle, 10 * SECOND, 7));
    }

    #[tokio::test]
    async fn everything_that_a_side_said_before_it_left_arrives() {
        for speaker in [0, 1] {
            let (run, client, server) = tunnel(b"early");
            let said: Vec<u8> = (0..100_000_u32).map(|it| it.to_le_bytes()[0]).collect();
            let (mut from, mut to, before) = match speaker {
                0 => (client, server, b"early".as_slice()),
                _ => (server, client, b"".as_slice()),
            };
            let speak = async {
                from.write_all(&said).await.unwrap();
                // The other one hears the end only when all has arrived.
                AsyncWriteExt::shutdown(&mut from).await.unwrap();
                from
            };
            let hear = async {
                let mut heard = vec![0; before.len() + said.len()];
                to.read_exact(&mut heard).await.unwrap();
                (heard, to)
            };
            let ((end, ..), _from, (heard, _to)) = tokio::join!(run, speak, hear);
            assert_eq!(end, End::Left);
            assert!(heard == [before, &said].concat());
        }
    }
}
