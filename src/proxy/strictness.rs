use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Uri};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::{ClientLimits, RequestCtx};
use crate::ports::client_connection::{ClientConnection, Refusal};
use crate::strict::{Rule, is_target, normal_target};

use crate::ports::telemetry::Reason;

/// The record of a connection with HTTP/1; HTTP/2 has none.
pub(super) fn connection(session: &Session) -> Option<&ClientConnection> {
    let digest = session.digest()?.proxy_digest.as_deref()?;
    ClientConnection::of(digest.user_data.as_deref()?)
}

/// Why a request is not routed at all; none if it is fine. From here on its path has its normal form.
pub(super) fn refused(
    session: &mut Session,
    ctx: &mut RequestCtx,
    limits: &ClientLimits,
) -> Option<Reason> {
    if let Some(refusal) = &ctx.refusal {
        return Some(refusal.rule.into());
    }
    if session.is_http2()
        && let Some(reason) = of_http2(session.req_header(), limits)
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

/// Counts a body of HTTP/2 against its limit; a retry counts the same bytes again, from the start.
///
/// # Errors
/// When it is longer.
pub(super) fn body_fits(
    ctx: &mut RequestCtx,
    part: Option<&Bytes>,
    longest: Option<u64>,
) -> Result<()> {
    ctx.received += part.map_or(0, |part| part.len() as u64);
    if longest.is_none_or(|longest| ctx.received <= longest) {
        return Ok(());
    }
    ctx.refusal = Some(Refusal {
        rule: Rule::BodySize,
        method: String::new(),
        target: String::new(),
    });
    let error = Error::explain(ErrorType::InvalidHTTPHeader, Rule::BodySize.code());
    Err(error.into_down())
}

/// The rule that the request broke, if it is one.
pub(super) fn rule(session: &Session, ctx: &RequestCtx) -> Option<Rule> {
    let of_connection = connection(session).and_then(ClientConnection::refusal);
    of_connection
        .or(ctx.refusal.as_ref())
        .map(|refusal| refusal.rule)
}

/// Gives the target its one normal form, for routing and for the server alike.
pub(super) fn normalise(head: &mut RequestHeader) -> std::result::Result<(), Rule> {
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
fn of_http2(head: &RequestHeader, limits: &ClientLimits) -> Option<Reason> {
    if head.headers.len() > limits.header_count {
        return Some(Reason::HeaderTooLarge);
    }
    let announced = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if limits
        .body_size
        .zip(announced)
        .is_some_and(|(longest, length): (u64, u64)| length > longest)
    {
        return Some(Reason::BodyTooLarge);
    }
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
