use std::time::{Duration, Instant};

/// Follows the frames of one client of HTTP/2 (RFC 9113 section 4.1), to tell whether it is within one and since when:
/// whoever sends a head a byte at a time must not keep a connection for as long as one that rests between requests.
/// What the frames say is left to the reader behind it.
#[derive(Debug)]
pub(super) struct Frames {
    preface_left: usize,
    header: Vec<u8>,
    payload_left: usize,
    is_data: bool,
    /// In a head whose end is in a later frame.
    in_block: bool,
    /// When what is not whole yet began; in DATA, when it last moved.
    since: Option<Instant>,
}

const PREFACE: usize = 24;
const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

impl Frames {
    /// The client's preface is waited for from now on.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            preface_left: PREFACE,
            header: Vec::with_capacity(HEADER),
            payload_left: 0,
            is_data: false,
            in_block: false,
            since: Some(now),
        }
    }

    /// These bytes came.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Instant) {
        let mut begins_anew = self.is_data;
        while !bytes.is_empty() {
            let count = if self.preface_left > 0 {
                take(&mut self.preface_left, bytes)
            } else if self.payload_left > 0 {
                take(&mut self.payload_left, bytes)
            } else {
                self.read_header(bytes)
            };
            bytes = bytes.get(count..).unwrap_or_default();
            begins_anew |= self.is_whole();
        }
        if self.is_whole() {
            self.since = None;
        } else if begins_anew || self.since.is_none() {
            self.since = Some(now);
        }
    }

    /// Until when the rest is waited for, if it is.
    pub(super) fn deadline(
        &self,
        head: Option<Duration>,
        between_reads: Option<Duration>,
    ) -> Option<Instant> {
        let limit = if self.is_data { between_reads } else { head };
        self.since?.checked_add(limit?)
    }

    fn read_header(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(HEADER - self.header.len());
        self.header
            .extend_from_slice(bytes.get(..count).unwrap_or_default());
        if let [a, b, c, kind, flags, ..] = self.header[..]
            && self.header.len() == HEADER
        {
            self.header.clear();
            self.payload_left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            self.is_data = kind == DATA;
            if matches!(kind, HEADERS | CONTINUATION) {
                self.in_block = flags & END_HEADERS == 0;
            }
        } else {
            self.is_data = false;
        }
        count
    }

    fn is_whole(&self) -> bool {
        self.preface_left == 0 && self.payload_left == 0 && self.header.is_empty() && !self.in_block
    }
}

fn take(left: &mut usize, bytes: &[u8]) -> usize {
    let count = bytes.len().min(*left);
    *left -= count;
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(HEADER + usize::from(length), 0);
        frame
    }

    /// The seconds after which each of these, a second apart, would be given up; none if nothing is waited for.
    fn deadlines(parts: &[&[u8]]) -> Vec<Option<u64>> {
        let start = Instant::now();
        let mut frames = Frames::new(start);
        let mut now = start;
        let mut after = |part: &&[u8]| {
            now += SECOND;
            frames.read(part, now);
            let deadline = frames.deadline(Some(10 * SECOND), Some(30 * SECOND))?;
            Some((deadline - start).as_secs())
        };
        parts.iter().map(&mut after).collect()
    }

    #[test]
    fn a_head_has_one_deadline_from_its_first_byte_however_it_is_cut() {
        let head = frame(HEADERS, END_HEADERS, 4);
        let (open, rest) = (frame(HEADERS, 0, 4), frame(CONTINUATION, END_HEADERS, 4));
        let preface = [b'x'; PREFACE];
        let told = deadlines(&[
            &preface[..5],
            &preface[5..],
            &head[..1],
            &head[1..9],
            &head[9..12],
            &head[12..],
            &open,
            &rest[..10],
            &rest[10..],
        ]);
        let seen = [
            Some(10),
            None,
            Some(13),
            Some(13),
            Some(13),
            None,
            Some(17),
            Some(17),
            None,
        ];
        assert_eq!(told, seen);
    }

    #[test]
    fn data_may_take_its_time_as_long_as_it_moves() {
        let (preface, data) = ([b'x'; PREFACE], frame(DATA, 0, 100));
        let told = deadlines(&[
            &preface,
            &data[..20],
            &data[20..50],
            &data[50..],
            &data[..9],
        ]);
        assert_eq!(told, [None, Some(32), Some(33), None, Some(35)]);
    }

    #[test]
    fn what_begins_behind_a_whole_frame_has_a_time_of_its_own() {
        let (preface, head) = ([b'x'; PREFACE], frame(HEADERS, END_HEADERS, 4));
        let both = [&head[2..], &head[..2]].concat();
        let told = deadlines(&[&preface, &head[..2], &both]);
        assert_eq!(told, [None, Some(12), Some(13)]);
    }

    #[test]
    fn the_bytes_may_be_cut_anywhere() {
        let preface = [b'x'; PREFACE].to_vec();
        let all = [
            preface,
            frame(HEADERS, 0, 30),
            frame(CONTINUATION, END_HEADERS, 3),
            frame(DATA, 1, 7),
            frame(4, 0, 0),
        ]
        .concat();
        for size in 1..=all.len() {
            let now = Instant::now();
            let mut frames = Frames::new(now);
            all.chunks(size).for_each(|part| frames.read(part, now));
            assert!(frames.is_whole(), "{size}");
        }
    }
}
