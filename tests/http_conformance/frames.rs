//! HTTP/2 by hand: frames and HPACK without compression, right or wrong as a test wants them.

use std::io::Read;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 32;

/// Both ends in one.
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The preface and empty settings, and then these frames.
pub(crate) fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, b""), &frames.concat()].concat()
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// HPACK (RFC 7541 section 6.2.2): each field in full, nothing indexed.
pub(crate) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            integer(text.len(), &mut bytes);
            bytes.extend(*text);
        }
    }
    bytes
}

/// RFC 7541 section 5.1, with a prefix of 7 bits.
fn integer(mut value: usize, into: &mut Vec<u8>) {
    if value < 127 {
        into.push(u8::try_from(value).unwrap());
        return;
    }
    into.push(127);
    value -= 127;
    while value >= 128 {
        into.push(u8::try_from(value % 128).unwrap() + 128);
        value /= 128;
    }
    into.push(u8::try_from(value).unwrap());
}

/// HEADERS with these fields.
pub(crate) fn headers(flags: u8, stream: u32, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    frame(HEADERS, flags, stream, &block(fields))
}

/// A frame that came.
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// None at the end of the connection, and when nothing comes in time.
    pub(crate) fn read(from: &mut impl Read) -> Option<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head).ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        from.read_exact(&mut payload).ok()?;
        Some(Self {
            kind: head[3],
            flags: head[4],
            payload,
        })
    }

    /// The error code that stands at this place.
    pub(crate) fn code(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// The status, which comes first in a response: indexed, or as a text that may be in Huffman's code.
pub(crate) fn status(block: &[u8]) -> u16 {
    let from = match block[0] {
        // The table may change its size first.
        0x20..=0x3f => 1,
        _ => 0,
    };
    match block[from] {
        index @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        _ => {
            let length = block[from + 1];
            let text = &block[from + 2..from + 2 + usize::from(length & 0x7f)];
            if length & 0x80 == 0 {
                return std::str::from_utf8(text).unwrap().parse().unwrap();
            }
            digits(text)
        }
    }
}

/// Three digits (RFC 7541 appendix B): 0 to 2 have 5 bits, 3 to 9 have 6.
fn digits(text: &[u8]) -> u16 {
    let bits = text
        .iter()
        .fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
    let (mut left, mut number) = (text.len() * 8, 0);
    for _ in 0..3 {
        let five = bits >> (left - 5) & 0x1f;
        if five < 3 {
            left -= 5;
            number = number * 10 + five;
        } else {
            left -= 6;
            number = number * 10 + (bits >> left & 0x3f) - 22;
        }
    }
    u16::try_from(number).unwrap()
}
