//! HTTP/1 as bytes, for both sides: heads and bodies, read without opinion.

use std::io::{self, BufRead, Read};

/// Header fields as they came, in order and with their case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first of that name, in any case.
    pub fn first(&self, name: &str) -> Option<&str> {
        let found = self
            .0
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|word| word.trim().eq_ignore_ascii_case(token))
    }

    /// What the sender says about the connection, with the version's default.
    pub fn keeps_connection(&self, version: &str) -> bool {
        let close = self.has_token("connection", "close");
        !close && (version != "HTTP/1.0" || self.has_token("connection", "keep-alive"))
    }
}

/// A response as the client saw it.
#[derive(Clone, Debug)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub headers: Headers,
    pub body: Vec<u8>,
    /// Statuses of the 1xx responses that came before.
    pub interim: Vec<u16>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }

    /// Fails the test, with the whole response, unless the body is JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// The first line and the fields; `None` when the sender closed before the first byte.
pub fn read_head(from: &mut impl BufRead) -> io::Result<Option<(String, Headers)>> {
    let Some(first) = read_line(from)? else {
        return Ok(None);
    };
    let mut headers = Headers::default();
    loop {
        let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(Some((first, headers)));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
        headers.0.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// The body that the fields announce; `None` when they announce none.
pub fn read_announced_body(
    from: &mut impl BufRead,
    headers: &Headers,
) -> io::Result<Option<Vec<u8>>> {
    if headers.has_token("transfer-encoding", "chunked") {
        return read_chunks(from).map(Some);
    }
    let Some(length) = headers.first("content-length") else {
        return Ok(None);
    };
    let mut body = vec![0; length.parse().map_err(|_| invalid(length))?];
    from.read_exact(&mut body)?;
    Ok(Some(body))
}

fn read_chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| invalid(&line))?;
        if size == 0 {
            while !read_line(from)?
                .ok_or(io::ErrorKind::UnexpectedEof)?
                .is_empty()
            {}
            return Ok(body);
        }
        if from.by_ref().take(size).read_to_end(&mut body)? as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read_line(from)?;
    }
}

/// Without its line end; `None` at the end of the stream.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {what:?}"))
}
