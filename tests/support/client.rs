//! An HTTP/1 client that sends exactly what it is told to.

use super::{PATIENCE, Response, wire};
use std::{
    io::{self, BufReader, Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    time::Duration,
};

/// One connection. The methods without `try_` fail the test when the connection does.
pub struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Client {
    /// The address is also the `Host` of the requests.
    pub fn connect(address: impl ToSocketAddrs + ToString) -> Self {
        Self::try_connect(&address)
            .unwrap_or_else(|error| panic!("connect to {}: {error}", address.to_string()))
    }

    pub fn try_connect(address: &(impl ToSocketAddrs + ToString)) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
            host: address.to_string(),
        })
    }

    /// The `Host` of the requests from here on.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.request("GET", path, headers, b"")
    }

    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.try_request(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn try_get(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
        self.try_request("GET", path, headers, b"")
    }

    /// `Host` and, with a body, `Content-Length` are added unless `headers` has them or the body's framing.
    pub fn try_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let given = |name: &str| {
            headers
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !given("host") {
            head += &format!("Host: {}\r\n", self.host);
        }
        if !body.is_empty() && !given("content-length") && !given("transfer-encoding") {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        self.try_send(&[head.as_bytes(), b"\r\n", body].concat())?;
        self.try_response(method)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).expect("send");
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next response, to any method but HEAD.
    pub fn response(&mut self) -> Response {
        self.try_response("GET").expect("a response")
    }

    /// The next final response; the method decides whether it can have a body. A body without framing reaches to the end of the connection.
    pub fn try_response(&mut self, method: &str) -> io::Result<Response> {
        let mut interim = Vec::new();
        loop {
            let (line, headers) =
                wire::read_head(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let mut words = line.splitn(3, ' ').map(str::to_owned);
            let mut word = || words.next().unwrap_or_default();
            let (version, status, reason) = (word(), word(), word());
            let status = status
                .parse()
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, line.clone()))?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let mut body = Vec::new();
            if method != "HEAD" && !matches!(status, 101 | 204 | 304) {
                match wire::read_announced_body(&mut self.stream, &headers)? {
                    Some(announced) => body = announced,
                    None => drop(self.stream.read_to_end(&mut body)?),
                }
            }
            return Ok(Response {
                version,
                status,
                reason,
                headers,
                body,
                interim,
            });
        }
    }

    /// What comes up to and with this text; fails the test if the connection ends before.
    pub fn read_to(&mut self, end: &str) -> String {
        let mut seen = Vec::new();
        while !seen.ends_with(end.as_bytes()) {
            let mut byte = [0];
            let read = self.stream.read_exact(&mut byte);
            let so_far = String::from_utf8_lossy(&seen);
            read.unwrap_or_else(|error| panic!("{error} before {end:?}, after {so_far:?}"));
            seen.extend(byte);
        }
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// So many bytes; fails the test if the connection ends before.
    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut seen = vec![0; count];
        self.stream.read_exact(&mut seen).expect("so many bytes");
        seen
    }

    /// Whatever comes until the other side closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _reset_counts_as_end = self.stream.read_to_end(&mut rest);
        rest
    }

    /// True once the other side has closed and everything that it sent has been read; waits at most `within`.
    pub fn is_closed(&mut self, within: Duration) -> bool {
        if !self.stream.buffer().is_empty() {
            return false;
        }
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(within)).unwrap();
        let found = stream.peek(&mut [0]);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match found {
            Ok(read) => read == 0,
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ),
        }
    }

    /// Whether something has come that was not read, or comes within this time.
    pub fn has_answer(&mut self, within: Duration) -> bool {
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(within)).unwrap();
        let found = stream.peek(&mut [0]);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        found.is_ok_and(|read| read > 0)
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub fn finish_sending(&self) {
        self.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    }
}
