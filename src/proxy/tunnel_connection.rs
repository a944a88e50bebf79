use std::fmt::Debug;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_core::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::upstream_connection::notice_when_gone;

/// Makes the connection of one attempt at a tunnel.
///
/// Pingora 0.9.1 takes the end of the request for the end of the tunnel when it sees it after the
/// server's 101 (cloudflare/pingora issue 946), and which of the two it sees first is a matter of chance
/// with a server that is fast: one of 14 tunnels to a server on the same machine closed as soon as it
/// was open. So the server's answer waits here until Pingora is done with the request.
#[derive(Debug, Default)]
pub(super) struct TunnelConnector {
    connection: OnceLock<RawFd>,
    is_request_next: Arc<AtomicBool>,
    /// Sent before all else.
    first: OnceLock<Vec<u8>>,
}

impl TunnelConnector {
    /// The connection is to begin with these bytes.
    pub(super) fn begin_with(&self, first: Vec<u8>) {
        let _set_once = self.first.set(first);
    }

    /// The connection that was made, on which the request is next: what comes from now on is its answer.
    /// Pingora knows no descriptor of a connection that is not its own.
    pub(super) fn connected(&self) -> Option<RawFd> {
        self.is_request_next.store(true, Ordering::Relaxed);
        self.connection.get().copied()
    }
}

#[async_trait]
impl Connect for TunnelConnector {
    /// Pingora sets the time limit, over all of it.
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let mut socket = open(address).await.map_err(failure)?;
        if let Some(first) = self.first.get() {
            socket.write_all(first).await.map_err(failure)?;
        }
        let _set_once = self.connection.set(socket.as_raw_fd());
        let patient = Patient {
            socket,
            is_request_next: self.is_request_next.clone(),
            has_written: false,
            request_ended: false,
            reader: None,
        };
        Ok(VirtualSocketStream::new(Box::new(patient)).into())
    }
}

/// A connection of either kind.
trait Socket: AsyncRead + AsyncWrite + AsRawFd + Debug + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + AsRawFd + Debug + Send + Sync + Unpin> Socket for T {}

async fn open(address: &SocketAddr) -> io::Result<Box<dyn Socket>> {
    match address {
        SocketAddr::Inet(address) => {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            notice_when_gone(&tcp)?;
            Ok(Box::new(tcp))
        }
        SocketAddr::Unix(address) => {
            let path = address.as_pathname().unwrap_or(Path::new(""));
            Ok(Box::new(UnixStream::connect(path).await?))
        }
    }
}

pub(super) fn failure(error: io::Error) -> Box<Error> {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ErrorType::ConnectNoRoute
        }
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        _ => ErrorType::ConnectError,
    };
    Error::because(kind, "connecting to a server", error)
}

/// A connection that is not read from when it is connected until the request has ended.
#[derive(Debug)]
struct Patient {
    socket: Box<dyn Socket>,
    is_request_next: Arc<AtomicBool>,
    /// Since the last flush.
    has_written: bool,
    request_ended: bool,
    /// Who waits for the request to end.
    reader: Option<Waker>,
}

impl Patient {
    /// Both sides of this are one task's: nothing else is published by it.
    fn is_request_next(&self) -> bool {
        self.is_request_next.load(Ordering::Relaxed)
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_request_next() && !self.request_ended {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.has_written = true;
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    /// Pingora flushes after the head, and once more when it has handled the end of the request:
    /// then nothing was written in between, since a request for a tunnel has no body.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.socket).poll_flush(context));
        if !std::mem::take(&mut self.has_written) && self.is_request_next() {
            self.request_ended = true;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
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
    use std::io::Write;
    use std::net::TcpListener;

    use tokio::io::AsyncReadExt;

    use super::*;

    /// Whether there is nothing to read now.
    async fn is_held(stream: &mut Stream) -> bool {
        let mut byte = [0];
        tokio::select! {
            biased;
            _ = stream.read(&mut byte) => false,
            () = std::future::ready(()) => true,
        }
    }

    #[tokio::test]
    async fn an_answer_is_held_back_until_the_request_has_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = SocketAddr::Inet(listener.local_addr().unwrap());
        let connector = TunnelConnector::default();
        let mut stream = connector.connect(&address).await.unwrap();
        let (mut server, _) = listener.accept().unwrap();
        // What comes before the request, as in a handshake of TLS, is no answer to it.
        server.write_all(b"hello").unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.flush().await.unwrap();
        stream.flush().await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
        assert!(connector.connected().is_some());
        server.write_all(b"answer").unwrap();
        assert!(is_held(&mut stream).await);
        stream.write_all(b"request").await.unwrap();
        stream.flush().await.unwrap();
        assert!(is_held(&mut stream).await);
        stream.flush().await.unwrap();
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    }
}
