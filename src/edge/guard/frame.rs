//! The frames of HTTP/2 (RFC 9113 section 4.1), as far as the edge has to know them.

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const HEADER: usize = 9;
const INITIAL_WINDOW_SIZE: u16 = 4;
/// Of numbers with 31 bits the highest bit means nothing.
const LOW: u32 = u32::MAX >> 1;
/// No stream has a higher number (RFC 9113 section 5.1.1).
pub(super) const LAST_STREAM: u32 = LOW;

impl From<[u8; HEADER]> for FrameHeader {
    fn from([a, b, c, kind, flags, stream @ ..]: [u8; HEADER]) -> Self {
        Self {
            length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & LOW,
        }
    }
}

/// What the bytes so far have brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// A frame begins.
    Header(FrameHeader),
    /// How much each stream may be sent at first (RFC 9113 section 6.9.2).
    InitialWindow(u32),
    /// So much more may be sent; with stream 0 on the whole connection.
    Window { stream: u32, more: u32 },
    /// Why a stream ends.
    Reset(u32),
    /// Why the connection ends, and the last request that is served (RFC 9113 section 6.8).
    GoAway { last: u32, code: u32 },
}

/// Reads the frames that go one way, however the bytes are cut.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The beginning of a header, or of a field.
    begun: Vec<u8>,
    payload_left: usize,
    /// Of the frame under way.
    kind: u8,
    stream: u32,
    /// The length of its next field that matters; 0: none does.
    field: usize,
}

impl Scan {
    /// How many of these bytes belong to the same header, field or payload, and what they have brought, if this is its end.
    pub(super) fn step(&mut self, bytes: &[u8]) -> (usize, Option<Met>) {
        if self.payload_left > 0 {
            return self.step_in_payload(bytes);
        }
        let (count, whole) = match bytes.first_chunk() {
            Some(whole) if self.begun.is_empty() => (HEADER, Some(*whole)),
            _ => {
                let count = bytes.len().min(HEADER - self.begun.len());
                self.begun
                    .extend_from_slice(bytes.get(..count).unwrap_or_default());
                (count, self.begun.first_chunk().copied())
            }
        };
        let header = whole.map(FrameHeader::from);
        if let Some(header) = header {
            self.begun.clear();
            self.payload_left = header.length;
            (self.kind, self.stream) = (header.kind, header.stream);
            self.field = match header.kind {
                SETTINGS => 6,
                WINDOW_UPDATE | RST_STREAM => 4,
                GOAWAY => 8,
                _ => 0,
            };
        }
        (count, header.map(Met::Header))
    }

    fn step_in_payload(&mut self, bytes: &[u8]) -> (usize, Option<Met>) {
        if self.field == 0 {
            return (take(&mut self.payload_left, bytes), None);
        }
        let bytes = bytes.get(..self.field - self.begun.len()).unwrap_or(bytes);
        let count = take(&mut self.payload_left, bytes);
        self.begun
            .extend_from_slice(bytes.get(..count).unwrap_or_default());
        let is_whole = self.begun.len() == self.field;
        let met = is_whole.then(|| self.field()).flatten();
        if is_whole && self.kind != SETTINGS {
            self.field = 0;
        }
        if is_whole || self.payload_left == 0 {
            self.begun.clear();
        }
        (count, met)
    }

    fn field(&self) -> Option<Met> {
        let number = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes);
        let last = self.begun.last_chunk().map(number)?;
        match self.kind {
            SETTINGS => {
                let name = self.begun.first_chunk().map(|it| u16::from_be_bytes(*it));
                (name == Some(INITIAL_WINDOW_SIZE)).then_some(Met::InitialWindow(last))
            }
            WINDOW_UPDATE => Some(Met::Window {
                stream: self.stream,
                more: last & LOW,
            }),
            RST_STREAM => Some(Met::Reset(last)),
            _ => Some(Met::GoAway {
                last: self.begun.first_chunk().map(number)? & LOW,
                code: last,
            }),
        }
    }

    pub(super) fn is_in_header(&self) -> bool {
        self.payload_left == 0 && !self.begun.is_empty()
    }

    pub(super) fn is_between_frames(&self) -> bool {
        self.payload_left == 0 && self.begun.is_empty()
    }

    /// How many bytes there are at least to the end of the frame.
    pub(super) fn left(&self) -> usize {
        match self.payload_left {
            0 => HEADER - self.begun.len(),
            left => left,
        }
    }
}

/// Takes of `left` as many as there are bytes.
pub(super) fn take(left: &mut usize, bytes: &[u8]) -> usize {
    let count = bytes.len().min(*left);
    *left -= count;
    count
}

/// A frame that ends a stream.
pub(super) fn reset(stream: u32, code: u32) -> [u8; HEADER + 4] {
    let ([a, b, c, d], [e, f, g, h]) = (stream.to_be_bytes(), code.to_be_bytes());
    [0, 0, 4, RST_STREAM, 0, a, b, c, d, e, f, g, h]
}

/// The frame that ends a connection of which all is answered up to this request.
pub(super) fn farewell(last: u32) -> [u8; HEADER + 8] {
    let [a, b, c, d] = last.to_be_bytes();
    [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_found_however_the_bytes_are_cut() {
        let settings = [
            &[0, 0, 12, SETTINGS, 0, 0, 0, 0, 0][..],
            &[0, 3, 0, 0, 0, 9, 0, 4, 0, 1, 0, 0],
        ];
        let window = [0, 0, 4, WINDOW_UPDATE, 0, 0, 0, 0, 5, 0x80, 0, 0, 7];
        // With a text behind the code.
        let goaway = [
            0, 0, 10, GOAWAY, 0, 0, 0, 0, 0, 128, 0, 0, 5, 0, 0, 0, 11, b'h', b'i',
        ];
        let all = [
            &settings.concat()[..],
            &window,
            &reset(3, 8),
            &[0, 0, 2, WINDOW_UPDATE, 0, 0, 0, 0, 5, 1, 1],
            &[0, 0, 0, SETTINGS, 1, 0, 0, 0, 0],
            &goaway,
            &farewell(7),
        ]
        .concat();
        for size in 1..=all.len() {
            let (mut scan, mut met) = (Scan::default(), Vec::new());
            for mut part in all.chunks(size) {
                while !part.is_empty() {
                    let (count, found) = scan.step(part);
                    part = &part[count..];
                    met.extend(found.filter(|met| !matches!(met, Met::Header(_))));
                }
            }
            assert!(scan.is_between_frames());
            let expected = [
                Met::InitialWindow(1 << 16),
                Met::Window { stream: 5, more: 7 },
                Met::Reset(8),
                Met::GoAway { last: 5, code: 11 },
                Met::GoAway { last: 7, code: 0 },
            ];
            assert_eq!(met, expected, "{size}");
        }
    }
}
