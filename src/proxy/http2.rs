use http::header::{CONTENT_LENGTH, EXPECT};
use http::{Method, StatusCode, Version};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

/// The last of a request to a server of HTTP/2.
pub(super) async fn send(session: &mut Session, request: &mut RequestHeader) -> Result<()> {
    if request.version != Version::HTTP_2 {
        let why = "the server does not agree to HTTP/2 by ALPN";
        return Err(Error::explain(ErrorType::TLSHandshakeFailure, why).into_up());
    }
    // Pingora passes no interim response on from HTTP/2, so that the client is told here to go on.
    if request.remove_header(&EXPECT).is_some() {
        session.as_mut().write_continue_response().await?;
    }
    Ok(())
}

/// Pingora frames what has no length as chunks, which HTTP/1.0 does not know.
pub(super) fn receive(session: &Session, response: &ResponseHeader) -> Result<()> {
    let has_length = response.headers.contains_key(CONTENT_LENGTH)
        || session.req_header().method == Method::HEAD
        || matches!(
            response.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    if session.req_header().version == Version::HTTP_10 && !has_length {
        return Error::e_explain(UNFRAMED, "a body without a length for HTTP/1.0");
    }
    Ok(())
}

/// A body that the client's version of HTTP cannot frame.
pub(super) const UNFRAMED: ErrorType = ErrorType::Custom("Unframed");
