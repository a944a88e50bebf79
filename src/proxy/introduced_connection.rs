use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

use super::upstream_connection::notice_when_gone;
use crate::ports::proxy_header::header;
use crate::spec::SendProxyProtocol;

/// Makes connections that begin with a PROXY header.
#[derive(Debug)]
pub(super) struct IntroducingConnector(pub(super) Vec<u8>);

#[async_trait]
impl Connect for IntroducingConnector {
    /// Pingora sets the time limit, over all of it.
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        match address {
            SocketAddr::Inet(address) => {
                let mut tcp = TcpStream::connect(address).await.map_err(failure)?;
                notice_when_gone(&tcp).map_err(failure)?;
                tcp.write_all(&self.0).await.map_err(failure)?;
                Ok(tcp.into())
            }
            SocketAddr::Unix(address) => {
                let path = address.as_pathname().unwrap_or(Path::new(""));
                let mut unix = UnixStream::connect(path).await.map_err(failure)?;
                unix.write_all(&self.0).await.map_err(failure)?;
                Ok(unix.into())
            }
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
    Error::because(kind, "connecting to a server", error)
}

/// The header that says whose request this is.
pub(super) fn introduction(version: SendProxyProtocol, session: &Session) -> Vec<u8> {
    let inet = |address: Option<&SocketAddr>| address.and_then(|it| it.as_inet()).copied();
    let addresses = inet(session.client_addr()).zip(inet(session.server_addr()));
    header(version, addresses)
}

/// A connection belongs to the client that its header names: no other client gets it.
pub(super) fn group_key(credentials: u64, introduction: &[u8]) -> u64 {
    // By a secret hash: nobody can find an address that has another's.
    static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    SECRET.hash_one((credentials, introduction))
}
