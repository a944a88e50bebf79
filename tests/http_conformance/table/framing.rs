//! Content-Length and Transfer-Encoding (RFC 9112 section 6).

use super::{BAD_EXPECTATION, BAD_FIELD, BAD_FRAMING};
use crate::message::Message;

const LENGTHS: [(&str, &str); 22] = [
    ("folded", "\r\n 5"),
    ("with a plus", "+5"),
    ("with a minus", "-5"),
    ("minus zero", "-0"),
    ("hexadecimal", "0x5"),
    ("empty", ""),
    ("with a leading zero", "05"),
    ("many zeros", "000000000000"),
    ("a list", "5, 6"),
    ("a list of one and the same", "5, 5"),
    ("a list with nothing behind it", "5,"),
    ("a list with nothing before it", ",5"),
    ("two words", "5 5"),
    ("a fraction", "5.0"),
    ("an exponent", "5e0"),
    ("an underscore", "1_0"),
    ("a parameter", "5;x"),
    ("quoted", "\"5\""),
    ("2 to the 63rd", "9223372036854775808"),
    ("2 to the 64th and one", "18446744073709551617"),
    (
        "a hundred digits",
        "1111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111",
    ),
    ("a letter", "five"),
];

const CODINGS: [(&str, &str, &str); 23] = [
    ("folded", "RFC 9112 section 5.2", "\r\n chunked"),
    ("gzip", "RFC 9112 section 6.1", "gzip"),
    ("identity", "RFC 9112 section 6.1", "identity"),
    ("empty", "attack class S3", ""),
    ("gzip and chunked", "RFC 9112 section 6.1", "gzip, chunked"),
    ("chunked and gzip", "RFC 9112 section 6.3", "chunked, gzip"),
    (
        "chunked and identity",
        "attack class S3",
        "chunked, identity",
    ),
    (
        "identity and chunked",
        "attack class S3",
        "identity, chunked",
    ),
    (
        "chunked twice in one line",
        "RFC 9112 section 6.1",
        "chunked, chunked",
    ),
    ("a comma behind", "attack class S3", "chunked,"),
    ("a comma before", "attack class S3", ", chunked"),
    ("a letter before", "attack class S3", "xchunked"),
    ("a letter behind", "attack class S3", "chunkedx"),
    ("cut short", "attack class S3", "chunke"),
    ("a parameter", "RFC 9112 section 7", "chunked;q=1"),
    ("quoted", "attack class S3", "\"chunked\""),
    ("in single quotes", "attack class S3", "'chunked'"),
    ("two words", "attack class S3", "chunked chunked"),
    ("a no-break space", "attack class S3", "\u{a0}chunked"),
    ("a colon before", "attack class S3", ":chunked"),
    ("cow", "attack class S3", "cow"),
    (
        "a letter that folds to k",
        "attack class S3",
        "chun\u{212a}ed",
    ),
    ("trailers", "RFC 9112 section 6.1", "trailers"),
];

/// Fields together.
const TOGETHER: [(&str, &str, &str); 13] = [
    (
        "CL.TE",
        "CVE-2026-2835; attack class S1",
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
    ),
    (
        "TE.CL",
        "attack class S2",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ),
    (
        "CL.TE with a field between",
        "attack class S1",
        "Content-Length: 6\r\nX: y\r\nTransfer-Encoding: chunked",
    ),
    (
        "CL.TE with length 0",
        "attack class S6",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
    ),
    (
        "CL.TE with another coding",
        "attack class S1",
        "Content-Length: 6\r\nTransfer-Encoding: identity",
    ),
    (
        "two lengths",
        "attack class S5",
        "Content-Length: 5\r\nContent-Length: 6",
    ),
    (
        "two lengths that agree",
        "attack class S5",
        "Content-Length: 5\r\nContent-Length: 5",
    ),
    (
        "two lengths in two cases",
        "attack class S5",
        "Content-Length: 5\r\ncontent-length: 6",
    ),
    (
        "two lengths far apart",
        "attack class S5",
        "Content-Length: 5\r\nA: 1\r\nB: 2\r\nC: 3\r\nContent-Length: 0",
    ),
    (
        "two codings",
        "attack class S3",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ),
    (
        "two codings that differ",
        "attack class S3",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ),
    (
        "two codings, the second chunked",
        "attack class S3",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    ),
    (
        "two codings in two cases",
        "attack class S3",
        "Transfer-Encoding: chunked\r\ntransfer-encoding: x",
    ),
];

/// A control within the coding.
const CODING_CONTROLS: [(&str, &str); 5] = [
    (
        "a vertical tab before chunked",
        "Transfer-Encoding:\u{b}chunked",
    ),
    (
        "a form feed before chunked",
        "Transfer-Encoding:\u{c}chunked",
    ),
    ("NUL before chunked", "Transfer-Encoding: \0chunked"),
    ("NUL behind chunked", "Transfer-Encoding: chunked\0"),
    (
        "a control in the coding's name",
        "Transfer\u{1}Encoding: chunked",
    ),
];

const EXPECTATIONS: [(&str, &str); 7] = [
    ("folded", "\r\n 100-continue"),
    ("a word before", "y 100-continue"),
    ("a list", "100-continue, x"),
    ("another", "200-ok"),
    ("empty", ""),
    ("a parameter", "100-continue;x=1"),
    ("101", "101-continue"),
];

fn post(fields: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    )
}

pub(super) fn all() -> Vec<Message> {
    let lengths = LENGTHS.map(|(name, value)| {
        let source = "attack class S5; RFC 9110 section 8.6";
        Message::refused(
            format!("length: {name}"),
            source,
            BAD_FRAMING,
            post(&format!("Content-Length: {value}")),
        )
    });
    let codings = CODINGS.map(|(name, source, value)| {
        let bytes = post(&format!("Transfer-Encoding: {value}"));
        Message::refused(format!("coding: {name}"), source, BAD_FRAMING, bytes)
    });
    let together = TOGETHER
        .map(|(name, source, fields)| Message::refused(name, source, BAD_FRAMING, post(fields)));
    let controls = CODING_CONTROLS
        .map(|(name, field)| Message::refused(name, "attack class S3", BAD_FIELD, post(field)));
    let expectations = EXPECTATIONS.map(|(name, value)| {
        let source = "CVE-2025-32094; RFC 9110 section 10.1.1";
        let bytes = post(&format!("Content-Length: 5\r\nExpect: {value}"));
        Message::refused(
            format!("expectation: {name}"),
            source,
            BAD_EXPECTATION,
            bytes,
        )
    });
    let old = [
        (
            "a coding in HTTP/1.0",
            "CVE-2026-2835",
            "Transfer-Encoding: chunked",
        ),
        (
            "a coding and a length in HTTP/1.0",
            "CVE-2026-2835",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
        ),
        (
            "a coding in HTTP/1.0 that is kept",
            "attack class S4",
            "Connection: keep-alive\r\nTransfer-Encoding: chunked",
        ),
        (
            "identity in HTTP/1.0",
            "attack class S4",
            "Transfer-Encoding: identity",
        ),
    ]
    .map(|(name, source, fields)| {
        let bytes = post(fields).replacen("HTTP/1.1", "HTTP/1.0", 1);
        Message::refused(name, source, BAD_FRAMING, bytes)
    });
    let groups = [
        lengths.into_iter().collect(),
        codings.into(),
        together.into(),
        controls.into(),
        expectations.into(),
        Vec::from(old),
    ];
    groups.into_iter().flatten().collect()
}
