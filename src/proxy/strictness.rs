use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use pingora_core::protocols::http::authority::{RawTargetAuthority, raw_target_authority};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::{ClientLimits, RequestCtx};
use crate::ports::client_connection::{ClientConnection, Refusal};
use crate::strict::response::{MOST_INTERIM, ResponseRule, check_codings, one_length};
use crate::strict::{Rule, is_host, is_refused, is_shadow, is_target, normal_target};

use crate::ports::telemetry::Reason;

/// The record of a connection with HTTP/1; HTTP/2 has none.
pub(super) fn connection(session: &Session) -> Option<&ClientConnection> {
    let digest = session.digest()?.proxy_digest.as_deref()?;
    ClientConnection::of(digest.user_data.as_deref()?)
}

/// What the edge refused in this request's place.
pub(super) fn refusal(session: &Session) -> Option<Refusal> {
    if session.is_http2() {
        return session.req_header().extensions.get::<Refusal>().cloned();
    }
    connection(session)?.refusal().cloned()
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
    if session.is_http2() {
        let reason = of_http2(session.req_header(), limits).or_else(|| without_body(session));
        if reason.is_some() {
            return reason;
        }
    }
    let rule = normalise(session.req_header_mut()).err()?;
    ctx.refusal = Some(rule.into());
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
    ctx.refusal = Some(Rule::BodySize.into());
    let error = Error::explain(ErrorType::InvalidHTTPHeader, Rule::BodySize.code());
    Err(error.into_down())
}

/// Checks what a server says of a response, and leaves it one length.
///
/// # Errors
/// When it breaks a rule: then its connection is over.
pub(super) fn check_response(response: &mut ResponseHeader, ctx: &mut RequestCtx) -> Result<()> {
    if response.status.is_informational() {
        ctx.interim = ctx.interim.saturating_add(1);
        if ctx.interim > MOST_INTERIM {
            return Err(invalid(ResponseRule::InterimMany));
        }
    }
    let has_no_body =
        response.status.is_informational() || response.status == StatusCode::NO_CONTENT;
    let lines = |name| {
        response
            .headers
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
    };
    let is_current = response.version != Version::HTTP_10;
    check_codings(lines(TRANSFER_ENCODING), is_current).map_err(invalid)?;
    if has_no_body {
        // RFC 9112 section 6.1, RFC 9110 section 8.6: neither may stand there.
        response.remove_header(&TRANSFER_ENCODING);
        response.remove_header(&CONTENT_LENGTH);
        return Ok(());
    }
    if let Some(length) = one_length(lines(CONTENT_LENGTH)).map(<[u8]>::to_vec) {
        response.insert_header(CONTENT_LENGTH, length)?;
    }
    Ok(())
}

fn invalid(rule: ResponseRule) -> Box<Error> {
    Error::explain(ErrorType::InvalidHTTPHeader, rule.text()).into_up()
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
    // The path of HTTP/2 stands beside an authority, which must stay.
    if raw.starts_with('/') && head.uri.authority().is_none() {
        if let Cow::Owned(normal) = normal_target(raw)? {
            return head
                .set_raw_path(normal.as_bytes())
                .map_err(|_| Rule::TargetForm);
        }
        return Ok(());
    }
    name_host(head)?;
    let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if let Cow::Owned(normal) = normal_target(path)? {
        let mut parts = head.uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(normal).map_err(|_| Rule::TargetForm)?);
        head.set_uri(Uri::from_parts(parts).map_err(|_| Rule::TargetForm)?);
    }
    Ok(())
}

/// A client of HTTP/1.0 may name the host in its target alone (RFC 9112 section 3.2.2).
fn name_host(head: &mut RequestHeader) -> std::result::Result<(), Rule> {
    let host = match raw_target_authority(head.raw_path()) {
        RawTargetAuthority::Absolute { authority, .. } if !head.headers.contains_key(HOST) => {
            HeaderValue::from_bytes(authority)
        }
        _ => return Ok(()),
    };
    let host = host.map_err(|_| Rule::TargetForm)?;
    let named = head.insert_header(HOST, host);
    named.map_err(|_| Rule::TargetForm)
}

/// The path by which a request with this target is routed, and the target that its server gets, for the fuzzer. None: it
/// is refused. An error: Pingora cannot even hold it.
#[cfg(fuzzing)]
pub fn routed_and_forwarded(target: &[u8]) -> Result<Option<(String, Vec<u8>)>> {
    let mut head = RequestHeader::build("GET", target, None)?;
    if normalise(&mut head).is_err() {
        return Ok(None);
    }
    let routed = head.uri.path().to_owned();
    super::forward::to_origin_form(&mut head);
    Ok(Some((routed, head.raw_path().to_vec())))
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
    if is_refused(head.method.as_str().as_bytes()) {
        return Some(Reason::MethodNotAllowed);
    }
    let is_server = head.raw_path() == b"*" && head.method != Method::OPTIONS;
    if is_server || !is_target(head.raw_path()) {
        return Some(Reason::BadRequestUri);
    }
    // RFC 9110 section 4.2: what a gateway serves.
    let scheme = head.uri.scheme_str();
    if scheme.is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
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
            EXPECT if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
                return Some(Rule::Expectation.into());
            }
            _ => {}
        }
        if is_odd(name, value) {
            return Some(Reason::BadRequestHeader);
        }
    }
    // RFC 9112 section 3.2: a server MUST answer 400 to a request without Host, or with several.
    let is_one_host = hosts.only().is_some_and(|host| !host.is_empty());
    let authority = head.uri.authority().map(|authority| authority.as_str());
    let has_host = is_one_host || authority.is_some();
    let host = hosts.first.map(HeaderValue::as_bytes);
    let mut named = host.into_iter().chain(authority.map(str::as_bytes));
    if !has_host || hosts.count > 1 || named.any(|host| !is_host(host)) {
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

/// A length with nothing to come: the stream has been reset, and its head need go nowhere (RFC 9113 section 8.1.1).
fn without_body(session: &mut Session) -> Option<Reason> {
    let length = session.req_header().headers.get(CONTENT_LENGTH)?;
    let is_broken = length != "0" && session.as_mut().is_body_done();
    is_broken.then_some(Reason::BadRequestFraming)
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

/// A name that shadows another, or a value with white space around it (RFC 9113 section 8.2.1), which HTTP/1 would lose.
fn is_odd(name: &HeaderName, value: &HeaderValue) -> bool {
    let is_suspect = name
        .as_str()
        .bytes()
        .any(|byte| matches!(byte, b'_' | b'.'));
    let value = value.as_bytes();
    (is_suspect && is_shadow(name.as_str().as_bytes())) || value.len() != value.trim_ascii().len()
}

/// A length in its one form: servers differ in how they read `5, 5`, `+5` or `005`.
fn is_plain_length(length: &HeaderValue) -> bool {
    let length = length.as_bytes();
    let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    is_number && (length.len() == 1 || length.first() != Some(&b'0'))
}
