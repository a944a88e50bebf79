use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Version};
use pingora_proxy::Session;

use crate::ports::telemetry::Reason;

/// Why a request is not routed at all; none if it is fine.
pub(super) fn of(session: &Session) -> Option<Reason> {
    let head = session.req_header();
    let (mut hosts, mut codings, mut lengths) =
        (Lines::default(), Lines::default(), Lines::default());
    // One look at each header instead of a search for each name.
    for (name, value) in &head.headers {
        match *name {
            HOST => hosts.add(value),
            TRANSFER_ENCODING => codings.add(value),
            CONTENT_LENGTH => lengths.add(value),
            _ => {}
        }
    }
    // RFC 9112 section 3.2: a server MUST answer 400 to a request without Host, or with several.
    let is_one_host = hosts.only().is_some_and(|host| !host.is_empty());
    if (head.version == Version::HTTP_11 && !is_one_host)
        || hosts.first.is_some_and(|host| !is_host(host.as_bytes()))
    {
        return Some(Reason::BadRequestHost);
    }
    let is_framed_badly = if codings.count > 0 {
        // RFC 9112 section 6.1: both together is how requests are smuggled. Other codings would be lost.
        let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        had_content_length(session) || !codings.only().is_some_and(is_chunked)
    } else {
        lengths.count > 0 && !lengths.only().is_some_and(is_plain_length)
    };
    is_framed_badly.then_some(Reason::BadRequestFraming)
}

/// The lines of one name.
#[derive(Default)]
struct Lines<'a> {
    first: Option<&'a HeaderValue>,
    count: usize,
}

impl<'a> Lines<'a> {
    fn add(&mut self, line: &'a HeaderValue) {
        self.first = self.first.or(Some(line));
        self.count += 1;
    }

    /// The line, if there is exactly one.
    fn only(&self) -> Option<&'a HeaderValue> {
        self.first.filter(|_| self.count == 1)
    }
}

/// The characters of a host and a port (RFC 3986 section 3.2): nothing that could be taken for a
/// path, a list, a user or the end of a line.
fn is_host(host: &[u8]) -> bool {
    let fits = |byte: &u8| {
        let is_sign = matches!(
            byte,
            b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']' | b'%' | b'!'
        ) || matches!(
            byte,
            b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='
        );
        byte.is_ascii_alphanumeric() || is_sign
    };
    host.iter().all(fits)
}

/// A length in its one form: servers differ in how they read `5, 5`, `+5` or `005`.
fn is_plain_length(length: &HeaderValue) -> bool {
    let length = length.as_bytes();
    let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    is_number && (length.len() == 1 || length.first() != Some(&b'0'))
}

/// Pingora drops Content-Length beside Transfer-Encoding before we see the head; its raw bytes still
/// have it.
fn had_content_length(session: &Session) -> bool {
    let Some(http1) = session.as_downstream().as_http1() else {
        return session.req_header().headers.contains_key(CONTENT_LENGTH);
    };
    let raw = http1.get_headers_raw_bytes();
    let mut lines = raw.split(|&byte| byte == b'\n').skip(1);
    lines.any(|line| {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        name.trim_ascii()
            .eq_ignore_ascii_case(CONTENT_LENGTH.as_str().as_bytes())
    })
}
