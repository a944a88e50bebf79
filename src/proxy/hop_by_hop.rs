//! Fields that concern one connection alone: RFC 9110 section 7.6.1, and what older programs send.

use http::header::{
    CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::{RequestHeader, ResponseHeader};

/// What the edge has let pass nominates nothing that must stay.
pub(super) fn remove_from_request(head: &mut RequestHeader) {
    let is_ours = |name: &HeaderName| {
        is_hop_by_hop(name)
            || matches!(*name, CONNECTION | PROXY_AUTHORIZATION | TRANSFER_ENCODING)
            || *name == "http2-settings"
    };
    for name in nominated(&head.headers) {
        head.remove_header(&name);
    }
    // One look at each name that is there: most requests have none of these.
    while let Some(name) = head.headers.keys().find(|name| is_ours(name)).cloned() {
        head.remove_header(&name);
    }
}

/// Transfer-Encoding stays: Pingora frames by it.
pub(super) fn remove_from_response(head: &mut ResponseHeader) {
    let is_ours = |name: &HeaderName| is_hop_by_hop(name) || *name == CONNECTION;
    for name in nominated(&head.headers) {
        // Framing is never up to a nomination.
        if name != TRANSFER_ENCODING && name != CONTENT_LENGTH {
            head.remove_header(&name);
        }
    }
    // Most responses have Connection and no other.
    while let Some(name) = head.headers.keys().find(|name| is_ours(name)).cloned() {
        head.remove_header(&name);
    }
}

/// In both directions.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    match *name {
        TE | TRAILER | UPGRADE | PROXY_AUTHENTICATE => true,
        _ => matches!(name.as_str(), "keep-alive" | "proxy-connection"),
    }
}

/// The fields that a message says end here. Most say nothing but what becomes of the connection.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let nominates = |line: &&HeaderValue| {
        !line.as_bytes().eq_ignore_ascii_case(b"close")
            && !line.as_bytes().eq_ignore_ascii_case(b"keep-alive")
    };
    let lines = headers.get_all(CONNECTION).iter().filter(nominates);
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}
