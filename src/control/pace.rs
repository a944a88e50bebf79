use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A connection whose client must take what it asked for: from the first time that we have to wait for
/// it, it has 10 s, and a second for each 64 KiB that it takes. hyper would wait for ever.
pub(super) struct Paced<S> {
    stream: S,
    /// When we first had to wait, since the client last sent something.
    waiting: Option<Instant>,
    /// What it has taken since, in bytes.
    taken: u64,
    /// Runs while a write waits.
    limit: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            waiting: None,
            taken: 0,
            limit: None,
        }
    }

    /// What a write comes to: when it has to wait, that it may not do so any longer.
    fn limited<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.limit = None;
            return written;
        }
        let waiting = *self.waiting.get_or_insert_with(Instant::now);
        let due = waiting + PATIENCE + Duration::from_secs(self.taken / SLOWEST);
        let limit = self.limit.get_or_insert_with(|| Box::pin(sleep_until(due)));
        limit.as_mut().poll(context).map(|()| {
            let error = "the client does not take the answer";
            Err(io::Error::new(io::ErrorKind::TimedOut, error))
        })
    }

    fn took(&mut self, written: &Poll<io::Result<usize>>) {
        if self.waiting.is_some()
            && let Poll::Ready(Ok(count)) = written
        {
            self.taken = self.taken.saturating_add(*count as u64);
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
/// In bytes a second: a state of 100,000 servers, about 10 MiB, then takes three minutes at most.
const SLOWEST: u64 = 64 * 1024;

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.waiting = None;
            self.taken = 0;
            self.limit = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.took(&written);
        self.limited(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.took(&written);
        self.limited(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.limited(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.limited(context, ended)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How long an answer of so many bytes is written to a client that takes so many each second, and
    /// how that ends.
    async fn answered(length: usize, a_second: usize) -> (Duration, io::Result<()>) {
        let (ours, mut theirs) = duplex(1024);
        let mut ours = Paced::new(ours);
        let client = tokio::spawn(async move {
            let mut taken = vec![0; a_second];
            loop {
                sleep(SECOND).await;
                if theirs.read_exact(&mut taken).await.is_err() {
                    break;
                }
            }
        });
        let begun = Instant::now();
        let written = ours.write_all(&vec![b'x'; length]).await;
        client.abort();
        (begun.elapsed(), written)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_after_ten_seconds() {
        let (took, written) = answered(1 << 20, 0).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(took.as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_each_second_is_given_up_too() {
        let (took, written) = answered(1 << 20, 1024).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!((10..12).contains(&took.as_secs()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_enough_may_take_as_long_as_that_needs() {
        let (took, written) = answered(8 << 20, 128 * 1024).await;
        assert!(written.is_ok());
        assert!(took.as_secs() > 50, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_brings_its_own_time() {
        let (ours, mut theirs) = duplex(1024);
        let mut ours = Paced::new(ours);
        for _ in 0..5 {
            theirs.write_all(b"ask").await.unwrap();
            ours.read_exact(&mut [0; 3]).await.unwrap();
            let client = async {
                sleep(9 * SECOND).await;
                theirs.read_exact(&mut [0; 2048]).await
            };
            let (written, read) = tokio::join!(ours.write_all(&[b'x'; 2048]), client);
            assert!(written.is_ok() && read.is_ok());
        }
    }
}
