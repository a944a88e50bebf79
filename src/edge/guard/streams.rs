use std::sync::Arc;
use std::time::Instant;

use crate::edge::rest::Rest;

/// A frame's header (RFC 9113 section 4.1).
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameHeader {
    length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    stream: u32,
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const HEADER: usize = 9;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;

impl From<[u8; HEADER]> for FrameHeader {
    fn from([a, b, c, kind, flags, stream @ ..]: [u8; HEADER]) -> Self {
        Self {
            length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
        }
    }
}

/// Finds the headers of the frames that go one way, however the bytes are cut.
#[derive(Debug, Default)]
pub(super) struct Scan {
    begun: Vec<u8>,
    payload_left: usize,
}

impl Scan {
    /// How many of these bytes belong to the same header or payload, and the header, if this is its end.
    pub(super) fn step(&mut self, bytes: &[u8]) -> (usize, Option<FrameHeader>) {
        if self.payload_left > 0 {
            return (take(&mut self.payload_left, bytes), None);
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
        }
        (count, header)
    }

    pub(super) fn is_in_header(&self) -> bool {
        !self.begun.is_empty()
    }

    pub(super) fn is_between_frames(&self) -> bool {
        self.payload_left == 0 && self.begun.is_empty()
    }
}

/// Takes of `left` as many as there are bytes.
pub(super) fn take(left: &mut usize, bytes: &[u8]) -> usize {
    let count = bytes.len().min(*left);
    *left -= count;
    count
}

/// Which requests are under way on one connection: those whose head was read to its end, and whose answer was not yet
/// written to its end. What was written may still wait for a flush.
#[derive(Debug)]
pub(super) struct Streams {
    /// In ascending order: clients have no other.
    open: Vec<u32>,
    latest: u32,
    /// Whose head comes in.
    begins: Option<u32>,
    written: Scan,
    /// Whose answer's last frame goes out.
    ends: Option<u32>,
    /// Writing a head whose end is in a later frame.
    in_block: bool,
    is_at_rest: bool,
    rest: Arc<Rest>,
}

impl Streams {
    /// None, so that the connection is at rest.
    pub(super) fn new(rest: Arc<Rest>) -> Self {
        Self {
            open: Vec::new(),
            latest: 0,
            begins: None,
            written: Scan::default(),
            ends: None,
            in_block: false,
            is_at_rest: true,
            rest,
        }
    }

    /// This was read, without its payload.
    pub(super) fn read(&mut self, header: FrameHeader) {
        match header.kind {
            // Trailers have the number of a request that there was.
            HEADERS if header.stream > self.latest => self.begins = Some(header.stream),
            RST_STREAM => self.close(header.stream),
            _ => {}
        }
    }

    /// All that was begun was read to its end.
    pub(super) fn caught_up(&mut self) {
        if let Some(stream) = self.begins.take() {
            self.latest = stream;
            self.open.push(stream);
            if self.is_at_rest {
                self.is_at_rest = false;
                self.rest.end();
            }
        }
    }

    /// These bytes were written.
    pub(super) fn wrote(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (count, header) = self.written.step(bytes);
            bytes = bytes.get(count..).unwrap_or_default();
            if let Some(header) = header {
                self.write(header);
            }
            if self.written.is_between_frames()
                && !self.in_block
                && let Some(stream) = self.ends.take()
            {
                self.close(stream);
            }
        }
    }

    fn write(&mut self, header: FrameHeader) {
        if matches!(header.kind, HEADERS | CONTINUATION) {
            self.in_block = header.flags & END_HEADERS == 0;
        }
        let is_last = match header.kind {
            DATA | HEADERS => header.flags & END_STREAM != 0,
            kind => kind == RST_STREAM,
        };
        if is_last {
            self.ends = Some(header.stream);
        }
    }

    /// Nothing that was written waits any longer.
    pub(super) fn flushed(&mut self) {
        if self.open.is_empty() && !self.is_at_rest {
            self.is_at_rest = true;
            self.rest.begin(Instant::now());
        }
    }

    /// Whether none is under way.
    pub(super) fn are_at_rest(&self) -> bool {
        self.is_at_rest
    }

    fn close(&mut self, stream: u32) {
        if let Ok(place) = self.open.binary_search(&stream) {
            self.open.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
        frame.resize(HEADER + usize::from(length), 0);
        frame
    }

    fn header(kind: u8, flags: u8, stream: u8) -> FrameHeader {
        let frame = frame(kind, flags, stream, 0);
        FrameHeader::from(*frame.first_chunk().unwrap())
    }

    fn with_requests(streams: &[u8]) -> (Streams, Arc<Rest>) {
        let rest = Arc::new(Rest::new(Instant::now()));
        let mut all = Streams::new(rest.clone());
        for &stream in streams {
            all.read(header(HEADERS, END_HEADERS, stream));
            all.caught_up();
        }
        (all, rest)
    }

    #[test]
    fn an_answer_is_under_way_up_to_its_last_byte_however_it_is_cut() {
        let answer = [
            frame(HEADERS, 0, 1, 30),
            frame(CONTINUATION, END_HEADERS, 1, 3),
            frame(DATA, 0, 1, 200),
            frame(DATA, END_STREAM, 1, 200),
        ]
        .concat();
        for size in 1..=answer.len() {
            let (mut streams, rest) = with_requests(&[1]);
            for part in answer.chunks(size) {
                assert!(rest.since().is_none(), "{size}");
                streams.wrote(part);
                assert!(rest.since().is_none(), "{size}");
            }
            streams.flushed();
            assert!(rest.since().is_some(), "{size}");
        }
    }

    #[test]
    fn a_head_with_the_end_in_it_ends_with_its_last_frame() {
        let (mut streams, rest) = with_requests(&[1]);
        streams.wrote(&frame(HEADERS, END_STREAM, 1, 9));
        streams.flushed();
        assert!(rest.since().is_none());
        streams.wrote(&frame(CONTINUATION, END_HEADERS, 1, 9));
        streams.flushed();
        assert!(rest.since().is_some());
    }

    #[test]
    fn all_requests_must_have_ended_one_way_or_another() {
        let (mut streams, rest) = with_requests(&[1, 3, 5]);
        streams.wrote(&frame(RST_STREAM, 0, 3, 4));
        streams.wrote(&frame(RST_STREAM, 0, 3, 4));
        streams.wrote(&frame(HEADERS, END_HEADERS | END_STREAM, 5, 0));
        streams.flushed();
        assert!(rest.since().is_none());
        // Trailers, and a head that was not read to its end.
        streams.read(header(HEADERS, END_HEADERS | END_STREAM, 1));
        streams.caught_up();
        streams.read(header(HEADERS, 0, 7));
        streams.read(header(RST_STREAM, 0, 1));
        streams.flushed();
        assert!(rest.since().is_some());
        streams.caught_up();
        assert!(rest.since().is_none());
    }
}
