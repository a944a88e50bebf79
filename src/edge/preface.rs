use std::time::{Duration, Instant};

use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use tokio::io::AsyncReadExt;
use tokio::time::timeout_at;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// The first bytes of HTTP/2 with prior knowledge (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection's beginning.
pub(super) struct Beginning {
    pub(super) protocol: Protocol,
    pub(super) stream: Stream,
    /// When its first byte came.
    pub(super) since: Instant,
}

/// Tells by its first bytes what a client speaks, and puts them back. Stops reading at the first
/// byte that differs: a short HTTP/1.0 request has fewer bytes than the preface, and its sender waits
/// for the answer. One that takes longer than `limit` from its first byte on counts as HTTP/1. None: the client left, or
/// stayed silent.
pub(super) async fn protocol(
    stream: Stream,
    silence: Duration,
    limit: Option<Duration>,
) -> Option<Beginning> {
    // Plain listeners always hand out Pingora's own stream.
    let mut stream = stream.into_any().downcast::<L4Stream>().ok()?;
    let mut seen = [0; PREFACE.len()];
    let mut count = 0;
    let mut since = None;
    let mut deadline = Instant::now().checked_add(silence)?;
    while seen.get(..count) == PREFACE.get(..count) {
        let Some(rest) = seen.get_mut(count..).filter(|rest| !rest.is_empty()) else {
            break;
        };
        let read = match timeout_at(deadline.into(), stream.read(rest)).await {
            Ok(read) => read.ok()?,
            // What reads HTTP/1 knows how to say so.
            Err(_) if since.is_some() => break,
            Err(_) => return None,
        };
        if read == 0 {
            return None;
        }
        if since.is_none() {
            // One deadline from the first byte on, however often another one comes.
            let now = Instant::now();
            since = Some(now);
            deadline = now.checked_add(limit.unwrap_or(silence))?;
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
    Some(Beginning {
        protocol,
        stream,
        since: since?,
    })
}
