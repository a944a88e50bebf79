//! What the edge and the proxy tell each other about one connection of a client.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use pingora_core::protocols::Stream;

use crate::strict::Rule;

/// One connection. The edge reads ahead of the proxy, and alone knows what was refused; the proxy alone knows whether
/// a request is under way and whether a tunnel was agreed on.
#[derive(Debug, Default)]
pub struct ClientConnection {
    /// None where every host may come over it.
    certificate: Option<Arc<dyn SeenCertificate>>,
    refusal: OnceLock<Refusal>,
    is_busy: AtomicBool,
    is_broken: AtomicBool,
    verdict: AtomicU8,
    reader: Mutex<Option<Waker>>,
    tunnel: Mutex<Option<Box<dyn Tunnel>>>,
}

/// What an agreed tunnel does once HTTP is done with the client's connection.
pub trait Tunnel: Send + Sync {
    /// Joins the client to the server until one of them leaves.
    fn join(self: Box<Self>, client: Stream) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl fmt::Debug for dyn Tunnel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tunnel")
    }
}

/// A message that is not passed on. It is its connection's last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that it breaks.
    pub rule: Rule,
    /// Its head, if the proxy got another one in its place.
    pub head: Option<Box<RefusedHead>>,
}

/// What the log says of a head that nobody read on. As sent, as far as it is text; empty where it has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedHead {
    /// The first word.
    pub method: String,
    /// The second one.
    pub target: String,
    /// Of the first Host.
    pub host: String,
    /// Of the first User-Agent.
    pub user_agent: String,
}

impl From<Rule> for Refusal {
    /// Of a message whose head the proxy got.
    fn from(rule: Rule) -> Self {
        Self { rule, head: None }
    }
}

/// What became of a request for a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What follows is the tunnel's.
    Tunnel,
    /// What follows is the next request.
    Http,
}

/// The code by which the proxy hears that the edge has cut a stream of HTTP/2 whose body does not end behind its answer. No
/// client has a reason to send it (RFC 9113 section 7).
pub const LATE_BODY: u32 = 0xf0e1_0001;

/// The same where the client does not take its answer.
pub const SLOW_READER: u32 = 0xf0e1_0002;

const NONE: u8 = 0;
const TUNNEL: u8 = 1;
const HTTP: u8 = 2;

/// The certificate that a client saw in its handshake, among those of the listener.
pub trait SeenCertificate: fmt::Debug + Send + Sync {
    /// Whether another one is for this host, and this one is not.
    fn is_of_other(&self, host: &str) -> bool;
}

/// Whether a connection with this user data is the wrong one for a host, given with its port or without: whoever asked
/// for that host would have seen another certificate.
pub fn is_misdirected(user_data: &(dyn Any + Send + Sync), host: &str) -> bool {
    let seen = match ClientConnection::of(user_data) {
        Some(connection) => connection.certificate.as_ref(),
        None => Http2Connection::of(user_data).and_then(|it| it.certificate.as_ref()),
    };
    seen.is_some_and(|seen| seen.is_of_other(host))
}

/// One connection of HTTP/2.
#[derive(Debug, Default)]
pub struct Http2Connection {
    /// None where every host may come over it.
    certificate: Option<Arc<dyn SeenCertificate>>,
    is_given_up: AtomicBool,
}

impl Http2Connection {
    /// A connection whose client saw this certificate.
    pub fn new(certificate: Option<Arc<dyn SeenCertificate>>) -> Self {
        Self {
            certificate,
            ..Self::default()
        }
    }

    /// The connection that a digest's user data stands for.
    pub fn of(user_data: &(dyn Any + Send + Sync)) -> Option<&Self> {
        user_data.downcast_ref::<Arc<Self>>().map(|it| &**it)
    }

    /// The client takes nothing, and is waited for no longer. Streams hear only that their connection is gone.
    pub fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    /// Whether the client took nothing for too long.
    pub fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }
}

impl ClientConnection {
    /// A connection whose client saw this certificate.
    pub fn new(certificate: Option<Arc<dyn SeenCertificate>>) -> Self {
        Self {
            certificate,
            ..Self::default()
        }
    }

    /// The connection that a digest's user data stands for.
    pub fn of(user_data: &(dyn Any + Send + Sync)) -> Option<&Self> {
        user_data
            .downcast_ref::<Arc<Self>>()
            .map(|connection| &**connection)
    }

    /// Notes the refusal. The first one counts.
    pub fn refuse(&self, refusal: Refusal) {
        // There is no second: nothing is read after the first.
        let _first = self.refusal.set(refusal);
    }

    /// The refusal, if there is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.get()
    }

    /// A request begins.
    pub fn begin(&self) {
        self.is_busy.store(true, Ordering::Relaxed);
    }

    /// The request is over. One that asked for a tunnel and got none is followed by the next request.
    pub fn end(&self) {
        self.is_busy.store(false, Ordering::Relaxed);
        if self.verdict.load(Ordering::Acquire) == NONE {
            self.decide(Verdict::Http);
        }
    }

    /// Whether a request is under way.
    pub fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Relaxed)
    }

    /// An answer whose end only the connection's end tells has none: the connection must not end as if it had.
    pub fn break_off(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }

    /// Whether it has to end with a reset.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// The request for a tunnel was answered.
    pub fn decide(&self, verdict: Verdict) {
        let verdict = match verdict {
            Verdict::Tunnel => TUNNEL,
            Verdict::Http => HTTP,
        };
        self.verdict.store(verdict, Ordering::Release);
        let reader = self
            .reader
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        reader.into_iter().for_each(Waker::wake);
    }

    /// The request for a tunnel is over, and what it asked for begins with the end of this connection's HTTP.
    pub fn open(&self, tunnel: Box<dyn Tunnel>) {
        *self.tunnel() = Some(tunnel);
    }

    /// Whether the connection goes on as a tunnel.
    pub fn is_tunnel(&self) -> bool {
        self.tunnel().is_some()
    }

    /// The tunnel that the connection goes on as, for whoever has its socket.
    pub fn take_tunnel(&self) -> Option<Box<dyn Tunnel>> {
        self.tunnel().take()
    }

    fn tunnel(&self) -> MutexGuard<'_, Option<Box<dyn Tunnel>>> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request for a tunnel was read: its verdict is open.
    pub fn ask(&self) {
        self.verdict.store(NONE, Ordering::Release);
    }

    /// The verdict on the last request for a tunnel.
    pub fn poll_verdict(&self, context: &mut Context<'_>) -> Poll<Verdict> {
        let read = || match self.verdict.load(Ordering::Acquire) {
            TUNNEL => Poll::Ready(Verdict::Tunnel),
            HTTP => Poll::Ready(Verdict::Http),
            _ => Poll::Pending,
        };
        if read().is_pending() {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            *reader = Some(context.waker().clone());
        }
        // Again: it may have come in between.
        read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_request_decides_what_nobody_decided() {
        let connection = ClientConnection::default();
        let mut context = Context::from_waker(Waker::noop());
        connection.ask();
        assert_eq!(connection.poll_verdict(&mut context), Poll::Pending);
        connection.end();
        assert_eq!(
            connection.poll_verdict(&mut context),
            Poll::Ready(Verdict::Http)
        );
        connection.ask();
        connection.decide(Verdict::Tunnel);
        connection.end();
        assert_eq!(
            connection.poll_verdict(&mut context),
            Poll::Ready(Verdict::Tunnel)
        );
    }
}
