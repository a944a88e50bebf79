use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    size: 2048,
    count: 20,
};

/// Reads a message as it comes in pieces of these lengths, over and over, and one byte at the end of it.
fn head_in_pieces(bytes: &[u8], pieces: &[usize]) -> Result<Option<Head>, Rule> {
    let mut reader = HeadReader::default();
    let mut end = 0;
    for piece in pieces.iter().cycle() {
        end = (end + piece).min(bytes.len());
        match reader.read(&bytes[..end], LIMITS) {
            Ok(None) if end < bytes.len() => {}
            decided => return decided,
        }
    }
    unreachable!("there is at least one piece")
}

fn head(text: &str) -> Result<Option<Head>, Rule> {
    head_in_pieces(text.as_bytes(), &[text.len()])
}

#[test]
fn a_head_says_how_its_body_ends() {
    for (fields, framing, tunnel) in [
        ("", Framing::Empty, false),
        ("Content-Length: 0\r\n", Framing::Empty, false),
        ("content-length:7\r\n", Framing::Length(7), false),
        (
            "Content-Length: 999999999999999999\r\n",
            Framing::Length(999_999_999_999_999_999),
            false,
        ),
        ("Transfer-Encoding: Chunked\r\n", Framing::Chunked, false),
        (
            "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n",
            Framing::Empty,
            true,
        ),
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n",
            Framing::Length(3),
            false,
        ),
        (
            "Connection: Upgrade\r\nUpgrade: h2c\r\n",
            Framing::Empty,
            false,
        ),
        ("X_Custom: 1\r\nX.Other: 2\r\n", Framing::Empty, false),
        ("Expect: 100-Continue\r\n", Framing::Empty, false),
    ] {
        let text = format!("\r\nPOST /a?b HTTP/1.1\r\nHost: a:80\r\n{fields}\r\nbehind");
        let length = text.len() - "behind".len();
        let expected = Head {
            length,
            framing,
            asks_for_tunnel: tunnel,
            expects_word: fields.starts_with("Expect"),
        };
        assert_eq!(head(&text), Ok(Some(expected)), "{fields}");
    }
}

/// Request line, fields besides Host, and the rule that they break.
const BAD_HEADS: &[(&str, &str, Rule)] = &[
    ("GET / HTTP/1.1\nHost: a\r\n", "", Rule::BareLineFeed),
    ("GET / HTTP/1.1", "X: a\n", Rule::BareLineFeed),
    ("GET / HTTP/1.1", "X: a\rb\r\n", Rule::BareReturn),
    ("GET  / HTTP/1.1", "", Rule::RequestLine),
    ("GET / HTTP/1.1 ", "", Rule::RequestLine),
    ("GET /", "", Rule::RequestLine),
    ("GET\t/\tHTTP/1.1", "", Rule::RequestLine),
    ("GET / HTTP/1.2", "", Rule::Version),
    ("GET / http/1.1", "", Rule::Version),
    ("PRI * HTTP/2.0", "", Rule::Version),
    ("G@T / HTTP/1.1", "", Rule::MethodToken),
    ("CONNECT a:443 HTTP/1.1", "", Rule::MethodRefused),
    ("TRACE / HTTP/1.1", "", Rule::MethodRefused),
    ("GET a HTTP/1.1", "", Rule::TargetForm),
    ("GET * HTTP/1.1", "", Rule::TargetForm),
    ("GET ftp://a/ HTTP/1.1", "", Rule::TargetForm),
    ("GET http:/// HTTP/1.1", "", Rule::TargetForm),
    ("GET http://u@a/ HTTP/1.1", "", Rule::TargetUser),
    ("GET http://b/ HTTP/1.1", "", Rule::TargetHost),
    ("GET /a#b HTTP/1.1", "", Rule::TargetByte),
    ("GET /a\\b HTTP/1.1", "", Rule::TargetByte),
    ("GET /\u{e4} HTTP/1.1", "", Rule::TargetByte),
    ("GET /a\u{1} HTTP/1.1", "", Rule::TargetByte),
    ("GET / HTTP/1.1", "X : a\r\n", Rule::FieldName),
    ("GET / HTTP/1.1", "no colon\r\n", Rule::FieldName),
    ("GET / HTTP/1.1", "nocolon\r\n", Rule::FieldName),
    ("GET / HTTP/1.1", ": a\r\n", Rule::FieldName),
    ("GET / HTTP/1.1", "X: a\r\n b\r\n", Rule::FieldFold),
    ("GET / HTTP/1.1", "X: a\0b\r\n", Rule::FieldValue),
    ("GET / HTTP/1.1", "X: a\u{7f}\r\n", Rule::FieldValue),
    ("GET / HTTP/1.1", "Content_Length: 5\r\n", Rule::FieldShadow),
    ("GET / HTTP/1.1", "x.real.ip: 5\r\n", Rule::FieldShadow),
    ("GET / HTTP/1.1", "Host: a\r\n", Rule::HostRepeated),
    (
        "POST / HTTP/1.1",
        "Content-Length: +5\r\n",
        Rule::LengthForm,
    ),
    (
        "POST / HTTP/1.1",
        "Content-Length: 005\r\n",
        Rule::LengthForm,
    ),
    (
        "POST / HTTP/1.1",
        "Content-Length: 5, 5\r\n",
        Rule::LengthForm,
    ),
    (
        "POST / HTTP/1.1",
        "Content-Length: 0x5\r\n",
        Rule::LengthForm,
    ),
    ("POST / HTTP/1.1", "Content-Length:\r\n", Rule::LengthForm),
    (
        "POST / HTTP/1.1",
        "Content-Length: 18446744073709551617\r\n",
        Rule::LengthForm,
    ),
    (
        "POST / HTTP/1.1",
        "Content-Length: 5\r\ncontent-length: 5\r\n",
        Rule::LengthRepeated,
    ),
    (
        "POST / HTTP/1.1",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        Rule::LengthAndCoding,
    ),
    (
        "POST / HTTP/1.1",
        "Transfer-Encoding: xchunked\r\n",
        Rule::CodingUnknown,
    ),
    (
        "POST / HTTP/1.1",
        "Transfer-Encoding: chunked, identity\r\n",
        Rule::CodingUnknown,
    ),
    (
        "POST / HTTP/1.1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        Rule::CodingRepeated,
    ),
    (
        "POST / HTTP/1.1",
        "Transfer-Encoding: \u{b}chunked\r\n",
        Rule::FieldValue,
    ),
    (
        "POST / HTTP/1.0",
        "Transfer-Encoding: chunked\r\n",
        Rule::CodingInOld,
    ),
    (
        "GET / HTTP/1.1",
        "Connection: close, X-Forwarded-For\r\n",
        Rule::Option,
    ),
    (
        "POST / HTTP/1.1",
        "Content-Length: 5\r\nConnection: content-length\r\n",
        Rule::Option,
    ),
    ("GET / HTTP/1.1", "Connection: \"close\"\r\n", Rule::Option),
    (
        "GET / HTTP/1.1",
        "Connection: a,b,,c,d,e\r\nConnection: f,g,h,i,j\r\n",
        Rule::Option,
    ),
    ("trace / HTTP/1.1", "", Rule::MethodRefused),
    ("GET / HTTP/1.1", "X: \u{0}\r\n", Rule::FieldValue),
    (
        "POST / HTTP/1.1",
        "Expect: y 100-continue\r\n",
        Rule::Expectation,
    ),
];

#[test]
fn each_rule_of_heads_is_enforced() {
    let long = format!("X: {}\r\n", "x".repeat(2100));
    let many = "X: 1\r\n".repeat(20);
    let limits = [
        ("GET / HTTP/1.1", &*long, Rule::HeaderSize),
        ("GET / HTTP/1.1", &*many, Rule::HeaderCount),
    ];
    for &(start, fields, rule) in BAD_HEADS.iter().chain(&limits) {
        let text = format!("{start}\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(head(&text), Err(rule), "{text}");
    }
}

#[test]
fn each_rule_of_hosts_is_enforced() {
    let with = |version: &str, host: &str| head(&format!("GET / HTTP/{version}\r\n{host}\r\n"));
    assert_eq!(with("1.1", ""), Err(Rule::HostMissing));
    assert!(with("1.0", "").is_ok());
    for host in [
        "", "a, b", "u@a", "a/b", "a b", "a:b", "a:999999", "a:65536", "a%00b", ":80", "[::1",
        "[]", "[a/]", "a:1:2", "\u{e4}",
    ] {
        let field = format!("Host: {host}\r\n");
        assert_eq!(with("1.1", &field), Err(Rule::HostForm), "{host}");
    }
    for host in [
        "a",
        "a:80",
        "a:",
        "[::1]",
        "[::ffff:1.2.3.4]:8080",
        "a_b.c-d",
        "A",
    ] {
        assert!(with("1.1", &format!("Host: {host}\r\n")).is_ok(), "{host}");
    }
    let absolute = "GET http://a:80/x HTTP/1.1\r\nHost: a:80\r\n\r\n";
    assert!(head(absolute).is_ok());
}

fn body(framing: Framing, bytes: &[u8]) -> Result<Part, Rule> {
    Body::new(framing, 1000, 100)?.follow(bytes)
}

#[test]
fn each_rule_of_chunks_is_enforced() {
    use Rule::*;
    let chunked = |text: &str| body(Framing::Chunked, text.as_bytes());
    for text in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "00005;a=\"b\" ;c\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
        "a\r\n0123456789\r\nA \t;x\r\n0123456789\r\n0\r\n\r\n",
    ] {
        assert_eq!(chunked(text), Ok(Part::End(text.len())), "{text}");
        assert_eq!(chunked(&format!("{text}GET")), Ok(Part::End(text.len())));
        // The last line is half there.
        let more = chunked(&text[..text.len() - 1]);
        assert_eq!(more, Ok(Part::More(text.len() - 2)), "{text}");
    }
    let extension = format!("5;{}", "x".repeat(1100));
    let trailers = format!("0\r\n{}", "X: 0123456789\r\n".repeat(10));
    for (text, rule) in [
        ("0x5\r\n", ChunkSize),
        ("+5\r\n", ChunkSize),
        ("-5\r\n", ChunkSize),
        ("5 \r\n", ChunkSize),
        ("5_0\r\n", ChunkSize),
        ("\r\n", ChunkSize),
        (";a\r\n", ChunkSize),
        ("ffffffffffffffff\r\n", ChunkSize),
        ("5\nhello", BareLineFeed),
        ("5;\nhello", BareLineFeed),
        ("5;\0x\r\n", ChunkExtension),
        ("5;a\rb\r\n", ChunkExtension),
        (&extension, ChunkExtension),
        ("5\r\nhelloX", ChunkEnd),
        ("5\r\nhello\n", ChunkEnd),
        ("0\r\nno colon\r\n", Trailer),
        ("0\r\nX: a\n", BareLineFeed),
        (&trailers, HeaderSize),
        ("3e9\r\n", BodySize),
    ] {
        assert_eq!(chunked(text), Err(rule), "{text:?}");
    }
    assert_eq!(body(Framing::Length(1001), b""), Err(BodySize));
    assert_eq!(body(Framing::Length(3), b"abcd"), Ok(Part::End(3)));
    assert_eq!(body(Framing::Empty, b"abcd"), Ok(Part::End(0)));
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a HTTP/1.0\r\n",
        "Host: a\r\n",
        "Host:",
        "Content-Length: 5\r\n",
        "\r\n",
        "\n",
        "\r",
        "Transfer-Encoding: chunked\r\n",
        "X: y\r\n",
        " ",
        ":",
        "\0",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        ";",
        "_",
        "/..",
    ]);
    let sound = Just("GET / HTTP/1.1\r\nHost: a\r\n");
    let start = prop_oneof![sound, Just("")];
    (start, prop::collection::vec(pieces, 0..12))
        .prop_map(|(start, pieces)| (start.to_owned() + &pieces.concat()).into_bytes())
}

proptest! {
    #[test]
    fn a_head_is_judged_alike_however_it_is_cut(bytes in message(), pieces in prop::collection::vec(1usize..30, 1..5)) {
        let whole = head_in_pieces(&bytes, &[bytes.len().max(1)]);
        prop_assert_eq!(head_in_pieces(&bytes, &pieces), whole);
    }

    #[test]
    fn a_body_ends_alike_however_it_is_cut(
        chunks in prop::collection::vec((1usize..40, prop::sample::select(vec!["", ";a", " ;b=\"c\""])), 0..5),
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
        cut in 1usize..20,
    ) {
        let mut bytes = Vec::new();
        for (length, extension) in &chunks {
            bytes.extend(format!("{length:x}{extension}\r\n{}\r\n", "z".repeat(*length)).bytes());
        }
        bytes.extend(b"0\r\nT: v\r\n\r\nGET / HTTP/1.1\r\n");
        for (at, byte) in &noise {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        let whole = body(Framing::Chunked, &bytes);
        let mut follower = Body::new(Framing::Chunked, 1000, 100).unwrap();
        let (mut sound, mut read, mut end) = (0, 0, Ok(Part::More(0)));
        while read < bytes.len() && matches!(end, Ok(Part::More(_))) {
            read = (read + cut).min(bytes.len());
            let part = follower.follow(&bytes[sound..read]);
            if let Ok(Part::More(count) | Part::End(count)) = part {
                sound += count;
            }
            end = match part {
                Ok(Part::More(_)) => Ok(Part::More(sound)),
                Ok(Part::End(_)) => Ok(Part::End(sound)),
                Err(rule) => Err(rule),
            };
        }
        prop_assert_eq!(end, whole);
        if noise.is_empty() {
            let content: usize = chunks.iter().map(|(length, _)| length).sum();
            prop_assert_eq!(follower.content(), content as u64);
            prop_assert_eq!(end, Ok(Part::End(bytes.len() - "GET / HTTP/1.1\r\n".len())));
        }
    }
}

#[test]
fn a_line_over_the_size_is_that_first_of_all_however_it_comes() {
    for end in ["\n", "\r\n", "\0\r\n"] {
        let long = "x".repeat(LIMITS.size);
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}{end}\r\n");
        for piece in [1, LIMITS.size, text.len()] {
            let found = head_in_pieces(text.as_bytes(), &[piece]);
            assert_eq!(found, Err(Rule::HeaderSize), "{end:?} in pieces of {piece}");
        }
    }
}
