//! Field lines (RFC 9112 section 5): names, values, folds, and names that servers take for others.

use super::{BAD_END, BAD_FIELD};
use crate::message::Message;

const LINES: [(&str, &str, &str); 18] = [
    ("no colon", "RFC 9112 section 5", "no colon"),
    ("a space before the colon", "RFC 9112 section 5.1", "X : y"),
    ("a tab before the colon", "RFC 9112 section 5.1", "X\t: y"),
    (
        "a space before the colon of a length",
        "attack class S5",
        "Content-Length : 5",
    ),
    (
        "a space before the colon of a coding",
        "attack class S3",
        "Transfer-Encoding : chunked",
    ),
    ("no name", "RFC 9112 section 5.1", ": y"),
    ("only a colon", "RFC 9112 section 5.1", ":"),
    (
        "a first field that is folded",
        "attack class S3; RFC 9112 section 2.2",
        " Transfer-Encoding: chunked",
    ),
    ("a fold", "RFC 9112 section 5.2", "X: y\r\n z"),
    ("a fold with a tab", "RFC 9112 section 5.2", "X: y\r\n\tz"),
    (
        "a fold that hides a coding",
        "attack class S3",
        "X: y\r\n Transfer-Encoding: chunked",
    ),
    ("a line of white space", "RFC 9112 section 2.2", " "),
    (
        "a folded white space",
        "RFC 9112 section 5.2",
        "X: y\r\n \t ",
    ),
    (
        "a nomination of X-Forwarded-For",
        "RFC 9110 section 7.6.1",
        "Connection: close, x-forwarded-for",
    ),
    (
        "a nomination of Host",
        "RFC 9110 section 7.6.1",
        "Connection: Host",
    ),
    (
        "a nomination of Content-Length",
        "RFC 9110 section 7.6.1",
        "Connection: Content-Length",
    ),
    (
        "a nomination that is no token",
        "RFC 9110 section 7.6.1",
        "Connection: \"X-Forwarded-For\"",
    ),
    (
        "ten nominations in two lines",
        "RFC 9110 section 7.6.1",
        "Connection: a, b, c, d, e\r\nConnection: f, g, h, i, j",
    ),
];

/// With `_` for `-`; the other form has `.`.
const SHADOWS: [&str; 13] = [
    "Content_Length",
    "content_length",
    "Transfer_Encoding",
    "X_Real_IP",
    "X_Forwarded_For",
    "X_Forwarded_Proto",
    "X_Forwarded_Host",
    "X_Forwarded_Port",
    "X_Forwarded_Server",
    "X_Request_ID",
    "X-Forwarded_For",
    "Content_Type",
    "CONTENT_LENGTH",
];

/// Every sign that no token has, and does not end one.
const NO_TOKEN: &[u8] = b"\"(),/;<=>?@[\\]{} \t";

fn with_field(line: &[u8]) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: a\r\n", line, b"\r\n\r\n"].concat()
}

pub(super) fn all() -> Vec<Message> {
    let mut all: Vec<_> = LINES
        .map(|(name, source, line)| {
            Message::refused(
                format!("field: {name}"),
                source,
                BAD_FIELD,
                with_field(line.as_bytes()),
            )
        })
        .into();
    for &byte in NO_TOKEN {
        let name = format!("a name with byte {byte:#04x}");
        let line = [b"X", &[byte][..], b"Y: z"].concat();
        all.push(Message::refused(
            name,
            "RFC 9110 section 5.1",
            BAD_FIELD,
            with_field(&line),
        ));
    }
    // Tab may stand in a value; LF ends a line, CR begins its end.
    for byte in (0..=0x1f)
        .chain([0x7f])
        .filter(|byte| !matches!(byte, 9 | 10))
    {
        let expected = if byte == b'\r' { BAD_END } else { BAD_FIELD };
        let line = [b"X: y", &[byte][..], b"z"].concat();
        let name = format!("a value with byte {byte:#04x}");
        all.push(Message::refused(
            name,
            "RFC 9110 section 5.5",
            expected,
            with_field(&line),
        ));
        if byte != b'\r' {
            let line = [b"X", &[byte][..], b"Y: z"].concat();
            let name = format!("a name with byte {byte:#04x}");
            all.push(Message::refused(
                name,
                "RFC 9110 section 5.1",
                BAD_FIELD,
                with_field(&line),
            ));
        }
    }
    for shadow in SHADOWS {
        for sign in ["_", "."] {
            let name = shadow.replace('_', sign);
            let line = format!("{name}: 5");
            let message = Message::refused(
                format!("the name {name}"),
                "attack class R5",
                BAD_FIELD,
                with_field(line.as_bytes()),
            );
            all.push(message);
        }
    }
    all
}
