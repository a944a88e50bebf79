use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use pingora_core::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// How a tunnel ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// One side has ended it.
    Left,
    /// The connection to the client broke.
    Client,
    /// The client took nothing for longer than it may.
    Slow,
    /// The one to the server did.
    Server,
    /// Neither has sent anything.
    Idle,
}

/// Both directions.
#[derive(Default)]
pub(super) struct Ways {
    pub(super) up: Way,
    pub(super) down: Way,
}

impl Ways {
    /// Passes on what comes, until there is an end.
    pub(super) async fn last(
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
pub(super) struct Way {
    waiting: Bytes,
    is_flushed: bool,
    /// Bytes that were passed on.
    pub(super) moved: u64,
}

/// How one direction ends: the connection that it reads from is at its end, or one of the two is broken.
enum Ended {
    Left,
    Reading,
    Writing,
    /// The edge waits no longer for its client.
    Cut,
}

impl Ended {
    fn writing(error: io::Error) -> Self {
        // The system's own time limits have a number.
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::TimedOut, None) => Self::Cut,
            _ => Self::Writing,
        }
    }

    fn of(self, reader: End, writer: End) -> End {
        match self {
            Self::Left => End::Left,
            Self::Reading => reader,
            Self::Writing => writer,
            Self::Cut => End::Slow,
        }
    }
}

impl Way {
    /// Passes on what comes until it ends, with a rest after some parts: the other direction has its turn then, also where
    /// this one never has to wait.
    fn poll(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Ended> {
        for _ in 0..PARTS {
            match ready!(self.poll_part(from, to, context)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(Ended::Left),
                Err(ended) => return Poll::Ready(ended),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Passes one part on; whether there may be another one.
    fn poll_part(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<bool, Ended>> {
        let mut space = [const { MaybeUninit::uninit() }; PART];
        let mut part = ReadBuf::uninit(&mut space);
        ready!(self.poll_write(to, context)).map_err(Ended::writing)?;
        let read = match Pin::new(from).poll_read(context, &mut part) {
            Poll::Ready(Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                return Poll::Ready(Err(Ended::Reading));
            }
            read => read,
        };
        if part.filled().is_empty() {
            ready!(self.poll_flush(to, context)).map_err(Ended::writing)?;
            // TLS that ends without a word has ended, too.
            return read.map(|_end| Ok(false));
        }
        self.waiting = Bytes::copy_from_slice(part.filled());
        Poll::Ready(Ok(true))
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

/// What one direction passes on at a time, far below what the runtime lets a task do.
const PARTS: usize = 4;

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A tunnel whose silence ends it after 10 s, and its two sides.
    fn tunnel() -> (
        impl Future<Output = (End, Duration, [u64; 2])>,
        DuplexStream,
        DuplexStream,
    ) {
        let ((ours, client), (theirs, server)) = (duplex(7), duplex(7));
        let (mut ours, mut theirs): (Stream, Stream) = (Box::new(ours), Box::new(theirs));
        let run = async move {
            let mut ways = Ways::default();
            let began = Instant::now();
            let end = ways.last(&mut ours, &mut theirs, Some(10 * SECOND)).await;
            (end, began.elapsed(), [ways.up.moved, ways.down.moved])
        };
        (run, client, server)
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_speaks_keeps_a_tunnel_open_whose_other_side_is_silent() {
        for speaker in [0, 1] {
            let (run, client, server) = tunnel();
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
        let (run, _client, mut server) = tunnel();
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
            let (run, client, server) = tunnel();
            let said: Vec<u8> = (0..100_000_u32).map(|it| it.to_le_bytes()[0]).collect();
            let (mut from, mut to) = match speaker {
                0 => (client, server),
                _ => (server, client),
            };
            let speak = async {
                from.write_all(&said).await.unwrap();
                // The other one hears the end only when all has arrived.
                AsyncWriteExt::shutdown(&mut from).await.unwrap();
                from
            };
            let hear = async {
                let mut heard = vec![0; said.len()];
                to.read_exact(&mut heard).await.unwrap();
                (heard, to)
            };
            let ((end, ..), _from, (heard, _to)) = tokio::join!(run, speak, hear);
            assert_eq!(end, End::Left);
            assert!(heard == said);
        }
    }

    #[tokio::test]
    async fn a_direction_that_never_has_to_wait_leaves_the_other_one_its_turn() {
        let ((ours, mut client), (theirs, _server)) = (duplex(1 << 20), duplex(1 << 20));
        let (mut from, mut to): (Stream, Stream) = (Box::new(ours), Box::new(theirs));
        client.write_all(&[b'x'; 1 << 20]).await.unwrap();
        let mut way = Way::default();
        let mut context = Context::from_waker(Waker::noop());
        assert!(way.poll(&mut from, &mut to, &mut context).is_pending());
        assert!(way.moved <= (PARTS * PART) as u64);
    }
}
