//! HTTP/2 heads (RFC 9113 section 8): what would become something else in HTTP/1.

use super::{BAD_FIELD, BAD_HOST, BAD_METHOD, BAD_TARGET, TOO_LARGE};
use crate::frames::{self, DATA, END_HEADERS, END_STREAM, WHOLE};
use crate::message::{Answer, Arrival, Expected, Message};

/// Pingora answers before the request is one of ours: without a reason, and not in the log.
const BY_PINGORA: (u16, &str) = (400, "");

/// RFC 9113 section 7.
const PROTOCOL_ERROR: u32 = 1;

type Field = (&'static [u8], &'static [u8]);

const METHOD: Field = (b":method", b"GET");
const SCHEME: Field = (b":scheme", b"http");
const AUTHORITY: Field = (b":authority", b"a");
const PATH: Field = (b":path", b"/");

const PLAIN: [Field; 4] = [METHOD, SCHEME, AUTHORITY, PATH];

fn get(fields: &[Field]) -> Vec<u8> {
    frames::connection(&[frames::headers(WHOLE, 1, fields)])
}

fn with(field: Field) -> Vec<Field> {
    [&PLAIN[..], &[field]].concat()
}

/// The same with another value of a pseudo-field.
fn instead(field: Field) -> Vec<Field> {
    PLAIN
        .map(|one| if one.0 == field.0 { field } else { one })
        .into()
}

fn without(name: &[u8]) -> Vec<Field> {
    PLAIN.into_iter().filter(|field| field.0 != name).collect()
}

/// One field more.
const BAD_FIELDS: [(&str, Field); 31] = [
    ("LF in a value", (b"x", b"a\nb")),
    ("CR in a value", (b"x", b"a\rb")),
    (
        "CR LF and a field in a value",
        (b"x", b"a\r\ntransfer-encoding: chunked"),
    ),
    (
        "CR LF and a request in a value",
        (b"x", b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"),
    ),
    ("NUL in a value", (b"x", b"a\0b")),
    ("a control in a value", (b"x", b"a\x1bb")),
    ("DEL in a value", (b"x", b"a\x7f")),
    ("a space before a value", (b"x", b" a")),
    ("a space behind a value", (b"x", b"a ")),
    ("LF in a name", (b"x\ny", b"a")),
    ("CR LF in a name", (b"x\r\ny: z\r\nw", b"a")),
    ("NUL in a name", (b"x\0", b"a")),
    ("a colon in a name", (b"x: y", b"a")),
    ("a colon behind a name", (b"x:", b"a")),
    ("a space in a name", (b"x y", b"a")),
    ("an upper case name", (b"X-Upper", b"a")),
    ("an empty name", (b"", b"a")),
    ("a byte above ASCII in a name", (b"x\xe4", b"a")),
    ("transfer-encoding", (b"transfer-encoding", b"chunked")),
    ("connection", (b"connection", b"keep-alive")),
    ("connection that nominates", (b"connection", b"x-real-ip")),
    ("keep-alive", (b"keep-alive", b"timeout=5")),
    ("proxy-connection", (b"proxy-connection", b"keep-alive")),
    ("upgrade", (b"upgrade", b"websocket")),
    ("te other than trailers", (b"te", b"gzip")),
    ("an unknown pseudo-field", (b":x", b"a")),
    ("the pseudo-field of responses", (b":status", b"200")),
    ("a pseudo-field behind a field", (b":path", b"/b")),
    (":protocol without CONNECT", (b":protocol", b"websocket")),
    ("content_length", (b"content_length", b"5")),
    ("x.real.ip", (b"x.real.ip", b"6.6.6.6")),
];

/// A pseudo-field with a value that ends its stream.
const RESET: [(&str, Field); 8] = [
    ("an empty :path", (b":path", b"")),
    ("a space in :path", (b":path", b"/a b")),
    ("CR LF in :path", (b":path", b"/ HTTP/1.1\r\nx: y")),
    ("NUL in :path", (b":path", b"/\0")),
    (":path without a slash", (b":path", b"a")),
    (":path is an URI", (b":path", b"http://b/")),
    ("a path in :authority", (b":authority", b"a/b")),
    ("a space in :authority", (b":authority", b"a b")),
];

/// A pseudo-field with a value that ends the connection.
const GONE: [(&str, Field); 3] = [
    ("an empty :method", (b":method", b"")),
    (":method is no token", (b":method", b"G T")),
    (
        ":method with CR LF",
        (b":method", b"GET / HTTP/1.1\r\nx: y\r\n"),
    ),
];

/// A pseudo-field with a value that is answered.
const ANSWERED: [(&str, Field, (u16, &str)); 9] = [
    (
        "a scheme that is not HTTP's",
        (b":scheme", b"ftp"),
        BAD_TARGET,
    ),
    ("a backslash in :path", (b":path", b"/a\\b"), BAD_TARGET),
    (":path is `*` with GET", (b":path", b"*"), BAD_TARGET),
    (":path above the root", (b":path", b"/../a"), BAD_TARGET),
    (":path with an escaped NUL", (b":path", b"/%00"), BAD_TARGET),
    (
        ":path with dots and a parameter",
        (b":path", b"/a/..;/b"),
        BAD_TARGET,
    ),
    ("a user in :authority", (b":authority", b"u@a"), BY_PINGORA),
    ("a list in :authority", (b":authority", b"a,b"), BAD_HOST),
    ("TRACE", (b":method", b"TRACE"), BAD_METHOD),
];

fn pseudo() -> Vec<Message> {
    let source = "attack class S14; RFC 9113 section 8.3";
    let behind =
        |field: Field| [&[(&b"x"[..], &b"y"[..])][..], &[field], &without(field.0)].concat();
    let before = |field: Field| [&[field][..], &PLAIN].concat();
    let resets = [
        ("no :method", without(b":method")),
        ("no :scheme", without(b":scheme")),
        ("no :path", without(b":path")),
        ("two :method", with(METHOD)),
        ("two :path", before(PATH)),
        ("two :authority", before(AUTHORITY)),
        (":method behind a field", behind(METHOD)),
        (":authority behind a field", behind(AUTHORITY)),
        (
            "CR LF in :authority",
            instead((b":authority", b"a\r\nx: y")),
        ),
    ];
    let two_hosts = [&with((b"host", b"a"))[..], &[(b"host", b"a")]].concat();
    let connect = vec![
        (&b":method"[..], &b"CONNECT"[..]),
        (b":authority", b"a:443"),
    ];
    let answers = [
        (
            "no :authority and no host",
            without(b":authority"),
            BY_PINGORA,
        ),
        (
            "host that is not :authority",
            with((b"host", b"b")),
            BY_PINGORA,
        ),
        ("two hosts", two_hosts, BY_PINGORA),
        ("CONNECT", connect, BAD_METHOD),
    ];
    let mut all: Vec<_> = resets
        .map(|(name, fields)| reset(name, source, get(&fields)))
        .into();
    all.extend(RESET.map(|(name, field)| reset(name, source, get(&instead(field)))));
    all.extend(GONE.map(|(name, field)| gone(name, source, get(&instead(field)))));
    all.extend(
        ANSWERED.map(|(name, field, answer)| answered(name, source, answer, get(&instead(field)))),
    );
    all.extend(answers.map(|(name, fields, answer)| answered(name, source, answer, get(&fields))));
    all
}

/// Lengths that are none, and bodies that are longer or shorter.
fn lengths() -> Vec<Message> {
    let post = |length: &'static [u8], body: &[u8]| {
        let head = [
            &[(&b":method"[..], &b"POST"[..])][..],
            &without(b":method"),
            &[(b"content-length", length)],
        ]
        .concat();
        frames::connection(&[
            frames::headers(END_HEADERS, 1, &head),
            frames::frame(DATA, END_STREAM, 1, body),
        ])
    };
    let both = frames::connection(&[frames::headers(
        WHOLE,
        1,
        &[
            &with((b"content-length", b"0"))[..],
            &[(b"content-length", b"1")],
        ]
        .concat(),
    )]);
    let all: [(&str, Vec<u8>); 7] = [
        ("content-length with a plus", post(b"+5", b"hello")),
        ("content-length that is a list", post(b"5, 5", b"hello")),
        ("content-length that is no number", post(b"x", b"hello")),
        ("two content-lengths", both),
        ("less than content-length", post(b"5", b"hell")),
        ("more than content-length", post(b"5", b"hello!")),
        (
            "content-length without a body",
            get(&with((b"content-length", b"5"))),
        ),
    ];
    all.map(|(name, bytes)| {
        let message = reset(name, "attack class S13; RFC 9113 section 8.1.1", bytes);
        match name.ends_with("than content-length") {
            true => message.in_the_midst(),
            false => message,
        }
    })
    .into()
}

fn reset(name: &'static str, source: &'static str, bytes: Vec<u8>) -> Message {
    let expected = Expected::Refused(Answer::Reset(PROTOCOL_ERROR));
    Message::new(format!("HTTP/2: {name}"), source, bytes, expected).over_http2()
}

/// The library ends the connection.
fn gone(name: &'static str, source: &'static str, bytes: Vec<u8>) -> Message {
    let expected = Expected::Refused(Answer::GoAway(PROTOCOL_ERROR));
    Message::new(format!("HTTP/2: {name}"), source, bytes, expected).over_http2()
}

/// Whether the field can be one at all; if not, its decoding fails.
fn is_field((name, value): Field) -> bool {
    let lower = |byte: &u8| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_' | b'.' | b':');
    let sound = |byte: &u8| !byte.is_ascii_control();
    !name.is_empty() && name.iter().all(lower) && !name.ends_with(b":") && value.iter().all(sound)
}

fn answered(
    name: &'static str,
    source: &'static str,
    answer: (u16, &'static str),
    bytes: Vec<u8>,
) -> Message {
    Message::refused(format!("HTTP/2: {name}"), source, answer, bytes).over_http2()
}

/// Fields behind a plain head, and those that a server gets.
const PASSED: [(&str, Field, &str); 6] = [
    ("a field", (b"x", b"y"), "x: y"),
    ("a value above ASCII", (b"x", b"\xe4"), "x: \u{e4}"),
    ("a cookie", (b"cookie", b"a=1"), "cookie: a=1"),
    ("te: trailers", (b"te", b"trailers"), ""),
    ("host that is :authority", (b"host", b"a"), ""),
    ("an empty value", (b"x", b""), "x: "),
];

fn passed() -> Vec<Message> {
    let arrival = |line: &str, field: &str| {
        Expected::Forwarded(vec![Arrival::new(
            &format!("{line}\r\nHost: a\r\n{field}"),
            "",
        )])
    };
    let mut all: Vec<_> = PASSED
        .map(|(name, field, expected)| {
            (name, get(&with(field)), arrival("GET / HTTP/1.1", expected))
        })
        .into();
    all.push(("GET", get(&PLAIN), arrival("GET / HTTP/1.1", "")));
    all.push((
        "a path with dot segments",
        get(&instead((b":path", b"/a/../b?c"))),
        arrival("GET /b?c HTTP/1.1", ""),
    ));
    all.push((
        "a fragment in :path, which is gone before anyone reads it",
        get(&instead((b":path", b"/a#b"))),
        arrival("GET /a HTTP/1.1", ""),
    ));
    all.push((
        "host for :authority",
        get(&[&without(b":authority")[..], &[(b"host", b"a")]].concat()),
        arrival("GET / HTTP/1.1", ""),
    ));
    all.into_iter()
        .map(|(name, bytes, expected)| {
            Message::new(
                format!("HTTP/2 passes: {name}"),
                "RFC 9113 section 8.3",
                bytes,
                expected,
            )
            .over_http2()
        })
        .collect()
}

pub(super) fn all() -> Vec<Message> {
    let many: Vec<Field> = [&PLAIN[..], &vec![(&b"x"[..], &b"y"[..]); 101]].concat();
    let fields = BAD_FIELDS.map(|(name, field)| match name {
        name if field.0.starts_with(b":x") || !is_field(field) => gone(
            name,
            "attack class S13; RFC 9113 section 8.2",
            get(&with(field)),
        ),
        "a space before a value" | "a space behind a value" => {
            answered(name, "RFC 9113 section 8.2.1", BAD_FIELD, get(&with(field)))
        }
        "content_length" | "x.real.ip" => {
            answered(name, "attack class R5", BAD_FIELD, get(&with(field)))
        }
        _ => reset(
            name,
            "attack class S13; RFC 9113 section 8.2",
            get(&with(field)),
        ),
    });
    let many = answered("101 fields", "attack class X9", TOO_LARGE, get(&many));
    fields
        .into_iter()
        .chain(pseudo())
        .chain(lengths())
        .chain([many])
        .chain(passed())
        .collect()
}
