use std::fmt::Debug;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker, ready};

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_core::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Makes the connection of one attempt at a tunnel.
///
/// Pingora 0.9.1 takes the end of the request for the end of the tunnel when it sees it after the
/// server's 101 (cloudflare/pingora issue 946), and which of the two it sees first is a matter of chance
/// with a server that is fast: one of 14 tunnels to a server on the same machine closed as soon as it
/// was open. So the server's answer waits here until Pingora is done with the request.
#[derive(Debug, Default)]
pub(super) struct TunnelConnector(OnceLock<RawFd>);

impl TunnelConnector {
    /// The connection that was made: Pingora knows no descriptor of a connection that is not its own.
    pub(super) fn connection(&self) -> Option<RawFd> {
        self.0.get().copied()
    }
}

#[async_trait]
impl Connect for TunnelConnector {
    /// Pingora sets the time limit, over all of it.
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let socket = open(address).await.map_err(failure)?;
        let _set_once = self.0.set(socket.as_raw_fd());
        let patient = Patient {
            socket,
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
            Ok(Box::new(tcp))
        }
        SocketAddr::Unix(address) => {
            let path = address.as_pathname().unwrap_or(Path::new(""));
            Ok(Box::new(UnixStream::connect(path).await?))
        }
    }
}

fn failure(error: io::Error) -> Box<Error> {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ErrorType::ConnectNoRoute
        }
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        _ => ErrorType::ConnectError,
    };
    Error::because(kind, "connecting for a tunnel", error)
}

/// A connection that is not read before the request has ended.
#[derive(Debug)]
struct Patient {
    socket: Box<dyn Socket>,
    /// Since the last flush.
    has_written: bool,
    request_ended: bool,
    /// Who waits for the request to end.
    reader: Option<Waker>,
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.request_ended {
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
        if !std::mem::take(&mut self.has_written) {
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
