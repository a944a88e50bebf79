use std::time::Duration;

use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use tokio::io::AsyncReadExt;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// The first bytes of HTTP/2 with prior knowledge (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Tells by its first bytes what a client speaks, and puts them back. Stops reading at the first
/// byte that differs: a short HTTP/1.0 request has fewer bytes than the preface, and its sender waits
/// for the answer. None: the client left or stayed silent.
pub(super) async fn protocol(stream: Stream, silence: Duration) -> Option<(Protocol, Stream)> {
    // Plain listeners always hand out Pingora's own stream.
    let mut stream = stream.into_any().downcast::<L4Stream>().ok()?;
    let mut seen = [0; PREFACE.len()];
    let mut count = 0;
    while seen.get(..count) == PREFACE.get(..count) {
        let Some(rest) = seen.get_mut(count..).filter(|rest| !rest.is_empty()) else {
            break;
        };
        let read = tokio::time::timeout(silence, stream.read(rest))
            .await
            .ok()?
            .ok()?;
        if read == 0 {
            return None;
        }
        count += read;
    }
    let bytes = seen.get(..count)?;
    stream.rewind(bytes);
    let protocol = if bytes == PREFACE {
        Protocol::Http2
    } else {
        Protocol::Http1
    };
    Some((protocol, stream))
}
