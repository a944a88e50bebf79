//! The origin's inside: what it is told and has seen, and the threads that serve its connections.

use super::{Reply, Seen};
use crate::support::{pause, wire};
use socket2::SockRef;
use std::{
    collections::{HashMap, VecDeque},
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

#[derive(Default)]
pub struct Shared {
    state: Mutex<State>,
    pub released: Condvar,
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
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

pub struct State {
    pub script: Arc<dyn Fn(&Seen) -> Reply + Send + Sync>,
    pub next: VecDeque<Reply>,
    pub delay: Duration,
    pub held: bool,
    pub close_after: usize,
    pub refusing: bool,
    pub only_nonces: bool,
    pub seen: Vec<Seen>,
    pub accepted: usize,
    open: HashMap<usize, Connection>,
}

pub struct Connection {
    stream: TcpStream,
    pub idle: bool,
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
    pub fn shut(&self, which: impl Fn(&Connection) -> bool) {
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
                idle: false,
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

pub fn accept(listener: &TcpListener, shared: &Arc<Shared>, name: &str) {
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
            pause(delay);
        }
        shared.wait_for_release();
        let answer = |status, headers: &[_], body: &[u8]| {
            response(status, headers, body, nonce.as_deref(), keeps, head_only)
        };
        let (bytes, goes_on) = match reply {
            Reply::Name => (answer(200, &[], name.as_bytes()), keeps),
            Reply::Answer {
                status,
                headers,
                body,
            } => (answer(status, &headers, &body), keeps),
            Reply::Raw(bytes) => (bytes, true),
            Reply::RawThenClose(bytes) => (bytes, false),
            Reply::Close => break,
            // The reset goes out when the caller drops the last handle.
            Reply::Reset => return SockRef::from(stream).set_linger(Some(Duration::ZERO)),
        };
        let ends = !goes_on || answers == shared.state().close_after;
        shared.answer(number, place, stream, &bytes)?;
        if ends {
            break;
        }
    }
    stream.shutdown(Shutdown::Both)
}

impl Shared {
    /// Sends the answer to the request at this place of the record. Who ends idle connections waits for a short
    /// answer; a long one may wait for its reader.
    fn answer(
        &self,
        number: usize,
        place: usize,
        mut stream: &TcpStream,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut state = self.state();
        // Said before the write: the client may act on the response before this thread runs again.
        state.set_answered(place, true);
        let written = if bytes.len() <= SHORT {
            stream.write_all(bytes)
        } else {
            drop(state);
            let written = stream.write_all(bytes);
            state = self.state();
            written
        };
        match &written {
            Ok(()) => state.set_idle(number, true),
            Err(_) => state.set_answered(place, false),
        }
        written
    }
}

/// Fits into the buffers of any socket.
const SHORT: usize = 4096;

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
