//! What Pingora asks of a connection.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use filedescriptor::OwnedHandle;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{Guard, Place};

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
        match Pin::new(&mut guard.stream).poll_write(context, bytes) {
            Poll::Ready(result) => {
                guard.wrote(*result.as_ref().unwrap_or(&0));
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
        match Pin::new(&mut guard.stream).poll_write_vectored(context, slices) {
            Poll::Ready(result) => {
                guard.wrote(*result.as_ref().unwrap_or(&0));
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
        match Pin::new(&mut guard.stream).poll_flush(context) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => guard.poll_slow_reader(context).map(Err),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl Guard {
    fn wrote(&mut self, bytes: usize) {
        self.taken.moved(bytes);
        // 100, or an answer that makes the body needless. Whoever polls the body again looks at its deadline then.
        self.awaits_word = false;
    }

    /// Waits no longer than a client that takes nothing may be waited for.
    fn poll_slow_reader(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some(deadline) = self
            .taken
            .limit(self.limits.body_timeout, self.limits.min_rate)
        else {
            return Poll::Pending;
        };
        ready!(self.writing.poll(deadline, context));
        Poll::Ready(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes nothing",
        ))
    }
}

#[async_trait]
impl Shutdown for Guard {
    /// Closes; after a refusal, and for a reset, that is left to the drop.
    async fn shutdown(&mut self) {
        if self.connection.refusal().is_none() && !self.connection.is_broken() {
            Shutdown::shutdown(&mut *self.stream).await;
        }
    }
}

impl Guard {
    fn reset_at_close(&self) {
        // A duplicate, since Pingora tells the number only; what is set is the socket's.
        if let Ok(socket) = OwnedHandle::dup(&self.stream.id()) {
            let _already_gone = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Drop for Guard {
    /// After a refusal the client may still be sending; if its bytes met a closed socket, the answer would be lost with
    /// the reset that they cause (RFC 9112 section 9.6). Pingora does not always shut a connection down that failed.
    fn drop(&mut self) {
        if self.connection.is_broken() {
            self.reset_at_close();
        }
        if self.connection.refusal().is_some()
            && let Ok(runtime) = Handle::try_current()
        {
            let gone: Stream = Box::new(tokio::io::duplex(1).0);
            let stream = mem::replace(&mut self.stream, gone);
            runtime.spawn(linger(stream, self.place.take()));
        }
    }
}

/// Closes for writing, and throws away what still comes, for a while.
async fn linger(mut stream: Stream, _place: Option<Place>) {
    let _already_gone = AsyncWriteExt::shutdown(&mut stream).await;
    let mut thrown_away = 0;
    let mut bytes = vec![0; 16 * 1024];
    let reading = async {
        while thrown_away < MOST_THROWN_AWAY {
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(count) => thrown_away += count,
            }
        }
    };
    // Either way the connection is over now.
    let _in_time = timeout(LINGER, reading).await;
}

const LINGER: Duration = Duration::from_secs(2);
const MOST_THROWN_AWAY: usize = 4 << 20;

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
