//! Bodies that pass, in either framing.

use crate::message::Message;

const CHUNKED: &str = "Transfer-Encoding: chunked";

/// Fields, body as sent, content.
const BODIES: [(&str, &str, &str, &str); 17] = [
    ("length 0", "Content-Length: 0", "", ""),
    ("length 5", "Content-Length: 5", "hello", "hello"),
    (
        "a length in lower case",
        "content-length: 5",
        "hello",
        "hello",
    ),
    (
        "a length without a space",
        "Content-Length:5",
        "hello",
        "hello",
    ),
    (
        "a length in white space",
        "Content-Length: \t5\t ",
        "hello",
        "hello",
    ),
    (
        "line ends in a body",
        "Content-Length: 4",
        "\r\n\r\n",
        "\r\n\r\n",
    ),
    (
        "a request in a body",
        "Content-Length: 18",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ),
    ("one chunk", CHUNKED, "5\r\nhello\r\n0\r\n\r\n", "hello"),
    ("no chunk", CHUNKED, "0\r\n\r\n", ""),
    (
        "two chunks",
        CHUNKED,
        "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "hello",
    ),
    (
        "a size in upper case",
        CHUNKED,
        "A\r\n0123456789\r\n0\r\n\r\n",
        "0123456789",
    ),
    (
        "a size with zeros before it",
        CHUNKED,
        "005\r\nhello\r\n000\r\n\r\n",
        "hello",
    ),
    (
        "a chunk extension",
        CHUNKED,
        "5;a=b\r\nhello\r\n0\r\n\r\n",
        "hello",
    ),
    (
        "a chunk extension with a quoted text",
        CHUNKED,
        "5 ; a=\"b c\"\r\nhello\r\n0;x\r\n\r\n",
        "hello",
    ),
    (
        "a request in a chunk",
        CHUNKED,
        "12\r\nGET / HTTP/1.1\r\n\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ),
    (
        "a coding in upper case",
        "Transfer-Encoding: CHUNKED",
        "5\r\nhello\r\n0\r\n\r\n",
        "hello",
    ),
    (
        "a coding in white space",
        "Transfer-Encoding: \t chunked \t",
        "5\r\nhello\r\n0\r\n\r\n",
        "hello",
    ),
];

/// Trailers that must not reach a server.
const TRAILERS: [(&str, &str); 5] = [
    ("a trailer", "X: y"),
    ("a length in a trailer", "Content-Length: 5"),
    ("a coding in a trailer", "Transfer-Encoding: chunked"),
    ("a host in a trailer", "Host: b"),
    ("a credential in a trailer", "Authorization: Basic YTpi"),
];

/// As a server gets the field.
fn normal(field: &str) -> String {
    match field.split_once(':').unwrap() {
        (name, value) if name.eq_ignore_ascii_case("transfer-encoding") => {
            format!("{name}: {}", value.trim().to_ascii_lowercase())
        }
        (name, value) => format!("{name}: {}", value.trim()),
    }
}

pub(super) fn all() -> Vec<Message> {
    let post =
        |field: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n{body}");
    let bodies = BODIES.map(|(name, field, body, content)| {
        let head = post(&normal(field), "");
        Message::forwarded(
            format!("body: {name}"),
            "RFC 9112 section 6",
            post(field, body),
            &head,
            content,
        )
    });
    let trailers = TRAILERS.map(|(name, trailer)| {
        let sent = post(CHUNKED, &format!("5\r\nhello\r\n0\r\n{trailer}\r\n\r\n"));
        let source = "attack class S10; RFC 9110 section 6.5.1";
        Message::forwarded(name, source, sent, &post(CHUNKED, ""), "hello")
    });
    let large = "x".repeat(300_000);
    let chunked: String = large
        .as_bytes()
        .chunks(7001)
        .map(|part| format!("{:x}\r\n{}\r\n", part.len(), "x".repeat(part.len())))
        .collect();
    let large = [
        (
            "300 KB with a length",
            format!("Content-Length: {}", large.len()),
            large.clone(),
        ),
        (
            "300 KB in chunks",
            CHUNKED.to_owned(),
            chunked + "0\r\n\r\n",
        ),
    ]
    .map(|(name, field, body)| {
        Message::forwarded(
            name,
            "RFC 9112 section 6",
            post(&field, &body),
            &post(&field, ""),
            large.clone(),
        )
    });
    bodies.into_iter().chain(trailers).chain(large).collect()
}
