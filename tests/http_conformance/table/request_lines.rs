//! Request lines (RFC 9112 section 3) and the ends of lines (section 2.2).

use super::{BAD_END, BAD_LINE, BAD_METHOD};
use crate::message::Message;

const LINES: [(&str, &str, &str); 27] = [
    (
        "two spaces behind the method",
        "RFC 9112 section 3",
        "GET  / HTTP/1.1",
    ),
    (
        "two spaces before the version",
        "RFC 9112 section 3",
        "GET /  HTTP/1.1",
    ),
    (
        "a tab behind the method",
        "RFC 9112 section 3",
        "GET\t/ HTTP/1.1",
    ),
    (
        "a tab before the version",
        "RFC 9112 section 3",
        "GET /\tHTTP/1.1",
    ),
    (
        "a space before the method",
        "RFC 9112 section 3",
        " GET / HTTP/1.1",
    ),
    (
        "a space behind the version",
        "RFC 9112 section 3",
        "GET / HTTP/1.1 ",
    ),
    (
        "a vertical tab behind the method",
        "RFC 9112 section 3",
        "GET\u{b}/ HTTP/1.1",
    ),
    (
        "a form feed before the version",
        "RFC 9112 section 3",
        "GET /\u{c}HTTP/1.1",
    ),
    (
        "a space within the target",
        "attack class R7",
        "GET /a b HTTP/1.1",
    ),
    (
        "a request within the target",
        "attack class R7",
        "GET / HTTP/1.1 GET /b HTTP/1.1",
    ),
    (
        "a word behind the version",
        "RFC 9112 section 3",
        "GET / HTTP/1.1 x",
    ),
    ("no version: HTTP/0.9", "RFC 9112 section 2.3", "GET /"),
    ("no target", "RFC 9112 section 3", "GET HTTP/1.1"),
    ("a method alone", "RFC 9112 section 3", "GET"),
    ("version 0.9", "RFC 9112 section 2.3", "GET / HTTP/0.9"),
    ("version 1.2", "RFC 9112 section 2.3", "GET / HTTP/1.2"),
    ("version 2.0", "RFC 9112 section 2.3", "GET / HTTP/2.0"),
    ("version 3.7", "RFC 9112 section 2.3", "GET / HTTP/3.7"),
    (
        "a version with two digits",
        "RFC 9112 section 2.3",
        "GET / HTTP/1.10",
    ),
    (
        "a version with a leading zero",
        "RFC 9112 section 2.3",
        "GET / HTTP/01.1",
    ),
    (
        "a version without its minor part",
        "RFC 9112 section 2.3",
        "GET / HTTP/1",
    ),
    (
        "a version in lower case",
        "RFC 9112 section 2.3",
        "GET / http/1.1",
    ),
    ("another protocol", "RFC 9112 section 2.3", "GET / ICY/1.1"),
    (
        "a byte behind the version",
        "RFC 9112 section 2.3",
        "GET / HTTP/1.1x",
    ),
    (
        "the method is no token",
        "RFC 9110 section 9.1",
        "G(T / HTTP/1.1",
    ),
    (
        "the method has a control",
        "RFC 9110 section 9.1",
        "GE\u{1}T / HTTP/1.1",
    ),
    (
        "the method has a byte above ASCII",
        "RFC 9110 section 9.1",
        "G\u{cb}T / HTTP/1.1",
    ),
];

const METHODS: [(&str, &str, &str); 7] = [
    (
        "TRACE in lower case",
        "attack class S12; RFC 9110 section 9.3.8",
        "trace / HTTP/1.1",
    ),
    (
        "CONNECT in odd case",
        "attack class S12; RFC 9110 section 9.3.6",
        "Connect / HTTP/1.1",
    ),
    (
        "TRACE",
        "attack class S12; RFC 9110 section 9.3.8",
        "TRACE / HTTP/1.1",
    ),
    (
        "CONNECT",
        "attack class S12; RFC 9110 section 9.3.6",
        "CONNECT a:443 HTTP/1.1",
    ),
    (
        "CONNECT with a path",
        "CVE-2026-73548",
        "CONNECT / HTTP/1.1",
    ),
    (
        "CONNECT in HTTP/1.0",
        "CVE-2026-71324",
        "CONNECT a:443 HTTP/1.0",
    ),
    (
        "TRACE with a URI",
        "RFC 9110 section 9.3.8",
        "TRACE http://a/ HTTP/1.1",
    ),
];

/// Whole messages.
const ENDS: [(&str, &str, &[u8]); 16] = [
    (
        "only LF",
        "RFC 9112 section 2.2",
        b"GET / HTTP/1.1\nHost: a\n\n",
    ),
    (
        "LF behind the request line",
        "RFC 9112 section 2.2",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    ),
    (
        "LF behind a field",
        "RFC 9112 section 2.2",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    ),
    (
        "LF behind the head",
        "RFC 9112 section 2.2",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    ),
    (
        "LF LF within the head",
        "RFC 9112 section 2.2",
        b"GET / HTTP/1.1\r\nHost: a\n\nGET /b HTTP/1.1\r\n\r\n",
    ),
    (
        "LF before the request line",
        "RFC 9112 section 2.2",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "LF within a value",
        "RFC 9110 section 5.5",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n",
    ),
    (
        "CR within a value",
        "RFC 9112 section 2.2",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
    ),
    (
        "CR CR LF behind a field",
        "RFC 9112 section 2.2",
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
    ),
    (
        "CR for a line end",
        "RFC 9112 section 2.2",
        b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    ),
    (
        "CR behind the version",
        "RFC 9112 section 2.2",
        b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
    ),
    (
        "CR behind the method",
        "RFC 9112 section 2.2",
        b"GET\r / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "CR hides a length",
        "attack class S3",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: b\rContent-Length: 5\r\n\r\nhello",
    ),
    (
        "LF hides a coding",
        "attack class S3",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "LF behind the length",
        "attack class S5",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\n\r\nhello",
    ),
    (
        "LF behind the coding",
        "attack class S3",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\n\r\n0\r\n\r\n",
    ),
];

pub(super) fn all() -> Vec<Message> {
    let with_host = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    let lines =
        LINES.map(|(name, source, line)| Message::refused(name, source, BAD_LINE, with_host(line)));
    let methods = METHODS
        .map(|(name, source, line)| Message::refused(name, source, BAD_METHOD, with_host(line)));
    // The request line is split before its end is looked at.
    let ends = ENDS.map(|(name, source, bytes)| {
        let expected = match name {
            "CR behind the version" | "CR behind the method" => BAD_LINE,
            _ => BAD_END,
        };
        Message::refused(name, source, expected, bytes)
    });
    lines.into_iter().chain(methods).chain(ends).collect()
}
