use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Version};
use pingora_proxy::Session;

use crate::ports::telemetry::Reason;

/// Why a request is not routed at all; none if it is fine.
pub(super) fn of(session: &Session) -> Option<Reason> {
    let head = session.req_header();
    if head.version == Version::HTTP_11 && !has_one_host(&head.headers) {
        // RFC 9112 section 3.2: a server MUST answer 400 to a request without Host, or with several.
        return Some(Reason::BadRequestHost);
    }
    if head
        .headers
        .get(HOST)
        .is_some_and(|host| !is_host(host.as_bytes()))
    {
        return Some(Reason::BadRequestHost);
    }
    let is_framed_badly = if head.headers.contains_key(TRANSFER_ENCODING) {
        // RFC 9112 section 6.1: both together is how requests are smuggled. Other codings would be lost.
        had_content_length(session) || !is_plainly_chunked(&head.headers)
    } else {
        !has_plain_length(&head.headers)
    };
    is_framed_badly.then_some(Reason::BadRequestFraming)
}

/// The characters of a host and a port (RFC 3986 section 3.2): nothing that could be taken for a
/// path, a list, a user or the end of a line.
fn is_host(host: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+;=".contains(byte);
    host.iter().all(fits)
}

fn is_plainly_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = codings
        .next()
        .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    is_chunked && codings.next().is_none()
}

/// No length, or one in its one form: servers differ in how they read `5, 5`, `+5` or `005`.
fn has_plain_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next().map(http::HeaderValue::as_bytes) else {
        return true;
    };
    let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    is_number && (length.len() == 1 || length.first() != Some(&b'0')) && lengths.next().is_none()
}

fn has_one_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let one = hosts
        .next()
        .is_some_and(|host| !host.is_empty() && !host.as_bytes().contains(&b','));
    one && hosts.next().is_none()
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
