//! An origin that keeps every byte that reaches it and reads requests by the letter of RFC 9112.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use super::message::Arrival;
use crate::support::RawOrigin;

/// Answers every whole request with 200 `ok`, and takes nothing for a request that is none.
pub(crate) struct Recorder {
    origin: RawOrigin,
    seen: Arc<Mutex<Evidence>>,
}

/// What arrived, on all connections together.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) bytes: usize,
    /// So many of them belong to whole requests.
    pub(crate) whole_bytes: usize,
    pub(crate) whole: Vec<Arrival>,
}

impl Recorder {
    pub(crate) fn start() -> Self {
        let seen = Arc::<Mutex<Evidence>>::default();
        let shared = seen.clone();
        let origin = RawOrigin::start(move |stream, _| serve(stream, &shared));
        Self { origin, seen }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.origin.address()
    }

    /// What has arrived since the last time.
    pub(crate) fn take(&self) -> Evidence {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

fn serve(mut stream: &TcpStream, seen: &Mutex<Evidence>) {
    let (mut pending, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        pending.extend_from_slice(&buffer[..count]);
        let mut answers = Vec::new();
        let mut evidence = seen.lock().unwrap();
        evidence.bytes += count;
        while let Some((arrival, length)) = read(&pending) {
            pending.drain(..length);
            evidence.whole_bytes += length;
            answers.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
            if !arrival.line.starts_with("HEAD ") {
                answers.extend(b"ok");
            }
            evidence.whole.push(arrival);
        }
        drop(evidence);
        if stream.write_all(&answers).is_err() {
            return;
        }
    }
}

/// The request that the bytes begin with and its length, if it is whole and flawless.
fn read(bytes: &[u8]) -> Option<(Arrival, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head: String = bytes[..end].iter().copied().map(char::from).collect();
    let values = |name: &str| -> Vec<&str> {
        let fields = head
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        let named = fields.filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value).collect()
    };
    let rest = &bytes[end..];
    let (body, length) = match (
        &values("content-length")[..],
        &values("transfer-encoding")[..],
    ) {
        ([], []) => (Vec::new(), 0),
        ([length], []) => {
            let length = length.parse().ok()?;
            (rest.get(..length)?.to_vec(), length)
        }
        ([], ["chunked"]) => chunks(rest)?,
        _ => return None,
    };
    Some((Arrival::new(&head, body), end + length))
}

/// The content of chunks and the length of their framing with it. No extension and no trailer: none is ever sent on.
fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let line = bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        let digits = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(digits, 16).ok()?;
        at += line + 2;
        content.extend_from_slice(bytes.get(at..at + size)?);
        at += size;
        if bytes.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
        if size == 0 {
            return Some((content, at));
        }
    }
}
