//! The responses.

mod passed;

/// A server's answer, and what a client must get.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
    pub(crate) method: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// The server closes behind it.
    pub(crate) then_closes: bool,
    /// The connection must not be used again.
    pub(crate) is_last: bool,
    pub(crate) expected: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 502 `upstream_invalid_response`.
    Invalid,
    /// 502 with another reason.
    Failed(String),
    /// A response that is never ended cleanly.
    Cut,
    /// The server's response, with this content.
    Passed(u16, String),
    /// What no client may get.
    Odd(String),
}

impl Outcome {
    pub(crate) fn of(status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body).into_owned();
        match text.lines().next().unwrap_or_default() {
            "502 upstream_invalid_response" => Self::Invalid,
            first if first.starts_with("502 ") => Self::Failed(first.to_owned()),
            _ => Self::Passed(status, text),
        }
    }
}

const S18: &str = "attack class S18";

/// A head that is refused. The content that follows is `hello` with a length of 5.
const HEADS: [(&str, &str, &str); 20] = [
    (
        "a status line twice",
        S18,
        "HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\nContent-Length: 5",
    ),
    (
        "no status",
        "RFC 9112 section 4",
        "HTTP/1.1\r\nContent-Length: 5",
    ),
    (
        "a status of two digits",
        "RFC 9112 section 4",
        "HTTP/1.1 20 OK\r\nContent-Length: 5",
    ),
    (
        "a status of four digits",
        "RFC 9112 section 4",
        "HTTP/1.1 2000 OK\r\nContent-Length: 5",
    ),
    (
        "a status that is no number",
        "RFC 9112 section 4",
        "HTTP/1.1 OK 200\r\nContent-Length: 5",
    ),
    (
        "version 2.0",
        "RFC 9112 section 2.3",
        "HTTP/2.0 200 OK\r\nContent-Length: 5",
    ),
    (
        "another protocol",
        "RFC 9112 section 4",
        "SSH-2.0-x\r\nContent-Length: 5",
    ),
    ("a document alone", "RFC 9112 section 4", "<html>"),
    (
        "a field without a colon",
        "RFC 9112 section 5",
        "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 5",
    ),
    (
        "NUL in a value",
        "RFC 9110 section 5.5",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 5",
    ),
    (
        "a control in a value",
        "RFC 9110 section 5.5",
        "HTTP/1.1 200 OK\r\nX: a\u{1b}b\r\nContent-Length: 5",
    ),
    (
        "CR in a value",
        "RFC 9112 section 2.2",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 5",
    ),
    (
        "NUL in a name",
        "RFC 9110 section 5.1",
        "HTTP/1.1 200 OK\r\nX\0: a\r\nContent-Length: 5",
    ),
    (
        "two lengths",
        "RFC 9112 section 6.3",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
    ),
    (
        "gzip for a coding",
        "RFC 9112 section 6.1",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip",
    ),
    (
        "identity for a coding",
        "RFC 9112 section 6.1",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity",
    ),
    (
        "gzip and chunked",
        "RFC 9112 section 6.1",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
    ),
    (
        "chunked twice",
        "RFC 9112 section 6.1",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ),
    (
        "a coding that is none, with a length",
        "RFC 9112 section 6.1",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\nContent-Length: 5",
    ),
    (
        "a coding in HTTP/1.0",
        "RFC 9112 section 6.1",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
    ),
];

const LENGTHS: [(&str, &str); 8] = [
    ("a length with a plus", "+5"),
    ("a negative length", "-5"),
    ("a hexadecimal length", "0x5"),
    ("an empty length", ""),
    ("two lengths in a list", "5, 6"),
    ("a length with a word behind", "5 x"),
    ("a length of 2 to the 64th", "18446744073709551616"),
    ("a length that is no number", "five"),
];

/// Chunks that break off or are none.
const CHUNKS: [(&str, &str); 10] = [
    ("a chunk that is cut", "5\r\nhel"),
    ("no last chunk", "5\r\nhello\r\n"),
    ("a last chunk that is cut", "5\r\nhello\r\n0\r\n"),
    ("a size with 0x", "5\r\nhello\r\n0x5\r\nhello\r\n0\r\n\r\n"),
    (
        "a size that is none",
        "5\r\nhello\r\nzz\r\nhello\r\n0\r\n\r\n",
    ),
    ("a negative size", "5\r\nhello\r\n-5\r\nhello\r\n0\r\n\r\n"),
    (
        "a size over 2 to the 64th",
        "5\r\nhello\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    ("no line end behind a chunk", "5\r\nhello0\r\n\r\n"),
    ("a chunk longer than its size", "4\r\nhello\r\n0\r\n\r\n"),
    ("NUL in a size", "5\r\nhello\r\n5\0\r\nhello\r\n0\r\n\r\n"),
];

fn refused() -> Vec<Case> {
    let of = |name, source, bytes: Vec<u8>| Case {
        name,
        source,
        method: "GET",
        bytes,
        then_closes: false,
        is_last: true,
        expected: Outcome::Invalid,
    };
    let mut all: Vec<_> = HEADS
        .map(|(name, source, head)| of(name, source, format!("{head}\r\n\r\nhello").into()))
        .into();
    all.extend(LENGTHS.map(|(name, value)| {
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\nhello");
        of(name, "RFC 9110 section 8.6", bytes.into())
    }));
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n";
    let early = "HTTP/1.1 103 Early Hints\r\n\r\n";
    all.push(of(
        "300 fields",
        S18,
        format!("{ok}{}\r\nhello", "X: y\r\n".repeat(300)).into(),
    ));
    all.push(of(
        "a field of 2 MB",
        S18,
        format!("{ok}X: {}\r\n\r\nhello", "y".repeat(2 << 20)).into(),
    ));
    all.push(of(
        "17 interim responses",
        S18,
        format!("{}{ok}\r\nhello", early.repeat(17)).into(),
    ));
    all.push(of(
        "10,000 interim responses",
        S18,
        format!("{}{ok}\r\nhello", early.repeat(10_000)).into(),
    ));
    all.push(of(
        "an alert of TLS",
        S18,
        b"\x15\x03\x03\x00\x02\x02\x28\r\n\r\n".to_vec(),
    ));
    all
}

fn cut() -> Vec<Case> {
    let of = |name, source, bytes: String| Case {
        name,
        source,
        method: "GET",
        bytes: bytes.into(),
        then_closes: true,
        is_last: true,
        expected: Outcome::Cut,
    };
    let mut all: Vec<_> = CHUNKS
        .map(|(name, body)| {
            let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            of(name, "RFC 9112 section 8", bytes)
        })
        .into();
    all.push(of(
        "a body shorter than its length",
        "RFC 9112 section 8",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello".into(),
    ));
    all
}

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    let mut all = refused();
    all.extend(cut());
    all.extend(passed::all());
    all
}
