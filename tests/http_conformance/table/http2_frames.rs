//! HTTP/2 frames (RFC 9113 sections 4 to 6): those that break the connection or a stream.

use crate::frames::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, WITH_PRIORITY, connection, frame,
};
use crate::message::{Answer, Arrival, Expected, Message};

/// RFC 9113 section 7. Where the standard names another code, `h2` mostly says this one.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;

fn block() -> Vec<u8> {
    frames::block(&[
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"a"),
        (b":path", b"/"),
    ])
}

fn open() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &block())
}

/// What the frames are, each alone behind the settings.
type Frames = Vec<(&'static str, Vec<u8>)>;

/// Frames of streams (RFC 9113 sections 5 and 6).
fn of_streams() -> Frames {
    vec![
        ("HEADERS on stream 0", frame(HEADERS, WHOLE, 0, &block())),
        (
            "HEADERS on an even stream",
            frame(HEADERS, WHOLE, 2, &block()),
        ),
        ("DATA on stream 0", frame(DATA, END_STREAM, 0, b"x")),
        ("DATA on an idle stream", frame(DATA, END_STREAM, 1, b"x")),
        ("RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, &[0; 4])),
        (
            "RST_STREAM on an idle stream",
            frame(RST_STREAM, 0, 1, &[0; 4]),
        ),
        (
            "RST_STREAM of three bytes",
            frame(RST_STREAM, 0, 1, &[0; 3]),
        ),
        ("WINDOW_UPDATE on an idle stream", window(1, 1)),
        (
            "CONTINUATION without HEADERS",
            frame(CONTINUATION, END_HEADERS, 1, &block()),
        ),
        (
            "padding longer than HEADERS",
            frame(HEADERS, WHOLE | PADDED, 1, &[200, 0x82]),
        ),
        (
            "padding longer than DATA",
            frame(DATA, END_STREAM | PADDED, 1, &[5, 0]),
        ),
        (
            "PUSH_PROMISE from a client",
            [open(), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])].concat(),
        ),
        (
            "CONTINUATION on another stream",
            [half(), frame(CONTINUATION, END_HEADERS, 3, b"")].concat(),
        ),
        (
            "DATA within a head",
            [half(), frame(DATA, END_STREAM, 1, b"x")].concat(),
        ),
        (
            "PING within a head",
            [half(), frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        (
            "an unknown frame within a head",
            [half(), frame(0xfa, 0, 1, b"")].concat(),
        ),
        (
            "a stream that was passed over",
            [
                frame(HEADERS, WHOLE, 3, &block()),
                frame(HEADERS, WHOLE, 1, &block()),
            ]
            .concat(),
        ),
    ]
}

/// Frames of the connection (RFC 9113 sections 6.5 to 6.9).
fn of_the_connection() -> Frames {
    vec![
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, b"")),
        ("SETTINGS of five bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        (
            "SETTINGS that acknowledge and set",
            frame(SETTINGS, 1, 0, &[0; 6]),
        ),
        ("ENABLE_PUSH 2", setting(2, 2)),
        ("INITIAL_WINDOW_SIZE of 2 to the 31st", setting(4, 1 << 31)),
        ("MAX_FRAME_SIZE that is too small", setting(5, 1)),
        ("MAX_FRAME_SIZE that is too large", setting(5, 1 << 24)),
        ("PING on a stream", frame(PING, 0, 1, &[0; 8])),
        ("PING of seven bytes", frame(PING, 0, 0, &[0; 7])),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8])),
        (
            "WINDOW_UPDATE of three bytes",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
        ),
    ]
}

/// Heads that do not decode (RFC 7541).
fn of_compression() -> Frames {
    let head = |block: &[u8]| frame(HEADERS, WHOLE, 1, block);
    vec![
        (
            "HPACK: an index beyond the table",
            head(&[0xff, 0x80, 0x10]),
        ),
        ("HPACK: index 0", head(&[0x80])),
        ("HPACK: an integer without an end", head(&[0xff; 12])),
        ("HPACK: a text that is cut short", head(&[0, 10, b'x'])),
        (
            "HPACK: Huffman's end of text",
            head(&[0, 0x84, 0xff, 0xff, 0xff, 0xff, 0]),
        ),
        (
            "HPACK: a table larger than allowed",
            head(&[0x3f, 0xff, 0xff, 0x7f]),
        ),
    ]
}

/// The beginning of a head.
fn half() -> Vec<u8> {
    frame(HEADERS, 0, 1, &block())
}

fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

/// The connection is ended with a code.
fn ended() -> Vec<Message> {
    let gone = |source, code, frames: Frames| {
        frames.into_iter().map(move |(name, bytes)| {
            let expected = Expected::Refused(Answer::GoAway(code));
            let bytes = connection(&[bytes]);
            Message::new(format!("HTTP/2: {name}"), source, bytes, expected).over_http2()
        })
    };
    let large = (
        "a frame that is too large",
        frame(DATA, 0, 1, &vec![0; 100_000]),
    );
    let over = ("WINDOW_UPDATE over the limit", window(0, (1 << 31) - 1));
    let by_zero = ("WINDOW_UPDATE by 0 on the connection", window(0, 0));
    gone("RFC 9113 sections 5 and 6", PROTOCOL_ERROR, of_streams())
        .chain(gone(
            "RFC 9113 sections 6.5 to 6.9",
            PROTOCOL_ERROR,
            of_the_connection(),
        ))
        .chain(gone(
            "RFC 7541 sections 2.3 to 6.3",
            PROTOCOL_ERROR,
            of_compression(),
        ))
        .chain(gone("CVE-2025-8671", PROTOCOL_ERROR, vec![by_zero]))
        .chain(gone("CVE-2025-8671", FLOW_CONTROL_ERROR, vec![over]))
        .chain(gone("RFC 9113 section 4.2", FRAME_SIZE_ERROR, vec![large]))
        .collect()
}

/// Frames before a plain head that change nothing.
fn idle() -> Frames {
    vec![
        ("nothing", Vec::new()),
        ("a priority", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 15])),
        ("an unknown frame", frame(0xfa, 0, 0, b"x")),
        (
            "an unknown setting",
            frame(SETTINGS, 0, 0, &[0xfa, 0xfa, 0, 0, 0, 1]),
        ),
        ("a ping", frame(PING, 0, 0, &[0; 8])),
        ("a larger window", window(0, 1000)),
    ]
}

/// One plain head, in frames of many kinds.
fn heads() -> Frames {
    let block = block();
    let (first, second) = block.split_at(10);
    let in_two = [
        frame(HEADERS, END_STREAM, 1, first),
        frame(CONTINUATION, END_HEADERS, 1, second),
    ];
    let padded = [&[3][..], &block, &[0; 3]].concat();
    let with_priority = [&[0, 0, 0, 0, 15][..], &block].concat();
    vec![
        ("a head in two frames", in_two.concat()),
        ("a padded head", frame(HEADERS, WHOLE | PADDED, 1, &padded)),
        (
            "a head with a priority",
            frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &with_priority),
        ),
    ]
}

/// The body `hello`, in frames of many kinds.
fn bodies() -> Frames {
    let in_two = [frame(DATA, 0, 1, b"he"), frame(DATA, END_STREAM, 1, b"llo")];
    let with_nothing = [frame(DATA, 0, 1, b""), frame(DATA, END_STREAM, 1, b"hello")];
    vec![
        ("a body", frame(DATA, END_STREAM, 1, b"hello")),
        ("a body in two frames", in_two.concat()),
        ("a body behind an empty frame", with_nothing.concat()),
        (
            "a padded body",
            frame(DATA, END_STREAM | PADDED, 1, b"\x02hello\0\0"),
        ),
    ]
}

fn passed() -> Vec<Message> {
    let head = || frame(HEADERS, WHOLE, 1, &block());
    let get = || Arrival::new("GET / HTTP/1.1\r\nHost: a", "");
    let post = || Arrival::new("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5", "hello");
    let block_of_post = frames::block(&[
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"a"),
        (b":path", b"/"),
        (b"content-length", b"5"),
    ]);
    let passed = |name: &str, frames: &[Vec<u8>], arrivals| {
        let (name, expected) = (
            format!("HTTP/2 passes: {name}"),
            Expected::Forwarded(arrivals),
        );
        Message::new(
            name,
            "RFC 9113 sections 4 to 6",
            connection(frames),
            expected,
        )
        .over_http2()
    };
    let mut all = Vec::new();
    for (name, frames) in idle() {
        all.push(passed(name, &[frames, head()], vec![get()]));
    }
    for (name, frames) in heads() {
        all.push(passed(name, &[frames], vec![get()]));
    }
    for (name, frames) in bodies() {
        let head = frame(HEADERS, END_HEADERS, 1, &block_of_post);
        all.push(passed(name, &[head, frames], vec![post()]));
    }
    let second = frame(HEADERS, WHOLE, 3, &block());
    all.push(passed("two streams", &[head(), second], vec![get(), get()]));
    all
}

pub(super) fn all() -> Vec<Message> {
    ended().into_iter().chain(passed()).collect()
}
