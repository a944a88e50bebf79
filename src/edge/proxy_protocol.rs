//! The PROXY protocol in: a proxy before us says whose connection it passes on.

use std::time::Duration;

use bytes::BytesMut;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use pingora_core::protocols::{GetSocketDigest, SocketDigest, Stream, UniqueID};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

use crate::ports::telemetry::Rejection;
use crate::strict::proxy_header::{self, Sender};

/// Whether connections begin with a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Those of trusted senders may.
    Accept,
    /// All do, and come from trusted senders.
    Require,
}

/// From the header's first byte to its end; where it is required, from the connection's beginning.
const TIME: Duration = Duration::from_secs(5);

/// Takes the header off the stream, which then has the client's address. The error tells why the connection is to be
/// closed; none: the sender left, or stayed silent, without a header.
pub(super) async fn receive(
    stream: Stream,
    mode: ProxyProtocol,
    silence: Duration,
) -> Result<Stream, Option<Rejection>> {
    // A new connection is always Pingora's own stream.
    let mut stream = stream.into_any().downcast::<L4Stream>().or(Err(None))?;
    let now = Instant::now();
    let mut deadline = match mode {
        ProxyProtocol::Require => now + TIME,
        ProxyProtocol::Accept => now + silence,
    };
    let mut bytes = BytesMut::with_capacity(FIRST_READ);
    let found = loop {
        let read = timeout_at(deadline, stream.read_buf(&mut bytes)).await;
        let count = match (read, mode) {
            (Err(_), ProxyProtocol::Accept) if bytes.is_empty() => return Err(None),
            (Err(_), _) => return Err(Some(Rejection::ProxyTimeout)),
            (Ok(count), _) => count.unwrap_or(0),
        };
        if count == 0 {
            let was_cut = !bytes.is_empty();
            return Err(was_cut.then_some(Rejection::ProxyMalformed));
        }
        if count == bytes.len() && mode == ProxyProtocol::Accept {
            deadline = Instant::now() + TIME;
        }
        match proxy_header::read(&bytes) {
            Ok(None) => bytes.reserve(FIRST_READ),
            Ok(Some(found)) => break Some(found),
            Err(_) if mode == ProxyProtocol::Accept && !proxy_header::can_begin(&bytes) => {
                break None;
            }
            Err(_) => return Err(Some(Rejection::ProxyMalformed)),
        }
    };
    let (length, sender) = found.unwrap_or((0, Sender::Itself));
    stream.rewind(bytes.get(length..).unwrap_or_default());
    if let Sender::Client(address) = sender {
        set_client(&mut stream, address);
    }
    Ok(stream)
}

/// A header has at most 107 bytes in version 1, and in version 2 usually no more than this.
const FIRST_READ: usize = 256;

/// From here on the connection is the client's, for logs, headers and limits alike.
fn set_client(stream: &mut L4Stream, address: std::net::SocketAddr) {
    let digest = SocketDigest::from_raw_fd(stream.id());
    // Set once: the digest is new.
    let _first = digest.peer_addr.set(Some(SocketAddr::Inet(address)));
    stream.set_socket_digest(digest);
}
