//! grpc.health.v1: one call of `Check` over HTTP/2 ("GRPC Health Checking Protocol").

use std::pin::pin;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use tokio::time::timeout;

use super::Failure;
use super::raw::Wire;

/// Whether the service of this name says that it serves; the empty name is the whole server.
pub(super) async fn check(
    wire: Box<dyn Wire>,
    scheme: &str,
    authority: &str,
    service: &str,
) -> Result<(), Failure> {
    let request = request(scheme, authority).ok_or(Failure::Unsendable)?;
    let mut settings = h2::client::Builder::new();
    settings
        .enable_push(false)
        .max_header_list_size(LONGEST_HEAD);
    let (sender, connection) = settings.handshake(wire).await.map_err(failure)?;
    let mut connection = Box::pin(connection);
    let mut call = pin!(call(sender, request, message(service)));
    tokio::select! {
        biased;
        answer = &mut call => {
            // A connection that just ended would stand as broken in the server's log. Nothing is waited for but our own last bytes.
            let _said = timeout(GOODBYE, connection).await;
            answer
        }
        _ = &mut connection => {
            // The call hears of some ends only when the connection goes. What has come before is there all the same.
            drop(connection);
            call.await
        }
    }
}

async fn call(
    sender: SendRequest<Bytes>,
    request: Request<()>,
    message: Bytes,
) -> Result<(), Failure> {
    let mut sender = sender.ready().await.map_err(failure)?;
    let (response, mut stream) = sender.send_request(request, false).map_err(failure)?;
    drop(sender);
    stream.send_data(message, true).map_err(failure)?;
    let (head, mut body) = response.await.map_err(failure)?.into_parts();
    if head.status != StatusCode::OK {
        return Err(Failure::Status(head.status.as_u16()));
    }
    // An answer without a message has the call's status where others have it behind the message.
    judge_call(&head.headers, false)?;
    let mut answer = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part.map_err(failure)?;
        if answer.len() + part.len() > LONGEST_MESSAGE {
            return Err(Failure::NotGrpc);
        }
        body.flow_control()
            .release_capacity(part.len())
            .map_err(failure)?;
        answer.extend_from_slice(&part);
    }
    let trailers = body.trailers().await.map_err(failure)?;
    judge_call(&trailers.unwrap_or_default(), true)?;
    match status(&answer).ok_or(Failure::NotGrpc)? {
        SERVING => Ok(()),
        0 => Err(Failure::Health("UNKNOWN")),
        2 => Err(Failure::Health("NOT_SERVING")),
        3 => Err(Failure::Health("SERVICE_UNKNOWN")),
        _ => Err(Failure::NotGrpc),
    }
}

fn request(scheme: &str, authority: &str) -> Option<Request<()>> {
    let uri = format!("{scheme}://{authority}/grpc.health.v1.Health/Check");
    let request = Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", super::http::USER_AGENT);
    request.body(()).ok()
}

/// A `HealthCheckRequest { string service = 1; }` in gRPC's frame: not compressed, and its length.
fn message(service: &str) -> Bytes {
    let mut text = BytesMut::new();
    if !service.is_empty() {
        text.put_u8(1 << 3 | LENGTH_DELIMITED);
        let mut length = service.len();
        while length > 0x7f {
            text.put_u8(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
            length >>= 7;
        }
        text.put_u8(u8::try_from(length).unwrap_or_default());
        text.put_slice(service.as_bytes());
    }
    let mut message = BytesMut::new();
    message.put_u8(0);
    message.put_u32(u32::try_from(text.len()).unwrap_or_default());
    message.put(text);
    message.freeze()
}

/// The call's own status, which must be there in the end.
fn judge_call(headers: &HeaderMap, is_end: bool) -> Result<(), Failure> {
    let Some(status) = headers.get("grpc-status") else {
        return if is_end {
            Err(Failure::NotGrpc)
        } else {
            Ok(())
        };
    };
    let number = status
        .to_str()
        .ok()
        .and_then(|text| text.parse::<usize>().ok());
    match number.and_then(|number| CALL_STATUSES.get(number)) {
        Some(&"OK") => Ok(()),
        Some(name) => Err(Failure::Call(name)),
        None => Err(Failure::NotGrpc),
    }
}

/// The status in a `HealthCheckResponse { ServingStatus status = 1; }`, behind gRPC's frame.
fn status(answer: &[u8]) -> Option<u64> {
    let (frame, mut text) = answer.split_at_checked(5)?;
    let [0, length @ ..] = frame else { return None };
    let length = u32::from_be_bytes(length.try_into().ok()?);
    if usize::try_from(length) != Ok(text.len()) {
        return None;
    }
    // protobuf: what is not there is 0, and the last one counts.
    let mut status = 0;
    while !text.is_empty() {
        let key = varint(&mut text)?;
        let skipped = match key & 7 {
            0 => {
                let value = varint(&mut text)?;
                if key >> 3 == 1 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => varint(&mut text)?,
            5 => 4,
            _ => return None,
        };
        text = text.get(usize::try_from(skipped).ok()?..)?;
    }
    Some(status)
}

fn varint(text: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = text.split_first()?;
        *text = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn failure(error: h2::Error) -> Failure {
    match error.is_io() {
        true => Failure::Broken(error.to_string()),
        false => Failure::NotGrpc,
    }
}

const SERVING: u64 = 1;
const LENGTH_DELIMITED: u8 = 2;
const LONGEST_HEAD: u32 = 64 * 1024;
/// A status has two bytes and its frame five.
const LONGEST_MESSAGE: usize = 1024;
const GOODBYE: Duration = Duration::from_millis(50);
/// By their numbers, as "Status codes and their use in gRPC" has them.
const CALL_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_service() {
        assert_eq!(&*message(""), [0, 0, 0, 0, 0]);
        assert_eq!(&*message("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = message(&"x".repeat(300));
        assert_eq!(long.get(..8).unwrap(), [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
    }

    #[test]
    fn a_status_is_found_among_fields_of_later_versions() {
        let framed = |text: &[u8]| [&[0, 0, 0, 0, text.len() as u8], text].concat();
        for (text, expected) in [
            (&[][..], Some(0)),
            (&[8, 1], Some(1)),
            (&[8, 1, 8, 2], Some(2)),
            (&[0x12, 2, 8, 3, 0x1d, 8, 3, 0, 0, 8, 1], Some(1)),
            (&[8], None),
            (&[8, 0x80], None),
            (&[0x12, 200], None),
            (&[0x0b], None),
        ] {
            assert_eq!(status(&framed(text)), expected, "{text:?}");
        }
        assert_eq!(status(&[1, 0, 0, 0, 2, 8, 1]), None, "compressed");
        assert_eq!(status(&[0, 0, 0, 0, 3, 8, 1]), None, "cut");
        assert_eq!(status(b""), None);
    }
}
