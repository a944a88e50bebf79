//! A real HTTP/1.1 server whose behaviour the test decides, request by request, and which remembers all that it saw.

mod serving;

use super::{Headers, Port, until};
use serving::{Shared, accept};
use std::{
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

/// Listens on a port of 127.0.0.1 from `start` to its end; answers 200 `server name PORT` with the request's `X-Nonce` unless told otherwise.
pub struct Origin {
    port: Port,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub version: String,
    pub headers: Headers,
    pub body: Vec<u8>,
    /// The connections are numbered from 1.
    pub connection: usize,
    /// The body came to its end.
    pub whole: bool,
    /// A response was written; false for a reset, a close without an answer, and while the answer is held back.
    pub answered: bool,
}

impl Seen {
    pub fn nonce(&self) -> Option<&str> {
        self.headers.first("x-nonce")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }
}

/// What to do with a request.
#[derive(Clone, Debug, Default)]
pub enum Reply {
    /// 200 and `server name PORT`.
    #[default]
    Name,
    /// With `Content-Length`, and `Connection: close` when the request asked for it.
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Exactly these bytes, and the connection goes on.
    Raw(Vec<u8>),
    /// Exactly these bytes, and the end of the connection.
    RawThenClose(Vec<u8>),
    /// A TCP reset instead of an answer.
    Reset,
    /// An orderly close instead of an answer.
    Close,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: format!("status {status}").into_bytes(),
        }
    }

    pub fn text(body: &str) -> Self {
        Self::Answer {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
        }
    }
}

impl Origin {
    pub fn start() -> Self {
        Self::on(Port::reserve())
    }

    /// At 127.0.0.1, 127.0.0.2 and so on, all on one port: what the addresses of a name stand for.
    pub fn side_by_side(count: u8) -> Vec<Self> {
        let ports = super::until("a port is free on all addresses", || {
            let first = Port::reserve();
            let number = first.number();
            let others = (2..=count).map(|n| Port::hold(([127, 0, 0, n], number).into()));
            let others: Result<Vec<Port>, _> = others.collect();
            Some(
                std::iter::once(first)
                    .chain(others.ok()?)
                    .collect::<Vec<_>>(),
            )
        });
        ports.into_iter().map(Self::on).collect()
    }

    fn on(port: Port) -> Self {
        let mut origin = Self {
            port,
            shared: Arc::default(),
            listening: None,
        };
        origin.come_back();
        origin
    }

    pub fn many(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::start()).collect()
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The body of its ordinary answer.
    pub fn name(&self) -> String {
        format!("server name {}", self.port())
    }

    /// Every request from here on.
    pub fn always(&self, reply: Reply) {
        self.by(move |_| reply.clone());
    }

    /// The next request that has no reply of its own yet.
    pub fn once(&self, reply: Reply) {
        self.shared.state().next.push_back(reply);
    }

    /// Every request from here on, by its content.
    pub fn by(&self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        self.shared.state().script = Arc::new(script);
    }

    /// The time from a request's last byte to its answer.
    pub fn delay(&self, time: Duration) {
        self.shared.state().delay = time;
    }

    /// Requests are read and recorded, answers wait for `release`.
    pub fn hold(&self) {
        self.shared.state().held = true;
    }

    pub fn release(&self) {
        self.shared.state().held = false;
        self.shared.released.notify_all();
    }

    /// Each connection ends, without a word in the response, after so many answers; 0 means never.
    pub fn close_after(&self, answers: usize) {
        self.shared.state().close_after = answers;
    }

    /// Ends the connections that wait for a request.
    pub fn close_idle(&self) {
        self.shared.state().shut(|connection| connection.idle);
    }

    /// Stops listening and ends every connection; new ones are refused until `come_back`.
    pub fn refuse(&mut self) {
        let Some(listening) = self.listening.take() else {
            return;
        };
        self.shared.state().refusing = true;
        // The accept that is under way needs one more connection to notice.
        let woken = TcpStream::connect(self.address());
        listening.join().unwrap();
        drop(woken);
        self.shared.state().shut(|_| true);
    }

    /// Listens again, on the same port.
    pub fn come_back(&mut self) {
        self.shared.state().refusing = false;
        let (listener, shared, name) = (self.port.listen(), Arc::clone(&self.shared), self.name());
        self.listening
            .get_or_insert_with(|| thread::spawn(move || accept(&listener, &shared, &name)));
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    pub fn count(&self) -> usize {
        self.shared.state().seen.len()
    }

    /// Polls until so many requests have been seen.
    pub fn wait_for(&self, count: usize) {
        until(
            &format!("{} has seen {count} requests", self.name()),
            || (self.count() >= count).then_some(()),
        );
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.state().accepted
    }

    /// Forgets the requests seen so far.
    pub fn forget(&self) {
        self.shared.state().seen.clear();
    }

    /// For millions of requests: only nonces are kept, neither the other headers nor bodies.
    pub fn keep_only_nonces(&self) {
        self.shared.state().only_nonces = true;
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.release();
        self.refuse();
    }
}
