use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Uri};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::RequestCtx;
use crate::ports::client_connection::{ClientConnection, Refusal};
use crate::strict::{Rule, is_target, normal_target};

use crate::ports::telemetry::Reason;

/// The record of a connection with HTTP/1; HTTP/2 has none.
pub(super) fn connection(session: &Session) -> Option<&ClientConnection> {
    let digest = session.digest()?.proxy_digest.as_deref()?;
    ClientConnection::of(digest.user_data.as_deref()?)
}

/// Why a request is not routed at all; none if it is fine. From here on its path has its normal form.
pub(super) fn refused(session: &mut Session, ctx: &mut RequestCtx) -> Option<Reason> {
    if let Some(refusal) = &ctx.refusal {
        return Some(refusal.rule.into());
    }
    if session.is_http2()
        && let Some(reason) = of_http2(session.req_header())
    {
        return Some(reason);
    }
    let rule = normalise(session.req_header_mut()).err()?;
    let head = session.req_header();
    ctx.refusal = Some(Refusal {
        rule,
        method: head.method.to_string(),
        target: String::from_utf8_lossy(head.raw_path()).into_owned(),
    });
    Some(rule.into())
}

/// Gives the target its one normal form, for routing and for the server alike.
fn normalise(head: &mut RequestHeader) -> Result<(), Rule> {
    let raw = std::str::from_utf8(head.raw_path()).map_err(|_| Rule::TargetByte)?;
    if raw.starts_with('/') {
        if let Cow::Owned(normal) = normal_target(raw)? {
            return head
                .set_raw_path(normal.as_bytes())
                .map_err(|_| Rule::TargetForm);
        }
        return Ok(());
    }
    let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if let Cow::Owned(normal) = normal_target(path)? {
        let mut parts = head.uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(normal).map_err(|_| Rule::TargetForm)?);
        head.set_uri(Uri::from_parts(parts).map_err(|_| Rule::TargetForm)?);
    }
    Ok(())
}

/// The rules of HTTP/2 that the protocol's own reader leaves to us. HTTP/1 was read by the edge.
fn of_http2(head: &RequestHeader) -> Option<Reason> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Some(Reason::MethodNotAllowed);
    }
    if !is_target(head.raw_path()) {
        return Some(Reason::BadRequestUri);
    }
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
    let has_host = is_one_host || head.uri.authority().is_some();
    if !has_host || hosts.count > 1 || hosts.first.is_some_and(|host| !is_host(host.as_bytes())) {
        return Some(Reason::BadRequestHost);
    }
    let is_framed_badly = if codings.count > 0 {
        // RFC 9112 section 6.1: both together is how requests are smuggled. Other codings would be lost.
        let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        lengths.count > 0 || !codings.only().is_some_and(is_chunked)
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
