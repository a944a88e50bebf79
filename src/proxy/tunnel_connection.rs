use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream as Connected;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_core::upstreams::peer::HttpPeer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ports::server_tls::CONNECTOR;

/// Makes the connection of one attempt at a tunnel, which Pingora has until the server agrees.
///
/// Pingora 0.9.1 takes the end of the request for the end of the tunnel when it sees it after the
/// server's 101 (cloudflare/pingora issue 946), and which of the two it sees first is a matter of chance
/// with a server that is fast: one of 14 tunnels to a server on the same machine closed as soon as it
/// was open. So the server's answer waits here until Pingora is done with the request.
#[derive(Debug)]
pub(super) struct TunnelConnector {
    /// Where to connect, and how: TLS is below what Pingora sees.
    pub(super) server: HttpPeer,
    pub(super) hold: Arc<Hold>,
}

#[async_trait]
impl Connect for TunnelConnector {
    async fn connect(&self, _: &SocketAddr) -> Result<Connected> {
        let stream = CONNECTOR.new_stream(&self.server).await?;
        let _set_once = self.hold.connection.set(stream.id());
        let patient = Patient {
            stream: Some(stream),
            hold: self.hold.clone(),
            has_written: false,
            request_ended: false,
        };
        Ok(VirtualSocketStream::new(Box::new(patient)).into())
    }
}

/// A hold on the connection of an attempt at a tunnel.
#[derive(Debug, Default)]
pub(super) struct Hold {
    connection: OnceLock<RawFd>,
    is_agreed: AtomicBool,
    /// Whoever reads, as long as nothing is to be read.
    reader: Mutex<Option<Waker>>,
    released: Mutex<Option<Stream>>,
}

impl Hold {
    /// The connection that was made. Pingora knows no descriptor of a connection that is not its own.
    pub(super) fn connection(&self) -> Option<RawFd> {
        self.connection.get().copied()
    }

    /// The server has agreed: what it sends from here on is the tunnel's, and Pingora sees an end in its place.
    pub(super) fn agree(&self) {
        self.is_agreed.store(true, Ordering::Release);
        let reader = locked(&self.reader).take();
        reader.into_iter().for_each(Waker::wake);
    }

    /// The server's side of the tunnel, when Pingora has seen its end.
    pub(super) fn take(&self) -> Option<Stream> {
        locked(&self.released).take()
    }
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that is not read from until the request has ended, and not any more when the server has agreed.
#[derive(Debug)]
struct Patient {
    /// None when it was released.
    stream: Option<Stream>,
    hold: Arc<Hold>,
    /// Since the last flush.
    has_written: bool,
    request_ended: bool,
}

impl Patient {
    fn stream(&mut self) -> io::Result<&mut Stream> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.stream.as_mut().ok_or_else(gone)
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        *locked(&self.hold.reader) = Some(context.waker().clone());
        if !self.request_ended {
            return Poll::Pending;
        }
        if self.hold.is_agreed.load(Ordering::Acquire)
            && let Some(stream) = self.stream.take()
        {
            *locked(&self.hold.released) = Some(stream);
        }
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_read(context, buffer),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.has_written = true;
        Pin::new(self.stream()?).poll_write(context, bytes)
    }

    /// Pingora flushes after the head, and once more when it has handled the end of the request:
    /// then nothing was written in between, since a request for a tunnel has no body.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(stream) = &mut self.stream {
            ready!(Pin::new(stream).poll_flush(context))?;
        }
        if !std::mem::take(&mut self.has_written) {
            self.request_ended = true;
            let reader = locked(&self.hold.reader).take();
            reader.into_iter().for_each(Waker::wake);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl VirtualSocket for Patient {
    /// What Pingora asks for is set from the beginning.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Whether there is nothing to read now.
    async fn is_held(stream: &mut Connected) -> bool {
        let mut byte = [0];
        tokio::select! {
            biased;
            _ = stream.read(&mut byte) => false,
            () = std::future::ready(()) => true,
        }
    }

    #[tokio::test]
    async fn an_answer_waits_for_the_end_of_the_request_and_what_follows_an_agreement_for_whoever_takes_it()
     {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let hold = Arc::new(Hold::default());
        let connector = TunnelConnector {
            server: HttpPeer::new(address, false, String::new()),
            hold: hold.clone(),
        };
        let mut stream = connector.connect(&address.into()).await.unwrap();
        assert!(hold.connection().is_some());
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"answer").unwrap();
        assert!(is_held(&mut stream).await);
        stream.write_all(b"request").await.unwrap();
        stream.flush().await.unwrap();
        assert!(is_held(&mut stream).await);
        stream.flush().await.unwrap();
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");

        assert!(hold.take().is_none());
        hold.agree();
        server.write_all(b"tunnel").unwrap();
        assert_eq!(stream.read(&mut answer).await.unwrap(), 0);
        stream.write_all(b"lost").await.unwrap_err();
        stream.shutdown().await.unwrap();
        drop(stream);
        let mut tunnel = hold.take().unwrap();
        tunnel.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"tunnel");
        tunnel.write_all(b"back").await.unwrap();
        drop(tunnel);
        let mut rest = String::new();
        server.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "requestback");
    }
}
