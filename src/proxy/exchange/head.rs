use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderValue, Method, StatusCode, Version};
use pingora_core::Result;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::super::{Proxy, RequestCtx, forward, hop_by_hop};

/// What a server of HTTP/1 is told: the client's head without what concerned its connection alone, with what we add.
pub(super) fn of_request(
    proxy: &Proxy,
    session: &mut Session,
    ctx: &RequestCtx,
) -> Result<Box<RequestHeader>> {
    let mut head = Box::new(session.req_header().clone());
    head.set_version(Version::HTTP_11);
    hop_by_hop::remove_from_request(&mut head);
    forward::request(session, &mut head, ctx, proxy.settings.scheme)?;
    proxy.settings.loops.mark(&mut head, ctx)?;
    if ctx.asks_for_tunnel {
        head.insert_header(CONNECTION, HeaderValue::from_static("Upgrade"))?;
        head.insert_header(UPGRADE, HeaderValue::from_static("websocket"))?;
    }
    if !session.as_mut().is_body_empty() && !head.headers.contains_key(CONTENT_LENGTH) {
        head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    Ok(head)
}

/// A response whose length the server does not tell has chunks: RFC 9112 section 6.3.
pub(super) fn frame(session: &Session, head: &mut ResponseHeader, is_end: bool) -> Result<()> {
    let has_body = session.req_header().method != Method::HEAD
        && !is_end
        && !head.status.is_informational()
        && !matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    let is_framed = |head: &ResponseHeader| {
        head.headers.contains_key(TRANSFER_ENCODING) || head.headers.contains_key(CONTENT_LENGTH)
    };
    if has_body && !is_framed(head) {
        head.set_version(Version::HTTP_11);
        head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    Ok(())
}
