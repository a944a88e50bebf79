use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Version;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora_core::protocols::http::ServerSession;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use crate::ports::client_connection::{Http2Connection, LATE_BODY, SLOW_READER};
use crate::ports::telemetry::Reason;
use crate::strict::Rule;

/// The machine-readable reason of an error.
pub(super) fn reason(error: &Error) -> Reason {
    use ErrorType::*;
    match (error.esource(), error.etype()) {
        (_, ConnectTimedout) => Reason::ConnectTimeout,
        (ErrorSource::Upstream, TLSHandshakeFailure | TLSHandshakeTimedout | InvalidCert) => {
            // Pingora keeps of rustls's error nothing but its text.
            match error.context.as_ref() {
                Some(context) if context.as_str().contains("invalid peer certificate") => {
                    Reason::UpstreamCertificate
                }
                _ => Reason::UpstreamTls,
            }
        }
        (_, ConnectRefused | ConnectNoRoute | ConnectError | SocketError | BindError) => {
            Reason::ConnectFailed
        }
        (ErrorSource::Downstream, InvalidHTTPHeader) => Reason::BadRequestFraming,
        (ErrorSource::Downstream, WriteTimedout) => Reason::ClientSlow,
        (ErrorSource::Downstream, _) if was_cut(error) => Reason::ClientSlow,
        (ErrorSource::Downstream, _) => Reason::ClientAborted,
        (_, Custom("Unframed")) => Reason::HttpVersion,
        (ErrorSource::Upstream, Custom("PingTimedout")) => Reason::UpstreamTimeout,
        (ErrorSource::Upstream, _) if is_tls_alert(error) => Reason::UpstreamTls,
        (ErrorSource::Upstream, _) if is_malformed(error) => Reason::UpstreamInvalidResponse,
        (ErrorSource::Upstream, H2Error) => Reason::UpstreamReset,
        (ErrorSource::Upstream, ReadTimedout | WriteTimedout) => Reason::UpstreamTimeout,
        (ErrorSource::Upstream, ReadError | WriteError | ConnectionClosed) => Reason::UpstreamReset,
        (ErrorSource::Upstream, _) => Reason::UpstreamInvalidResponse,
        _ => Reason::Internal,
    }
}

/// Whether the edge would wait no longer for the client: a time limit of the system's has a number.
fn was_cut(error: &Error) -> bool {
    let cause = error.root_cause();
    let of_http2 = cause.downcast_ref().and_then(h2::Error::get_io);
    let cause = cause.downcast_ref::<io::Error>().or(of_http2);
    cause.is_some_and(|cause| {
        cause.kind() == io::ErrorKind::TimedOut && cause.raw_os_error().is_none()
    })
}

/// Why the edge has cut a stream of HTTP/2, if it has. What Pingora says of a write that fails does not tell; the stream does.
pub(super) fn cut(session: &mut Session) -> Option<Reason> {
    let is_given_up = connection(session).is_some_and(Http2Connection::is_given_up);
    let ServerSession::H2(stream) = session.as_downstream_mut() else {
        return None;
    };
    if is_given_up {
        return Some(Reason::ClientSlow);
    }
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(end) = Pin::new(&mut stream.idle()).poll(&mut context) else {
        return None;
    };
    match end.map(u32::from) {
        Ok(LATE_BODY) => Some(Rule::BodyTimeout.into()),
        Ok(SLOW_READER) => Some(Reason::ClientSlow),
        Err(error) if was_cut(&error) => Some(Reason::ClientSlow),
        _ => None,
    }
}

fn connection(session: &Session) -> Option<&Http2Connection> {
    let digest = session.digest()?.proxy_digest.as_deref()?;
    Http2Connection::of(digest.user_data.as_deref()?)
}

/// Whether what came over HTTP/2 was none: its reader says so itself then, and not the server.
fn is_malformed(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<h2::Error>();
    cause.is_some_and(h2::Error::is_library)
}

/// Whether the server ended its side of TLS with a fatal alert. In TLS 1.3 it looks at our certificate when the handshake is
/// over for us (RFC 8446, section 4.4.2.4), so that what it says of it comes in place of its answer.
fn is_tls_alert(error: &Error) -> bool {
    // With its causes, of which rustls tells this one.
    error.to_string().contains("received fatal alert")
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
    if is_grpc(session) {
        return respond_grpc(session, reason);
    }
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
    if status == 503 {
        // Checks, and operators with a script, take about so long to bring something back.
        head.insert_header(http::header::RETRY_AFTER, "1")?;
    }
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

/// A client of gRPC looks for the status of its call, and takes everything else for a broken server.
pub(super) fn is_grpc(session: &Session) -> bool {
    let head = session.req_header();
    let kind = head.headers.get(http::header::CONTENT_TYPE);
    let rest = kind.and_then(|kind| kind.as_bytes().strip_prefix(b"application/grpc"));
    session.is_http2() && matches!(rest, Some([] | [b'+' | b';', ..]))
}

/// A response that is nothing but trailers, in the terms of gRPC's "HTTP2 protocol mapping".
fn respond_grpc(session: &mut Session, reason: Reason) -> Result<()> {
    let status = reason.status();
    let mut head = ResponseHeader::build(200, Some(3))?;
    head.insert_header(http::header::CONTENT_TYPE, "application/grpc")?;
    head.insert_header("grpc-status", grpc_status(status))?;
    let message = format!("{status} {}", reason.as_str());
    head.insert_header("grpc-message", message)?;
    match session.as_mut() {
        // The end of the stream is in the head itself, as it must be where that stands for trailers.
        ServerSession::H2(stream) => stream.write_response_header(Box::new(head), true),
        _ => Ok(()),
    }
}

/// The status of a call that failed with this HTTP status: gRPC's own table.
fn grpc_status(status: u16) -> &'static str {
    match status {
        400 => "13",                   // INTERNAL
        401 => "16",                   // UNAUTHENTICATED
        403 => "7",                    // PERMISSION_DENIED
        404 => "12",                   // UNIMPLEMENTED
        429 | 502 | 503 | 504 => "14", // UNAVAILABLE
        _ => "2",                      // UNKNOWN
    }
}
