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
    if head.headers.contains_key(TRANSFER_ENCODING) && had_content_length(session) {
        // RFC 9112 section 6.1: both together is how requests are smuggled.
        return Some(Reason::BadRequestFraming);
    }
    None
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
