use memchr::memchr;

use super::field::{Field, check_options};
use super::host::is_host;
use super::request_line::RequestLine;
use super::{Framing, Rule};

/// How long a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes, from the method to the empty line.
    pub size: usize,
    /// Fields.
    pub count: usize,
}

/// What a head says about what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its length with the empty line, in bytes.
    pub length: usize,
    /// How the body ends.
    pub framing: Framing,
    /// Whether it asks for a WebSocket: what follows is no HTTP if the server agrees.
    pub asks_for_tunnel: bool,
    /// Whether the client holds the body back until it is asked for it (RFC 9110 section 10.1.1).
    pub expects_word: bool,
}

/// Reads a head as it comes: each line once, when it is whole.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// Where the line begins that is not whole yet.
    line: usize,
    /// No line end before here.
    looked: usize,
    count: usize,
    seen: Option<Seen>,
}

/// What the lines so far said.
#[derive(Debug, Default)]
struct Seen {
    is_current: bool,
    /// Of the target.
    authority: Option<Vec<u8>>,
    host: Option<()>,
    length: Option<u64>,
    is_chunked: bool,
    /// Of Connection.
    options: usize,
    has_websocket: bool,
    has_upgrade: bool,
    expects_word: bool,
}

impl HeadReader {
    /// Reads on in `bytes`, which begin with the head and have grown since the last call. None: the head is not whole
    /// yet.
    ///
    /// # Errors
    /// The first rule that a line breaks, as soon as the line is whole.
    pub fn read(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<Option<Head>, Rule> {
        while let Some(line) = self.next_line(bytes, limits.size)? {
            match &mut self.seen {
                // An empty line before the request: RFC 9112 section 2.2.
                None if line.is_empty() => {}
                None => self.seen = Some(Seen::of_request_line(line)?),
                Some(seen) if line.is_empty() => return seen.head(self.line).map(Some),
                Some(seen) => {
                    self.count += 1;
                    if self.count > limits.count {
                        return Err(Rule::HeaderCount);
                    }
                    seen.field(Field::parse(line)?)?;
                }
            }
        }
        Ok(None)
    }

    /// Whether nothing of a request has come.
    pub fn is_fresh(&self) -> bool {
        self.looked == 0
    }

    /// The next line, without its end. A line that is too long is that first of all: whether its end has come yet must
    /// not decide by which rule it is refused.
    fn next_line<'a>(&mut self, bytes: &'a [u8], size: usize) -> Result<Option<&'a [u8]>, Rule> {
        let rest = bytes.get(self.looked..).unwrap_or_default();
        let found = memchr(b'\n', rest);
        let end = found.map_or(bytes.len(), |found| self.looked + found);
        if found.map_or(end, |_| end + 1) > size {
            return Err(Rule::HeaderSize);
        }
        if found.is_none() {
            self.looked = end;
            return Ok(None);
        }
        let line = bytes.get(self.line..end).unwrap_or_default();
        let Some((b'\r', line)) = line.split_last() else {
            return Err(Rule::BareLineFeed);
        };
        (self.line, self.looked) = (end + 1, end + 1);
        Ok(Some(line))
    }
}

impl Seen {
    fn of_request_line(line: &[u8]) -> Result<Self, Rule> {
        let line = RequestLine::parse(line)?;
        Ok(Self {
            is_current: line.is_current,
            authority: line.authority.map(<[u8]>::to_vec),
            ..Self::default()
        })
    }

    fn field(&mut self, field: Field<'_>) -> Result<(), Rule> {
        match field.name.len() {
            4 if field.is("host") => self.host(field.value),
            6 if field.is("expect") => {
                self.expects_word = field.value.eq_ignore_ascii_case(b"100-continue");
                self.expects_word.then_some(()).ok_or(Rule::Expectation)
            }
            7 if field.is("upgrade") => {
                self.has_websocket |= field.lists("websocket");
                Ok(())
            }
            10 if field.is("connection") => {
                self.has_upgrade |= field.lists("upgrade");
                self.options = check_options(field.value, self.options)?;
                Ok(())
            }
            14 if field.is("content-length") => {
                let length = plain_number(field.value).ok_or(Rule::LengthForm)?;
                self.length
                    .replace(length)
                    .map_or(Ok(()), |_| Err(Rule::LengthRepeated))
            }
            17 if field.is("transfer-encoding") => self.coding(field.value),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Rule> {
        if self.host.replace(()).is_some() {
            return Err(Rule::HostRepeated);
        }
        if !is_host(value) {
            return Err(Rule::HostForm);
        }
        match &self.authority {
            // To the letter, as clients must send it (RFC 9112 section 3.2) and Pingora demands it.
            Some(authority) if authority != value => Err(Rule::TargetHost),
            _ => Ok(()),
        }
    }

    fn coding(&mut self, value: &[u8]) -> Result<(), Rule> {
        if !self.is_current {
            return Err(Rule::CodingInOld);
        }
        if std::mem::replace(&mut self.is_chunked, true) {
            return Err(Rule::CodingRepeated);
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            Ok(())
        } else {
            Err(Rule::CodingUnknown)
        }
    }

    fn head(&self, length: usize) -> Result<Head, Rule> {
        if self.is_current && self.host.is_none() {
            return Err(Rule::HostMissing);
        }
        let framing = match (self.length, self.is_chunked) {
            (Some(_), true) => return Err(Rule::LengthAndCoding),
            (Some(0) | None, false) => Framing::Empty,
            (Some(length), false) => Framing::Length(length),
            (None, true) => Framing::Chunked,
        };
        let asks_for_tunnel =
            self.is_current && self.has_websocket && self.has_upgrade && framing == Framing::Empty;
        Ok(Head {
            length,
            framing,
            asks_for_tunnel,
            // RFC 9110 section 10.1.1: in HTTP/1.0 it means nothing.
            expects_word: self.expects_word && self.is_current,
        })
    }
}

/// 18 digits fit into 63 bits, with which some servers count.
fn plain_number(value: &[u8]) -> Option<u64> {
    let is_plain = (1..=18).contains(&value.len())
        && value.iter().all(u8::is_ascii_digit)
        && (value.len() == 1 || value.first() != Some(&b'0'));
    if !is_plain {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}
