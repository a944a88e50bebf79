//! What Pingora asks of a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Guard;
use super::reading::Stage;

impl AsyncRead for Guard {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().poll_next(context, out)
    }
}

impl AsyncWrite for Guard {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        ready!(guard.poll_insert(context))?;
        match Pin::new(&mut guard.stream).poll_write(context, bytes) {
            Poll::Ready(result) => {
                guard.wrote(*result.as_ref().unwrap_or(&0), [bytes]);
                Poll::Ready(result)
            }
            Poll::Pending => guard.poll_slow_reader(context).map(Err),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        ready!(guard.poll_insert(context))?;
        match Pin::new(&mut guard.stream).poll_write_vectored(context, slices) {
            Poll::Ready(result) => {
                let slices = slices.iter().map(|slice| &**slice);
                guard.wrote(*result.as_ref().unwrap_or(&0), slices);
                Poll::Ready(result)
            }
            Poll::Pending => guard.poll_slow_reader(context).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        ready!(guard.poll_insert(context))?;
        match Pin::new(&mut guard.stream).poll_flush(context) {
            Poll::Ready(result) => {
                guard.flushing = None;
                guard.took(0);
                if result.is_ok() {
                    guard.flushed(context);
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                guard.flushing.get_or_insert(0);
                guard.poll_slow_reader(context).map(Err)
            }
        }
    }

    /// Closes for writing, unless the connection is to go on as a tunnel.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        if guard.connection.is_tunnel() {
            return Poll::Ready(Ok(()));
        }
        if matches!(guard.stage, Stage::Tunnel) {
            // Whoever does this itself leaves nothing to be delivered.
            guard.stage = Stage::Over;
        }
        Pin::new(&mut guard.stream).poll_shutdown(context)
    }
}

impl Guard {
    /// The first `count` bytes of these slices were written.
    fn wrote<'a>(&mut self, mut count: usize, slices: impl IntoIterator<Item = &'a [u8]>) {
        self.took(count);
        if let Stage::Frames(frames) = &mut self.stage {
            for slice in slices {
                let written = slice.get(..count).unwrap_or(slice);
                frames.wrote(written);
                count -= written.len();
            }
        }
        // 100, or an answer that makes the body needless. Whoever polls the body again looks at its deadline then.
        self.awaits_word = false;
    }

    /// The stream took so many bytes. While a flush is pending TLS keeps so much of it for a client that takes nothing; only what
    /// it takes beyond that tells that the client moves.
    pub(super) fn took(&mut self, count: usize) {
        let is_kept = self.flushing.as_mut().is_some_and(|taken| {
            *taken += count;
            *taken <= MOST_KEPT_BY_TLS
        });
        match is_kept {
            true => self.taken.owes(count),
            false => self.taken.moved(count),
        }
    }

    /// Waits no longer than a client that takes nothing may be waited for.
    pub(super) fn poll_slow_reader(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some(deadline) = self
            .taken
            .limit(self.limits.body_timeout, self.limits.min_rate)
        else {
            return Poll::Pending;
        };
        ready!(self.writing.poll(deadline, context));
        match &self.stage {
            Stage::Frames(frames) => frames.give_up(),
            Stage::Tunnel => self.stage = Stage::Over,
            _ => {}
        }
        Poll::Ready(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes nothing",
        ))
    }
}

/// The buffer that each connection has in rustls, unless it is told otherwise.
const MOST_KEPT_BY_TLS: usize = 64 << 10;

#[async_trait]
impl Shutdown for Guard {
    /// Closes; after a refusal, and for a reset, that is left to the drop.
    async fn shutdown(&mut self) {
        if self.connection.refusal().is_none() && !self.connection.is_broken() {
            Shutdown::shutdown(&mut *self.stream).await;
        }
    }
}

impl UniqueID for Guard {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Guard {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Guard {
    /// Nobody asks when the connection was made, and an answer costs each request an allocation.
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Guard {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.digest.clone()
    }
}

impl GetSocketDigest for Guard {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl Peek for Guard {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::edge::guard::tests::limits;

    fn guarded() -> (Guard, DuplexStream) {
        let (ours, client) = duplex(1 << 10);
        (Guard::new(Box::new(ours), Arc::new(limits()), None), client)
    }

    #[tokio::test]
    async fn time_in_which_nothing_waits_is_not_the_clients() {
        let (mut guard, _client) = guarded();
        guard.taken.limit(None, Some(240));
        guard.flush().await.unwrap();
        assert!(!guard.taken.is_waiting());
    }

    #[tokio::test(start_paused = true)]
    async fn what_tls_takes_for_a_client_that_takes_nothing_gives_it_no_new_time() {
        let (mut guard, _client) = guarded();
        let begun = tokio::time::Instant::now();
        guard.flushing = Some(0);
        guard.taken.limit(limits().body_timeout, None);
        guard.write_all(&[0; 1 << 10]).await.unwrap();
        assert!(guard.taken.is_waiting());
        guard.write_all(&[0]).await.unwrap_err();
        assert!(begun.elapsed() <= Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_client_moves_if_more_is_taken_than_tls_keeps_whether_a_flush_ends_or_not() {
        let (mut guard, mut client) = guarded();
        guard.flushing = Some(0);
        for _ in 0..MOST_KEPT_BY_TLS >> 10 {
            guard.taken.limit(limits().body_timeout, None);
            guard.write_all(&[0; 1 << 10]).await.unwrap();
            client.read_exact(&mut [0; 1 << 10]).await.unwrap();
            assert!(guard.taken.is_waiting());
        }
        guard.write_all(&[0]).await.unwrap();
        assert!(!guard.taken.is_waiting());
        guard.flush().await.unwrap();
        assert!(guard.flushing.is_none());
    }
}
