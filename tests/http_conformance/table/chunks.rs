//! Chunks (RFC 9112 section 7.1) that are none. All of a message comes at once, so that none of it reaches a server.

use super::{BAD_END, BAD_FIELD, BAD_FRAMING, TOO_LARGE};
use crate::message::Message;

const SIZES: [(&str, &str); 27] = [
    ("0x", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("a plus", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a minus", "-5\r\nhello\r\n0\r\n\r\n"),
    ("minus zero", "-0\r\n\r\n"),
    ("a space behind", "5 \r\nhello\r\n0\r\n\r\n"),
    ("a tab behind", "5\t\r\nhello\r\n0\r\n\r\n"),
    ("a space before", " 5\r\nhello\r\n0\r\n\r\n"),
    ("an underscore", "5_\r\nhello\r\n0\r\n\r\n"),
    ("an underscore between", "0_5\r\nhello\r\n0\r\n\r\n"),
    ("a letter that is no digit", "g\r\nhello\r\n0\r\n\r\n"),
    ("an h behind", "5h\r\nhello\r\n0\r\n\r\n"),
    ("empty", "\r\nhello\r\n0\r\n\r\n"),
    ("only an extension", ";x\r\nhello\r\n0\r\n\r\n"),
    ("a comma", "5,5\r\nhello\r\n0\r\n\r\n"),
    ("a point", "5.0\r\nhello\r\n0\r\n\r\n"),
    ("quoted", "\"5\"\r\nhello\r\n0\r\n\r\n"),
    ("2 to the 64th", "10000000000000000\r\nhello\r\n0\r\n\r\n"),
    (
        "2 to the 64th and five",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "2 to the 64th less one",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    ),
    ("17 digits", "fffffffffffffffff\r\nhello"),
    (
        "many zeros before it",
        "0000000000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    ("shorter than its chunk", "4\r\nhello\r\n0\r\n\r\n"),
    ("longer than its chunk", "6\r\nhello\r\n0\r\n\r\n"),
    ("no line end behind the chunk", "5\r\nhello0\r\n\r\n"),
    (
        "two line ends behind the chunk",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
    ),
    ("NUL", "5\0\r\nhello\r\n0\r\n\r\n"),
    ("a vertical tab behind", "5\u{b}\r\nhello\r\n0\r\n\r\n"),
];

const EXTENSIONS: [(&str, &str, &str); 7] = [
    ("NUL", "attack class S8", "5;\0x\r\nhello\r\n0\r\n\r\n"),
    (
        "a control",
        "attack class S8",
        "5;x\u{1}\r\nhello\r\n0\r\n\r\n",
    ),
    ("CR", "attack class S8", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("CR CR LF", "attack class S8", "5;a\r\r\nhello\r\n0\r\n\r\n"),
    ("DEL", "attack class S8", "5;\u{7f}\r\nhello\r\n0\r\n\r\n"),
    ("NUL in the last chunk", "attack class S8", "0;\0\r\n\r\n"),
    (
        "a control in a quoted text",
        "attack class S8",
        "5;a=\"\u{1b}\"\r\nhello\r\n0\r\n\r\n",
    ),
];

/// LF where CR LF must be.
const LINE_FEEDS: [(&str, &str, &str); 9] = [
    ("behind the size", "CVE-2025-22871", "5\nhello\r\n0\r\n\r\n"),
    ("everywhere", "CVE-2025-22871", "5\nhello\n0\n\n"),
    (
        "behind an extension",
        "CVE-2025-22871",
        "5;\nhello\r\n0\r\n\r\n",
    ),
    (
        "within a quoted extension",
        "CVE-2025-22871",
        "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "behind the last size",
        "CVE-2025-22871",
        "5\r\nhello\r\n0\n\r\n",
    ),
    (
        "behind the last line",
        "RFC 9112 section 7.1",
        "5\r\nhello\r\n0\r\n\n",
    ),
    (
        "behind a trailer",
        "RFC 9112 section 7.1.2",
        "0\r\nX: y\n\r\n",
    ),
    (
        "behind a size that hides a request",
        "attack class S8",
        "0\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "behind an extension that hides a chunk",
        "attack class S8",
        "2;\nxx\r\n4c\r\n0\r\n\r\n",
    ),
];

const TRAILERS: [(&str, &str); 7] = [
    ("no colon", "0\r\nno colon\r\n\r\n"),
    ("a space before the colon", "0\r\nX : y\r\n\r\n"),
    ("a fold", "0\r\nX: y\r\n z\r\n\r\n"),
    ("NUL", "0\r\nX: \0\r\n\r\n"),
    ("no name", "0\r\n: y\r\n\r\n"),
    (
        "a name that shadows one of framing",
        "0\r\nContent_Length: 5\r\n\r\n",
    ),
    ("a request line", "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
];

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

/// Lines that are too long.
fn long() -> Vec<Message> {
    let (ext, line) = (
        "x".repeat(65_536),
        "X: 0123456789012345678901234567890123456789\r\n",
    );
    let refused = |name: &'static str, expected, body: String| {
        Message::refused(
            name,
            "CVE-2023-39326; attack class S8",
            expected,
            post(&body),
        )
    };
    let short = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(2048));
    // More than is read at once: the head is on its way by then.
    let trailers = [
        refused(
            "a trailer of 64 KB",
            TOO_LARGE,
            format!("0\r\nX: {ext}\r\n\r\n"),
        ),
        refused(
            "a thousand trailers",
            TOO_LARGE,
            format!("0\r\n{}\r\n", line.repeat(1000)),
        ),
    ];
    let extensions = [
        refused("an extension of 2 KB", BAD_FRAMING, short),
        refused(
            "an extension of 64 KB",
            BAD_FRAMING,
            format!("5;{ext}\r\nhello\r\n0\r\n\r\n"),
        ),
        refused(
            "an extension without an end",
            BAD_FRAMING,
            format!("5;{ext}"),
        ),
    ];
    extensions
        .into_iter()
        .chain(trailers.map(Message::in_the_midst))
        .collect()
}

pub(super) fn all() -> Vec<Message> {
    let sizes = SIZES.map(|(name, body)| {
        let source = "attack class S9; RFC 9112 section 7.1";
        Message::refused(
            format!("chunk size: {name}"),
            source,
            BAD_FRAMING,
            post(body),
        )
    });
    let extensions = EXTENSIONS.map(|(name, source, body)| {
        Message::refused(
            format!("chunk extension: {name}"),
            source,
            BAD_FRAMING,
            post(body),
        )
    });
    let line_feeds = LINE_FEEDS.map(|(name, source, body)| {
        Message::refused(format!("LF in a body: {name}"), source, BAD_END, post(body))
    });
    let trailers = TRAILERS.map(|(name, body)| {
        Message::refused(
            format!("trailer: {name}"),
            "RFC 9112 section 7.1.2",
            BAD_FIELD,
            post(body),
        )
    });
    let groups = [
        Vec::from(sizes),
        extensions.into(),
        line_feeds.into(),
        trailers.into(),
        long(),
    ];
    groups.into_iter().flatten().collect()
}
