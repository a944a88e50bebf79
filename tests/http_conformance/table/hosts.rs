//! Host (RFC 9112 section 3.2).

use super::{BAD_FIELD, BAD_HOST};
use crate::message::Message;

const SOURCE: &str = "attack class R1; RFC 9112 section 3.2";

const REFUSED: [(&str, &str); 27] = [
    ("none", ""),
    ("empty", "Host:\r\n"),
    ("only white space", "Host: \t \r\n"),
    ("twice the same", "Host: a\r\nHost: a\r\n"),
    ("twice", "Host: a\r\nHost: b\r\n"),
    ("twice in two cases", "Host: a\r\nHOST: b\r\n"),
    ("a list", "Host: a, b\r\n"),
    ("a list without a space", "Host: a,b\r\n"),
    ("two words", "Host: a b\r\n"),
    ("a user", "Host: u@a\r\n"),
    ("a user and a password", "Host: u:p@a\r\n"),
    ("a path", "Host: a/b\r\n"),
    ("a backslash", "Host: a\\b\r\n"),
    ("a query", "Host: a?b\r\n"),
    ("a fragment", "Host: a#b\r\n"),
    ("an URI", "Host: http://a\r\n"),
    ("a port that is none", "Host: a:x\r\n"),
    ("a negative port", "Host: a:-80\r\n"),
    ("a port of six digits", "Host: a:000080\r\n"),
    ("a port above 65535", "Host: a:65536\r\n"),
    ("an escaped NUL", "Host: a%00b\r\n"),
    ("an escaped dot", "Host: a%2eb\r\n"),
    ("two ports", "Host: a:80:81\r\n"),
    ("only a port", "Host: :80\r\n"),
    ("an address with an open bracket", "Host: [::1\r\n"),
    (
        "an address with a letter that is no digit",
        "Host: [::g]\r\n",
    ),
    ("a name behind an address", "Host: [::1]a\r\n"),
];

/// A Host with a byte that no field value has.
const CONTROLS: [(&str, &str); 3] = [
    ("NUL", "Host: a\0b\r\n"),
    ("a control", "Host: a\u{1}\r\n"),
    ("DEL", "Host: a\u{7f}\r\n"),
];

/// Sent, and as the server gets it.
const PASSED: [(&str, &str, &str); 9] = [
    ("a name", "Host: example.com", "Host: example.com"),
    ("a port", "Host: example.com:8080", "Host: example.com:8080"),
    ("an empty port", "Host: a:", "Host: a:"),
    ("an IPv4 address", "Host: 127.0.0.1", "Host: 127.0.0.1"),
    ("an IPv6 address", "Host: [::1]:80", "Host: [::1]:80"),
    ("an underscore", "Host: a_b.example", "Host: a_b.example"),
    ("upper case", "Host: EXAMPLE.com", "Host: example.com"),
    ("no white space", "Host:a", "Host: a"),
    ("white space around", "Host: \t a \t", "Host: a"),
];

pub(super) fn all() -> Vec<Message> {
    let get = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
    let refused = REFUSED.map(|(name, fields)| {
        Message::refused(format!("Host: {name}"), SOURCE, BAD_HOST, get(fields))
    });
    let controls = CONTROLS.map(|(name, fields)| {
        Message::refused(
            format!("Host: {name}"),
            "RFC 9110 section 5.5",
            BAD_FIELD,
            get(fields),
        )
    });
    let passed = PASSED.map(|(name, sent, expected)| {
        let head = format!("GET / HTTP/1.1\r\n{expected}\r\n");
        Message::forwarded(
            format!("Host passes: {name}"),
            SOURCE,
            get(&format!("{sent}\r\n")),
            &head,
            "",
        )
    });
    refused.into_iter().chain(controls).chain(passed).collect()
}
