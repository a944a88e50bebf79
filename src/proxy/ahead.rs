use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use pingora_core::Result;
use pingora_proxy::Session;

use super::failure;

/// What is still to come of a request for a server of HTTP/2 when an attempt begins.
///
/// There Pingora counts a server's silence from the request's beginning, with a limit that is fixed before, and nothing
/// else ends a single stream. So a body that takes its time has a connection of its own meanwhile, on which the time is ours to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ahead {
    /// Nothing: the server's time begins now.
    #[default]
    Nothing,
    /// A body that is long or late.
    Body,
    /// Messages of gRPC, whose two sides may rest as they please.
    Messages,
}

impl Ahead {
    /// Of a request with a body. Waits for a moment, to see whether a short one is whole already: it is kept as for a retry,
    /// and sent from there.
    pub(super) async fn of(session: &mut Session) -> Result<Self> {
        let is_grpc = failure::is_grpc(session);
        if !is_grpc && announced(session).is_none_or(|length| length > SHORT) {
            return Ok(Self::Body);
        }
        session.as_mut().enable_retry_buffering();
        let whole = tokio::time::timeout(MOMENT, read(session)).await;
        if let Ok(read) = whole {
            read.map_err(|error| error.into_down())?;
        }
        Ok(match (session.as_mut().is_body_done(), is_grpc) {
            (true, _) => Self::Nothing,
            (_, true) => Self::Messages,
            _ => Self::Body,
        })
    }
}

fn announced(session: &Session) -> Option<usize> {
    let length = session.req_header().headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Less than Pingora keeps for a retry: it drops what is more.
async fn read(session: &mut Session) -> Result<()> {
    let mut length = 0;
    while length <= SHORT && !session.as_mut().is_body_done() {
        let Some(part) = session.as_mut().read_request_body().await? else {
            break;
        };
        length += part.len();
    }
    Ok(())
}

const SHORT: usize = 16 * 1024;

/// Long enough for what was sent together with its head.
const MOMENT: Duration = Duration::from_millis(10);

/// What of a body was given to the connection and is not sent: as long as there is any, it is the server that is slow.
#[derive(Debug, Clone, Default)]
pub(super) struct Unsent(Arc<AtomicUsize>);

impl Unsent {
    /// The same bytes, which count until the last of them is sent or given up.
    pub(super) fn hold(&self, bytes: Bytes) -> Bytes {
        self.0.fetch_add(1, Ordering::Relaxed);
        let unsent = self.0.clone();
        Bytes::from_owner(Held { bytes, unsent })
    }

    /// What is unsent now was not sent in time: the connection's end does not change that.
    pub(super) fn remember(&self) {
        if self.is_any() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

struct Held {
    bytes: Bytes,
    unsent: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.unsent.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_unsent_until_the_last_of_its_bytes_is_gone() {
        let unsent = Unsent::default();
        let mut part = unsent.hold(Bytes::from_static(b"part"));
        let begin = part.split_to(2);
        assert_eq!((&begin[..], &part[..]), (&b"pa"[..], &b"rt"[..]));
        drop(begin);
        assert!(unsent.is_any());
        drop(part);
        assert!(!unsent.is_any());
        unsent.remember();
        assert!(!unsent.is_any());
        let part = unsent.hold(Bytes::from_static(b"part"));
        unsent.remember();
        drop(part);
        assert!(unsent.is_any());
    }
}
