use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deadline::Pace;
use super::frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHeader, HEADERS, LAST_STREAM, Met,
    RST_STREAM, Scan, farewell,
};
use crate::edge::rest::Rest;
use crate::ports::client_connection::{LATE_BODY, SLOW_READER};
use crate::ports::telemetry::{Http2Code, Metrics};

/// Which requests are under way on one connection, by its frames: those whose head was read to its end, and whose answer was
/// not yet written to its end. What was written may still wait for a flush. And which of them wait for the client.
#[derive(Debug)]
pub(super) struct Streams {
    /// In ascending order: clients have no other.
    open: Vec<Stream>,
    /// So many of them are not answered to the end.
    unanswered: usize,
    latest: u32,
    /// Later ones are ignored, as the client was told.
    last: u32,
    /// Whose head comes in, and whether a body is to follow.
    begins: Option<(u32, bool)>,
    written: Scan,
    /// Whose answer's last frame goes out, and whether that leaves the rest of the body to come.
    ends: Option<(u32, bool)>,
    /// Writing a head whose end is in a later frame.
    in_block: bool,
    is_at_rest: bool,
    /// What may be sent on the whole connection.
    window: i64,
    taken: Pace,
    /// What may be sent on a new stream.
    initial: i64,
    rest: Arc<Rest>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Stream {
    number: u32,
    /// Whether more of the request is to come.
    sends: bool,
    answer: Answer,
    /// How much of the answer the client takes.
    window: i64,
    taken: Pace,
    /// Of the body, behind the answer.
    given: Pace,
}

/// In the order in which it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    None,
    Begun,
    Ended,
}

/// Who keeps us waiting for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// The connection as a whole takes nothing.
    Connection,
    /// This stream, which is to be cut with this code.
    Stream(u32, u32),
}

/// More than `h2_streams` may be, and than one read brings that the library has yet to refuse.
const MOST_OPEN: usize = 1 << 14;

/// RFC 9113 section 6.9.2.
const FIRST_WINDOW: i64 = 65_535;

impl Streams {
    /// None, so that the connection is at rest.
    pub(super) fn new(rest: Arc<Rest>, metrics: Metrics) -> Self {
        Self {
            open: Vec::new(),
            unanswered: 0,
            latest: 0,
            last: LAST_STREAM,
            begins: None,
            written: Scan::default(),
            ends: None,
            in_block: false,
            is_at_rest: true,
            window: FIRST_WINDOW,
            taken: Pace::default(),
            initial: FIRST_WINDOW,
            rest,
            metrics,
        }
    }

    /// This was read.
    pub(super) fn read(&mut self, met: Met) {
        match met {
            Met::Header(header) => self.read_header(header),
            Met::InitialWindow(size) => {
                let more = i64::from(size) - self.initial;
                self.initial = i64::from(size);
                self.open.iter_mut().for_each(|it| it.window += more);
            }
            Met::Window { stream: 0, more } => self.window += i64::from(more),
            Met::Window { stream, more } => {
                if let Some(stream) = self.stream(stream) {
                    stream.window += i64::from(more);
                }
            }
            Met::Reset(_) | Met::GoAway { .. } => {}
        }
    }

    fn read_header(&mut self, header: FrameHeader) {
        let is_last = header.flags & END_STREAM != 0;
        match header.kind {
            HEADERS if header.stream > self.latest => self.begins = Some((header.stream, !is_last)),
            // Trailers have the number of a request that there was.
            DATA | HEADERS => {
                let Some(stream) = self.stream(header.stream) else {
                    return;
                };
                stream.given.moved(header.length);
                stream.sends &= !is_last;
                if stream.is_over() {
                    self.close(header.stream);
                }
            }
            RST_STREAM => self.close(header.stream),
            _ => {}
        }
    }

    /// All that was begun was read to its end.
    pub(super) fn caught_up(&mut self) {
        if let Some((number, sends)) = self.begins.take()
            && number <= self.last
        {
            self.latest = number;
            self.open.push(Stream {
                number,
                sends,
                answer: Answer::None,
                window: self.initial,
                taken: Pace::default(),
                given: Pace::default(),
            });
            self.unanswered += 1;
            self.rest.count();
            if self.is_at_rest {
                self.is_at_rest = false;
                self.rest.end();
            }
        }
    }

    /// These bytes were written.
    pub(super) fn wrote(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (count, met) = self.written.step(bytes);
            bytes = bytes.get(count..).unwrap_or_default();
            match met {
                Some(Met::Header(header)) => self.write(header),
                Some(Met::Reset(code)) => self.metrics.http2_reset(Http2Code::of(code)),
                Some(Met::GoAway { last, code }) => {
                    if code != 0 {
                        self.metrics.http2_goaway(Http2Code::of(code));
                    }
                    self.end_with(last);
                }
                _ => {}
            }
            if self.may_insert()
                && let Some((stream, leaves_body)) = self.ends.take()
            {
                self.answered(stream, leaves_body);
            }
        }
    }

    fn write(&mut self, header: FrameHeader) {
        if matches!(header.kind, HEADERS | CONTINUATION) {
            self.in_block = header.flags & END_HEADERS == 0;
        }
        if matches!(header.kind, DATA | HEADERS) {
            let length = if header.kind == DATA {
                header.length
            } else {
                0
            };
            let taken = i64::try_from(length).unwrap_or(i64::MAX);
            self.window -= taken;
            self.taken.moved(length);
            if let Some(stream) = self.stream(header.stream) {
                stream.answer = stream.answer.max(Answer::Begun);
                stream.window -= taken;
                stream.taken.moved(length);
            }
        }
        let is_last = match header.kind {
            DATA | HEADERS => header.flags & END_STREAM != 0,
            kind => kind == RST_STREAM,
        };
        if is_last {
            self.ends = Some((header.stream, header.kind != RST_STREAM));
        }
    }

    /// Whether another frame may be written between those that are.
    pub(super) fn may_insert(&self) -> bool {
        self.written.is_between_frames() && !self.in_block
    }

    /// Nothing that was written waits any longer.
    pub(super) fn flushed(&mut self) {
        if self.unanswered == 0 && !self.is_at_rest {
            self.is_at_rest = true;
            self.metrics.http2_refused(self.rest.missed());
            self.rest.begin(Instant::now());
        }
    }

    /// Who is waited for, and until when, with these limits: for what an answer's reader takes as for what a body's sender
    /// gives behind an answer. The time in which nobody is waited for does not count.
    pub(super) fn deadline(
        &mut self,
        pause: Option<Duration>,
        rate: Option<u32>,
    ) -> Option<(Instant, Late)> {
        let mut first: Option<(Instant, Late)> = None;
        let mut look = |is_waiting: bool, pace: &mut Pace, late: Late| {
            if !is_waiting {
                pace.moved(0);
            } else if let Some(limit) = pace.limit(pause, rate)
                && first.is_none_or(|(earlier, _)| limit < earlier)
            {
                first = Some((limit, late));
            }
        };
        let mut is_answering = false;
        for stream in &mut self.open {
            let Stream { number, answer, .. } = *stream;
            let is_begun = answer == Answer::Begun;
            is_answering |= is_begun;
            let slow = Late::Stream(number, SLOW_READER);
            look(is_begun && stream.window <= 0, &mut stream.taken, slow);
            let late = Late::Stream(number, LATE_BODY);
            look(answer == Answer::Ended, &mut stream.given, late);
        }
        let is_waiting = is_answering && self.window <= 0;
        look(is_waiting, &mut self.taken, Late::Connection);
        first
    }

    /// The stream is cut from our side.
    pub(super) fn cut(&mut self, stream: u32, code: Http2Code) {
        self.metrics.http2_reset(code);
        self.close(stream);
    }

    /// The client was told that nothing comes of the requests behind this one.
    fn end_with(&mut self, last: u32) {
        self.last = self.last.min(last);
        let kept = self.open.partition_point(|it| it.number <= self.last);
        for ignored in self.open.drain(kept..) {
            self.unanswered -= usize::from(ignored.answer != Answer::Ended);
        }
    }

    /// Whether more are remembered than there can be. The library ignores heads behind GOAWAY from when it has decided on it, and
    /// nobody hears of that while it cannot be written.
    pub(super) fn are_too_many(&self) -> bool {
        self.open.len() > MOST_OPEN
    }

    /// What tells a client that was not told yet how far its requests were answered, once none is under way.
    pub(super) fn farewell(&self) -> Vec<u8> {
        match self.last == LAST_STREAM && self.may_insert() {
            true => farewell(self.latest).to_vec(),
            false => Vec::new(),
        }
    }

    /// Since when none is under way.
    pub(super) fn rest_since(&self) -> Option<Instant> {
        self.rest.since()
    }

    fn answered(&mut self, number: u32, leaves_body: bool) {
        let Some(stream) = self.stream(number).filter(|it| leaves_body && it.sends) else {
            return self.close(number);
        };
        if stream.answer != Answer::Ended {
            stream.answer = Answer::Ended;
            stream.given = Pace::default();
            self.unanswered -= 1;
        }
    }

    fn stream(&mut self, number: u32) -> Option<&mut Stream> {
        let place = self.place(number)?;
        self.open.get_mut(place)
    }

    fn place(&self, number: u32) -> Option<usize> {
        let found = self.open.binary_search_by_key(&number, |it| it.number);
        found.ok()
    }

    fn close(&mut self, number: u32) {
        if let Some(place) = self.place(number) {
            let closed = self.open.remove(place);
            self.unanswered -= usize::from(closed.answer != Answer::Ended);
        }
    }
}

impl Stream {
    fn is_over(&self) -> bool {
        !self.sends && self.answer == Answer::Ended
    }
}

#[cfg(test)]
mod tests;
