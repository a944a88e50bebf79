use std::sync::Arc;
use std::time::Instant;

use super::GuardLimits;
use super::frame::{CONTINUATION, DATA, END_HEADERS, FrameHeader, HEADERS, Met, Scan, reset, take};
use super::streams::{Late, Streams};
use crate::edge::rest::Rest;
use crate::ports::client_connection::{Http2Connection, LATE_BODY};
use crate::ports::telemetry::{Http2Code, Metrics};

/// Follows the frames of one connection of HTTP/2 (RFC 9113 section 4.1). Those that come tell whether the client is
/// within one and since when: whoever sends a head a byte at a time must not keep a connection for as long as one that
/// rests between requests. Those of both ways tell whether a request is under way. What the frames say is left to the
/// reader behind it.
#[derive(Debug)]
pub(super) struct Frames {
    preface_left: usize,
    coming: Scan,
    is_data: bool,
    /// In a head whose end is in a later frame.
    in_block: bool,
    /// When what is not whole yet began; in DATA, when it last moved.
    since: Option<Instant>,
    /// The client sends no more.
    is_over: bool,
    streams: Streams,
    connection: Arc<Http2Connection>,
    /// To be read behind the frame that comes.
    to_read: Vec<u8>,
    /// Since when that waits.
    held_since: Option<Instant>,
    /// To be written behind the frame that goes out.
    to_write: Vec<u8>,
}

const PREFACE: usize = 24;

impl Frames {
    /// The client's preface is waited for from now on. `rest` is told when requests begin and end.
    pub(super) fn new(
        now: Instant,
        connection: Arc<Http2Connection>,
        rest: Arc<Rest>,
        metrics: Metrics,
    ) -> Self {
        Self {
            preface_left: PREFACE,
            coming: Scan::default(),
            is_data: false,
            in_block: false,
            since: Some(now),
            is_over: false,
            streams: Streams::new(rest, metrics),
            connection,
            to_read: Vec::new(),
            held_since: None,
            to_write: Vec::new(),
        }
    }

    /// These bytes came; none at the end.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Instant) {
        self.is_over |= bytes.is_empty();
        let mut begins_anew = self.is_data;
        while !bytes.is_empty() {
            let (count, met) = match self.preface_left {
                0 => self.coming.step(bytes),
                _ => (take(&mut self.preface_left, bytes), None),
            };
            bytes = bytes.get(count..).unwrap_or_default();
            self.follow(met);
            if self.is_whole() {
                self.streams.caught_up();
                begins_anew = true;
            }
        }
        if self.is_whole() {
            self.since = None;
        } else if begins_anew || self.since.is_none() {
            self.since = Some(now);
        }
    }

    /// These bytes were written.
    pub(super) fn wrote(&mut self, bytes: &[u8]) {
        self.streams.wrote(bytes);
    }

    /// Nothing that was written waits any longer.
    pub(super) fn flushed(&mut self) {
        self.streams.flushed();
    }

    /// Since when all that the client is to get has been written, if it may still send; and what it is told at the end.
    pub(super) fn owes_nothing_more(&self) -> Option<(Instant, Vec<u8>)> {
        let since = self.streams.rest_since().filter(|_| !self.is_over)?;
        let farewell = match self.to_write.is_empty() {
            true => self.streams.farewell(),
            // A part of it may be written.
            false => Vec::new(),
        };
        Some((since, farewell))
    }

    /// Until when the rest of what comes is waited for, if it is. While the end of a stream waits behind a frame, that frame
    /// has no new time with each byte.
    pub(super) fn deadline(&self, limits: &GuardLimits) -> Option<Instant> {
        let limit = if self.is_data {
            limits.body_timeout
        } else {
            limits.header_timeout
        };
        let since = self.held_since.min(self.since).or(self.since);
        since?.checked_add(limit?)
    }

    /// Who keeps an answer waiting, or the rest of a body behind its answer, and until when that is waited for.
    pub(super) fn late(&mut self, limits: &GuardLimits) -> Option<(Instant, Late)> {
        self.streams.deadline(limits.body_timeout, limits.min_rate)
    }

    /// Whether more requests are under way than anyone may have.
    pub(super) fn are_too_many(&self) -> bool {
        self.streams.are_too_many()
    }

    /// The client takes nothing, and its connection ends.
    pub(super) fn give_up(&self) {
        self.connection.give_up();
    }

    /// Ends a stream for both sides, each of which hears of it as if the other had ended it. An answer that is whole stays so
    /// (RFC 9113 section 8.1).
    pub(super) fn cut(&mut self, stream: u32, code: u32, now: Instant) {
        self.held_since.get_or_insert(now);
        let told = match code {
            LATE_BODY => Http2Code::NoError,
            _ => Http2Code::Cancel,
        };
        self.to_read.extend_from_slice(&reset(stream, code));
        self.to_write
            .extend_from_slice(&reset(stream, told.number()));
        self.streams.cut(stream, told);
    }

    /// What is to be read now, before anything else is. An error says how much may be read until this is asked again: to the
    /// end of a frame, or all.
    pub(super) fn insert(&mut self) -> Result<Vec<u8>, usize> {
        if self.to_read.is_empty() {
            return Err(usize::MAX);
        }
        if !self.is_whole() {
            return Err(self.coming.left());
        }
        self.held_since = None;
        Ok(std::mem::take(&mut self.to_read))
    }

    /// What is to be written now, before anything else is.
    pub(super) fn outgoing(&mut self) -> Option<&mut Vec<u8>> {
        let is_due = !self.to_write.is_empty() && self.streams.may_insert();
        is_due.then_some(&mut self.to_write)
    }

    fn follow(&mut self, met: Option<Met>) {
        if let Some(Met::Header(header)) = met {
            self.begin(header);
        } else if self.coming.is_in_header() {
            self.is_data = false;
        }
        if let Some(met) = met {
            self.streams.read(met);
        }
    }

    fn begin(&mut self, header: FrameHeader) {
        self.is_data = header.kind == DATA;
        if matches!(header.kind, HEADERS | CONTINUATION) {
            self.in_block = header.flags & END_HEADERS == 0;
        }
    }

    fn is_whole(&self) -> bool {
        self.preface_left == 0 && self.coming.is_between_frames() && !self.in_block
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::HEADER;
    use super::*;
    use crate::edge::guard::tests::limits;

    const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

    fn beginning(now: Instant) -> Frames {
        let rest = Arc::new(Rest::new(now, None));
        Frames::new(now, Arc::default(), rest, Metrics::new())
    }

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(HEADER + usize::from(length), 0);
        frame
    }

    /// The seconds after which each of these, a second apart, would be given up; none if nothing is waited for.
    fn deadlines(parts: &[&[u8]]) -> Vec<Option<u64>> {
        let start = Instant::now();
        let mut frames = beginning(start);
        let mut now = start;
        let mut after = |part: &&[u8]| {
            now += SECOND;
            frames.read(part, now);
            let deadline = frames.deadline(&limits())?;
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
    fn a_frame_behind_which_an_end_waits_has_no_new_time_with_each_byte() {
        let start = Instant::now();
        let mut frames = beginning(start);
        frames.read(&[b'x'; PREFACE], start);
        let data = frame(DATA, 0, 100);
        frames.read(&data[..20], start);
        frames.cut(3, LATE_BODY, start + SECOND);
        frames.read(&data[20..40], start + 2 * SECOND);
        assert_eq!(frames.deadline(&limits()), Some(start + 31 * SECOND));
        frames.read(&data[40..], start + 3 * SECOND);
        assert_eq!(frames.insert().unwrap(), reset(3, LATE_BODY));
        frames.read(&data[..20], start + 4 * SECOND);
        assert_eq!(frames.deadline(&limits()), Some(start + 34 * SECOND));
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
            let mut frames = beginning(now);
            all.chunks(size).for_each(|part| frames.read(part, now));
            assert!(frames.is_whole(), "{size}");
        }
    }
}
