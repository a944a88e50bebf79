//! Commands and answers over one connection. The crate's own connection takes an answer into memory however large it is;
//! this one reads what is too large to its end and keeps nothing of it, so that the connection can go on.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use ::redis::{Client, Cmd, ConnectionAddr, PushInfo, PushKind, Value, cmd, parse_redis_value};
use memchr::memchr;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::fault::Fault;
use crate::ports::pem;

/// The most of one answer that is taken into memory: above the largest that this program writes, and above a page of them
/// of the usual size.
pub(super) const MOST: u64 = 64 << 20;
/// What an element of an answer costs beside its bytes.
const ELEMENT: u64 = 128;
/// No line is longer, but for an error's.
const LINE: usize = 64 << 10;

/// A connection to one server.
pub(super) struct Wire {
    reader: BufReader<Stream>,
    /// Who wants the messages that nobody asked for; they come only where `HELLO 3` was said.
    pushes: Option<Sender<PushInfo>>,
}

/// A message's bytes, if they are not too many.
enum Frame {
    Answer(Option<Vec<u8>>),
    Push(Option<Vec<u8>>),
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// Connects, and says who asks.
    pub(super) fn open(url: &str, ca: Option<&Path>, limit: Duration) -> Result<Self, String> {
        let end = Instant::now() + limit;
        let client = Client::open(url).map_err(|error| error.to_string())?;
        let wanted = client.get_connection_info();
        let stream = match wanted.addr() {
            ConnectionAddr::Tcp(host, port) => Stream::Plain(connect(host, *port, end)?),
            ConnectionAddr::TcpTls { host, port, .. } => {
                let socket = connect(host, *port, end)?;
                Stream::Tls(Box::new(secured(socket, host, ca)?))
            }
            _ => return Err("it is no address of a server".into()),
        };
        let mut wire = Self {
            reader: BufReader::with_capacity(LINE, stream),
            pushes: None,
        };
        let settings = wanted.redis_settings();
        if let Some(password) = settings.password() {
            let mut command = cmd("AUTH");
            command.arg(settings.username()).arg(password);
            wire.said(&command, end)?;
        }
        if settings.db() != 0 {
            wire.said(cmd("SELECT").arg(settings.db()), end)?;
        }
        Ok(wire)
    }

    fn said(&mut self, command: &Cmd, end: Instant) -> Result<(), String> {
        let answer = self.ask(command, end).map_err(|fault| fault.text());
        answer.map(drop)
    }

    /// Asks, and waits for the answer until `end`.
    pub(super) fn ask(&mut self, command: &Cmd, end: Instant) -> Result<Value, Fault> {
        for part in command.get_packed_command().chunks(256 << 10) {
            let stream = self.reader.get_mut();
            stream.socket().set_write_timeout(Some(left(end)?))?;
            // A handshake also reads.
            stream.socket().set_read_timeout(Some(left(end)?))?;
            stream.write_all(part)?;
        }
        self.reader.get_mut().flush()?;
        let text = loop {
            match self.frame(end)? {
                Frame::Push(text) => self.push(text.as_deref()),
                Frame::Answer(text) => break text.ok_or(Fault::TooLarge)?,
            }
        };
        // An error of the server is a value here, and must not be taken for one.
        Ok(parse_redis_value(&text)?.extract_error()?)
    }

    /// From now on messages that nobody asked for go there.
    pub(super) fn set_push_sender(&mut self, pushes: Sender<PushInfo>) {
        self.pushes = Some(pushes);
    }

    /// What is too large to be taken may have told of anything.
    fn push(&self, text: Option<&[u8]>) {
        let Some(pushes) = &self.pushes else { return };
        let anything = || PushInfo {
            kind: PushKind::Invalidate,
            data: vec![Value::Nil],
        };
        let told = match text.map(parse_redis_value) {
            Some(Ok(Value::Push { kind, data })) => PushInfo { kind, data },
            _ => anything(),
        };
        // Whoever listened may have gone.
        let _unheard = pushes.send(told);
    }

    /// The next message, up to its end.
    fn frame(&mut self, end: Instant) -> Result<Frame, Fault> {
        let (mut text, mut cost, mut open) = (Vec::new(), 0_u64, 1_u64);
        let mut is_push = None;
        while open > 0 {
            let line = self.line(end)?;
            is_push.get_or_insert(line.starts_with(b">"));
            open -= 1;
            let mut body = 0;
            match line.first() {
                Some(b'*' | b'~' | b'>') => open = open.saturating_add(count(&line)?),
                Some(b'%') => open = open.saturating_add(count(&line)?.saturating_mul(2)),
                Some(b'$' | b'=' | b'!') if !line.starts_with(b"$-") => {
                    body = count(&line)?.saturating_add(2);
                }
                _ => {}
            }
            cost = cost.saturating_add(ELEMENT + line.len() as u64);
            cost = cost.saturating_add(body);
            if cost <= MOST {
                text.extend(line);
                self.body(body, end, |part| text.extend_from_slice(part))?;
            } else {
                text = Vec::new();
                self.body(body, end, |_| ())?;
            }
        }
        let text = (cost <= MOST).then_some(text);
        match is_push {
            Some(true) => Ok(Frame::Push(text)),
            _ => Ok(Frame::Answer(text)),
        }
    }

    fn line(&mut self, end: Instant) -> Result<Vec<u8>, Fault> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            if line.len() > LINE {
                return Err(garbled("a line without an end").into());
            }
            let part = self.fill(end)?;
            let length = memchr(b'\n', part).map_or(part.len(), |at| at + 1);
            line.extend_from_slice(part.get(..length).unwrap_or_default());
            self.reader.consume(length);
        }
        Ok(line)
    }

    fn body(
        &mut self,
        length: u64,
        end: Instant,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Fault> {
        let mut missing = length;
        while missing > 0 {
            let part = self.fill(end)?;
            let length = usize::try_from(missing).map_or(part.len(), |most| most.min(part.len()));
            take(part.get(..length).unwrap_or_default());
            self.reader.consume(length);
            missing -= length as u64;
        }
        Ok(())
    }

    /// What has arrived and was not consumed; waits for the first byte.
    fn fill(&mut self, end: Instant) -> Result<&[u8], Fault> {
        if self.reader.buffer().is_empty() {
            let left = left(end)?;
            self.reader
                .get_ref()
                .socket()
                .set_read_timeout(Some(left))?;
        }
        match self.reader.fill_buf()? {
            [] => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            part => Ok(part),
        }
    }
}

fn left(end: Instant) -> Result<Duration, Fault> {
    let left = end.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(Fault::Away("no answer in time".into())),
        false => Ok(left),
    }
}

/// The number in a line like `*3`; `*-1` is nothing.
fn count(line: &[u8]) -> Result<u64, io::Error> {
    let text = std::str::from_utf8(line.get(1..).unwrap_or_default()).unwrap_or_default();
    match text.trim_end().parse::<i64>() {
        Ok(number) => Ok(u64::try_from(number).unwrap_or(0)),
        Err(_) => Err(garbled("a length that is no number")),
    }
}

fn garbled(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer has {what}"))
}

fn connect(host: &str, port: u16, end: Instant) -> Result<TcpStream, String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, port).to_socket_addrs();
    let places: Vec<_> = found.map_err(|error| error.to_string())?.collect();
    let mut failed = "the name has no address".to_owned();
    for (tried, place) in places.iter().enumerate() {
        let tries = u32::try_from(places.len() - tried).unwrap_or(u32::MAX);
        let limit = left(end).map_err(|fault| fault.text())? / tries;
        match TcpStream::connect_timeout(place, limit.max(Duration::from_millis(1))) {
            Ok(socket) => {
                // Without it small commands would wait for each other.
                let _best_effort = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) => failed = error.to_string(),
        }
    }
    Err(failed)
}

fn secured(
    socket: TcpStream,
    host: &str,
    ca: Option<&Path>,
) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(ca) => {
            let named = |error: String| format!("{}: {error}", ca.display());
            let text = pem::read(ca).map_err(named)?;
            for certificate in pem::certificates(&text).map_err(named)? {
                let added = roots.add(certificate);
                added.map_err(|error| named(error.to_string()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
    let connection = ClientConnection::new(Arc::new(config), name);
    let connection = connection.map_err(|error| error.to_string())?;
    Ok(StreamOwned::new(connection, socket))
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
