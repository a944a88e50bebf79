use bytes::Bytes;
use http::Version;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use crate::ports::telemetry::Reason;
use crate::strict::Rule;

/// The machine-readable reason of an error.
pub(super) fn reason(error: &Error) -> Reason {
    use ErrorType::*;
    match (error.esource(), error.etype()) {
        (_, ConnectTimedout) => Reason::ConnectTimeout,
        (_, ConnectRefused | ConnectNoRoute | ConnectError | SocketError | BindError) => {
            Reason::ConnectFailed
        }
        (ErrorSource::Downstream, InvalidHTTPHeader) => Reason::BadRequestFraming,
        (ErrorSource::Downstream, _) => Reason::ClientAborted,
        (ErrorSource::Upstream, ReadTimedout | WriteTimedout) => Reason::UpstreamTimeout,
        (ErrorSource::Upstream, ReadError | WriteError | ConnectionClosed) => Reason::UpstreamReset,
        (ErrorSource::Upstream, _) => Reason::UpstreamInvalidResponse,
        _ => Reason::Internal,
    }
}

/// Whether nothing but the connection's end tells where this response ends: RFC 9112 section 6.3, rule 8.
pub(super) fn ends_with_connection(session: &Session, head: &ResponseHeader) -> bool {
    let is_framed = |head: &ResponseHeader| {
        head.headers.contains_key(CONTENT_LENGTH) || head.headers.contains_key(TRANSFER_ENCODING)
    };
    !session.is_http2() && session.req_header().version == Version::HTTP_10 && !is_framed(head)
}

/// Whether there is nobody left to answer.
pub(super) fn is_client_gone(error: &Error) -> bool {
    *error.esource() == ErrorSource::Downstream && *error.etype() != ErrorType::InvalidHTTPHeader
}

/// Answers in our own name: a short text with the reason. The connection is kept if the request has
/// no body: one that was not read could not be told from the next request.
pub(super) async fn respond(
    session: &mut Session,
    reason: Reason,
    rule: Option<Rule>,
) -> Result<()> {
    let status = reason.status();
    let text = match rule {
        Some(rule) => format!(
            "{status} {}\n{} ({})\n",
            reason.as_str(),
            rule.text(),
            rule.source()
        ),
        None => format!("{status} {}\n", reason.as_str()),
    };
    let body = Bytes::from(text);
    let mut head = ResponseHeader::build(status, Some(5))?;
    if status == 405 {
        head.insert_header("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")?;
    }
    head.insert_header(http::header::CONTENT_TYPE, "text/plain; charset=utf-8")?;
    head.insert_header(http::header::CONTENT_LENGTH, body.len())?;
    head.insert_header(http::header::CACHE_CONTROL, "no-store")?;
    if status == 400 || !session.as_mut().is_body_empty() {
        session.set_keepalive(None);
    }
    let has_body = session.req_header().method != http::Method::HEAD;
    session
        .write_response_header(Box::new(head), !has_body)
        .await?;
    if has_body {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}
