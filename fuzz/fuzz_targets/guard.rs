//! Whatever a client sends, and however it is cut into reads: a message has one verdict; one that is accepted has the
//! same head, framing and end for another reader.
//!
//! The first four bytes choose the cuts.

#![no_main]

mod cuts;

use httparse::{EMPTY_HEADER, Status};
use libfuzzer_sys::fuzz_target;
use pointsman::strict::{Body, Framing, Head, HeadLimits, HeadReader, Part, Rule};

/// Small, so that they are reached.
const LIMITS: HeadLimits = HeadLimits {
    size: 512,
    count: 16,
};
const LONGEST_BODY: u64 = 2000;

#[derive(Debug, PartialEq)]
enum Verdict {
    /// More must come.
    Open(Option<Head>),
    Broken(Option<Head>, Rule),
    Whole {
        head: Head,
        content: u64,
        end: usize,
    },
}

fuzz_target!(|input: &[u8]| {
    let Some((cuts, message)) = cuts::of(input) else {
        return;
    };
    let whole = judge(message, std::iter::once(message.len()));
    assert_eq!(judge(message, cuts), whole);
    assert_eq!(judge(message, 0..=message.len()), whole);
    if let Verdict::Whole { head, content, end } = whole {
        assert_eq!(framing(message, head.length), head.framing);
        let body = &message[head.length..];
        let (found, length) = match head.framing {
            Framing::Empty => (0, 0),
            Framing::Length(length) => (length, length as usize),
            Framing::Chunked => chunks(body),
        };
        assert_eq!((found, length), (content, end - head.length));
    }
});

fn judge(message: &[u8], ends: impl Iterator<Item = usize>) -> Verdict {
    let mut reader = HeadReader::default();
    let mut ends = ends.peekable();
    let head = loop {
        let Some(&end) = ends.peek() else {
            return Verdict::Open(None);
        };
        match reader.read(&message[..end], LIMITS) {
            Ok(Some(head)) => break head,
            Ok(None) => drop(ends.next()),
            Err(rule) => return Verdict::Broken(None, rule),
        }
    };
    let broken = |rule| Verdict::Broken(Some(head), rule);
    let mut body = match Body::new(head.framing, LONGEST_BODY, LIMITS.size) {
        Ok(body) => body,
        Err(rule) => return broken(rule),
    };
    let mut sound = head.length;
    for end in ends {
        match body.follow(&message[sound..end]) {
            Ok(Part::More(count)) => sound += count,
            Ok(Part::End(count)) => {
                return Verdict::Whole {
                    head,
                    content: body.content(),
                    end: sound + count,
                };
            }
            Err(rule) => return broken(rule),
        }
    }
    Verdict::Open(Some(head))
}

/// The framing as another reader has it.
fn framing(message: &[u8], length: usize) -> Framing {
    let mut fields = [EMPTY_HEADER; LIMITS.count];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(request.parse(message), Ok(Status::Complete(length)));
    let values = |name: &str| {
        let named = request
            .headers
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name));
        let values: Vec<_> = named.map(|field| field.value.trim_ascii()).collect();
        assert!(values.len() <= 1, "{name}");
        values.first().copied()
    };
    assert!(values("Host").is_some() || request.version == Some(0));
    match (values("Content-Length"), values("Transfer-Encoding")) {
        (None, None) => Framing::Empty,
        (None, Some(coding)) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked"));
            Framing::Chunked
        }
        (Some(length), None) => match str::from_utf8(length).unwrap().parse().unwrap() {
            0 => Framing::Empty,
            length => Framing::Length(length),
        },
        both => panic!("{both:?}"),
    }
}

/// The content's length and the body's, as another reader has them.
fn chunks(body: &[u8]) -> (u64, usize) {
    let (mut content, mut at) = (0, 0);
    loop {
        let size = httparse::parse_chunk_size(&body[at..]);
        let Ok(Status::Complete((line, size))) = size else {
            panic!("{size:?}");
        };
        at += line;
        if size == 0 {
            break;
        }
        (content, at) = (content + size, at + size as usize);
        assert_eq!(body[at..at + 2], *b"\r\n");
        at += 2;
    }
    let mut fields = [EMPTY_HEADER; LIMITS.size];
    let trailers = httparse::parse_headers(&body[at..], &mut fields);
    let Ok(Status::Complete((length, _))) = trailers else {
        panic!("{trailers:?}");
    };
    (content, at + length)
}
