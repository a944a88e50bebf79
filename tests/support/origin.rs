//! A real HTTP/1.1 server whose behaviour the test decides, request by request, and which remembers all that it saw.

use super::{Headers, Port, until, wire};
use socket2::SockRef;
use std::{
    collections::{HashMap, VecDeque},
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
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
        let mut origin = Self {
            port: Port::reserve(),
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

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn wait_for_release(&self) {
        drop(
            self.released
                .wait_while(self.state(), |state| state.held)
                .unwrap(),
        );
    }
}

struct State {
    script: Arc<dyn Fn(&Seen) -> Reply + Send + Sync>,
    next: VecDeque<Reply>,
    delay: Duration,
    held: bool,
    close_after: usize,
    refusing: bool,
    only_nonces: bool,
    seen: Vec<Seen>,
    accepted: usize,
    open: HashMap<usize, Connection>,
}

struct Connection {
    stream: TcpStream,
    idle: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            script: Arc::new(|_| Reply::Name),
            next: VecDeque::new(),
            delay: Duration::ZERO,
            held: false,
            close_after: 0,
            refusing: false,
            only_nonces: false,
            seen: Vec::new(),
            accepted: 0,
            open: HashMap::new(),
        }
    }
}

impl State {
    fn shut(&self, which: impl Fn(&Connection) -> bool) {
        for connection in self.open.values().filter(|connection| which(connection)) {
            let _already_closed = connection.stream.shutdown(Shutdown::Both);
        }
    }

    /// `None` once the origin refuses.
    fn opened(&mut self, stream: &TcpStream) -> Option<usize> {
        if self.refusing {
            return None;
        }
        self.accepted += 1;
        self.open.insert(
            self.accepted,
            Connection {
                stream: stream.try_clone().ok()?,
                idle: true,
            },
        );
        Some(self.accepted)
    }

    fn set_idle(&mut self, number: usize, idle: bool) {
        if let Some(connection) = self.open.get_mut(&number) {
            connection.idle = idle;
        }
    }

    /// The place of the request in `seen`, which `forget` makes stale, and the reply to it.
    fn record(&mut self, mut request: Seen) -> (usize, Reply) {
        let reply = self
            .next
            .pop_front()
            .unwrap_or_else(|| (self.script)(&request));
        if self.only_nonces {
            request
                .headers
                .0
                .retain(|(name, _)| name.eq_ignore_ascii_case("x-nonce"));
            request.body = Vec::new();
        }
        self.seen.push(request);
        (self.seen.len() - 1, reply)
    }

    fn set_answered(&mut self, place: usize, answered: bool) {
        if let Some(seen) = self.seen.get_mut(place) {
            seen.answered = answered;
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, name: &str) {
    for stream in listener.incoming().flatten() {
        let Some(number) = shared.state().opened(&stream) else {
            return;
        };
        let (shared, name) = (Arc::clone(shared), name.to_owned());
        thread::spawn(move || {
            let _the_client_went_away = serve(&shared, number, &stream, &name);
            shared.state().open.remove(&number);
        });
    }
}

fn serve(shared: &Shared, number: usize, stream: &TcpStream, name: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    for answers in 1.. {
        if reader.fill_buf()?.is_empty() {
            break;
        }
        shared.state().set_idle(number, false);
        let Some(request) = read_request(&mut reader, stream, number)? else {
            break;
        };
        let keeps = request.whole && request.headers.keeps_connection(&request.version);
        let (head_only, nonce) = (request.method == "HEAD", request.nonce().map(str::to_owned));
        let (place, reply) = shared.state().record(request);
        let delay = shared.state().delay;
        if !delay.is_zero() {
            super::pause(delay);
        }
        shared.wait_for_release();
        let (bytes, goes_on) = match reply {
            Reply::Name => (
                response(
                    200,
                    &[],
                    name.as_bytes(),
                    nonce.as_deref(),
                    keeps,
                    head_only,
                ),
                keeps,
            ),
            Reply::Answer {
                status,
                headers,
                body,
            } => (
                response(status, &headers, &body, nonce.as_deref(), keeps, head_only),
                keeps,
            ),
            Reply::Raw(bytes) => (bytes, true),
            Reply::RawThenClose(bytes) => (bytes, false),
            Reply::Close => break,
            // The reset goes out when the caller drops the last handle.
            Reply::Reset => return SockRef::from(stream).set_linger(Some(Duration::ZERO)),
        };
        let ends = !goes_on || answers == shared.state().close_after;
        // Said before the write: the client may act on the response before this thread runs again.
        shared.state().set_answered(place, true);
        shared.state().set_idle(number, true);
        let mut writer = stream;
        writer
            .write_all(&bytes)
            .inspect_err(|_| shared.state().set_answered(place, false))?;
        if ends {
            break;
        }
    }
    stream.shutdown(Shutdown::Both)
}

fn read_request(
    reader: &mut impl BufRead,
    mut stream: &TcpStream,
    connection: usize,
) -> io::Result<Option<Seen>> {
    let Some((line, headers)) = wire::read_head(reader)? else {
        return Ok(None);
    };
    let mut words = line.splitn(3, ' ').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    let (method, path, version) = (word(), word(), word());
    if headers
        .first("expect")
        .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = wire::read_announced_body(reader, &headers);
    let whole = body.is_ok();
    let body = body.ok().flatten().unwrap_or_default();
    Ok(Some(Seen {
        method,
        path,
        version,
        headers,
        body,
        connection,
        whole,
        answered: false,
    }))
}

fn response(
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
    nonce: Option<&str>,
    keeps: bool,
    head_only: bool,
) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or("Unknown"));
    if status != 204 && status != 304 {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    if let Some(nonce) = nonce {
        head += &format!("X-Nonce: {nonce}\r\n");
    }
    if !keeps {
        head += "Connection: close\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    let body = if head_only || status == 204 || status == 304 {
        &[][..]
    } else {
        body
    };
    [head.as_bytes(), body].concat()
}
