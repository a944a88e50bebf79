use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Buf;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::Guard;
use super::deadline::Pace;
use super::frames::Frames;
use super::refused::head;
use crate::edge::half_heads::HalfHeads;
use crate::ports::client_connection::{Refusal, Verdict};
use crate::strict::{Body, Head, HeadReader, Part, Rule};

/// Where in its messages a connection is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Between two messages, or in a head.
    Head {
        reader: HeadReader,
        /// When the head began, or the wait for it.
        since: Option<Instant>,
        /// When its first byte came, if that was read before the guard was there.
        begun: Option<Instant>,
    },
    Body(Body),
    /// Behind a request for a tunnel: what follows is not read before the server has answered it, and not here if it agreed.
    Asked,
    /// A tunnel, out of Pingora's hands: all is passed on as it comes.
    Tunnel,
    /// HTTP/2: all is passed on as it comes.
    Frames(Box<Frames>),
    /// Nothing is read any more.
    Over,
}

impl Default for Stage {
    fn default() -> Self {
        Self::beginning(None)
    }
}

impl Stage {
    /// Before a head whose first byte perhaps came at this time.
    pub(super) fn beginning(begun: Option<Instant>) -> Self {
        Self::Head {
            reader: HeadReader::default(),
            since: None,
            begun,
        }
    }
}

impl Guard {
    /// Passes on what may be passed on.
    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.passed > 0 {
                self.pass_on(out);
                return Poll::Ready(Ok(()));
            }
            match &mut self.stage {
                Stage::Over => return Poll::Ready(Ok(())),
                Stage::Frames(_) => return self.poll_frames(context, out),
                Stage::Tunnel => return Pin::new(&mut self.stream).poll_read(context, out),
                Stage::Asked => match self.connection.poll_verdict(context) {
                    // Until Pingora gives the connection up.
                    Poll::Ready(Verdict::Tunnel) => return Poll::Pending,
                    Poll::Ready(Verdict::Http) => self.stage = Stage::default(),
                    Poll::Pending => return self.poll_end(context),
                },
                Stage::Body(_) if self.buffer.is_empty() => {
                    if ready!(self.poll_body(context, out))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Stage::Body(body) => {
                    let part = body.follow(&self.buffer);
                    self.passed = self.body_moved(part)?;
                    if self.passed == 0 && !ready!(self.poll_line(context))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Stage::Head { .. } => {
                    if !self.read_head() && !ready!(self.poll_head(context))? {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }

    pub(super) fn pass_on(&mut self, out: &mut ReadBuf<'_>) {
        let count = self.passed.min(out.remaining());
        out.put_slice(self.buffer.get(..count).unwrap_or_default());
        self.buffer.advance(count);
        self.passed -= count;
        if self.buffer.is_empty() {
            // A connection that waits keeps no buffer.
            self.buffer = bytes::BytesMut::new();
        }
    }

    /// Reads on in the head; whether there is something to pass on now.
    fn read_head(&mut self) -> bool {
        let Stage::Head { reader, .. } = &mut self.stage else {
            return false;
        };
        if self.buffer.is_empty() {
            return false;
        }
        match reader.read(&self.buffer, self.limits.head) {
            Ok(None) => false,
            Ok(Some(head)) => {
                self.half_head = None;
                let rest = self.buffer.get(head.length..).unwrap_or_default();
                let longest = self.limits.body_size.unwrap_or(u64::MAX);
                let followed = Body::new(head.framing, longest, self.limits.head.size)
                    .and_then(|mut body| body.follow(rest).map(|part| (body, part)));
                match followed {
                    // As much of the message as has come is sound; a later part may still not be.
                    Ok((body, part)) => self.begin(head, body, part),
                    Err(rule) => self.refuse(rule),
                }
                true
            }
            Err(rule) => {
                self.refuse(rule);
                true
            }
        }
    }

    fn begin(&mut self, head: Head, body: Body, part: Part) {
        self.passed = match part {
            Part::End(count) | Part::More(count) => head.length + count,
        };
        self.given = Pace::default();
        self.awaits_word = head.expects_word && self.buffer.len() == head.length;
        self.stage = if head.asks_for_tunnel {
            self.connection.ask();
            Stage::Asked
        } else if body.is_done() {
            Stage::default()
        } else {
            Stage::Body(body)
        };
    }

    /// Passes a request of ours on in place of the message.
    fn refuse(&mut self, rule: Rule) {
        let head = head(&self.buffer);
        let request: &[u8] = match head.method.as_str() {
            "HEAD" => b"HEAD / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n",
            _ => b"GET / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n",
        };
        let head = Some(Box::new(head));
        self.connection.refuse(Refusal { rule, head });
        self.half_head = None;
        self.buffer = request.into();
        self.passed = request.len();
        self.stage = Stage::Over;
    }

    /// Breaks the connection in the middle of a body, where no request of ours can stand.
    fn break_off(&mut self, rule: Rule) -> io::Error {
        self.connection.refuse(rule.into());
        self.stage = Stage::Over;
        io::Error::new(io::ErrorKind::InvalidData, rule.code())
    }

    /// How much of the body may be passed on.
    fn body_moved(&mut self, part: Result<Part, Rule>) -> io::Result<usize> {
        match part {
            Ok(Part::More(count)) => Ok(count),
            Ok(Part::End(count)) => {
                self.stage = Stage::default();
                Ok(count)
            }
            Err(rule) => Err(self.break_off(rule)),
        }
    }

    /// Waits for more of a head; false at the end of the connection.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.buffer.capacity() == self.buffer.len() {
            self.buffer.reserve(HEAD_ROOM);
        }
        match poll_read_buf(Pin::new(&mut self.stream), context, &mut self.buffer) {
            Poll::Ready(count) => {
                let is_first = count
                    .as_ref()
                    .is_ok_and(|&count| count == self.buffer.len());
                if let Stage::Head { since, begun, .. } = &mut self.stage
                    && is_first
                {
                    *since = begun.take();
                }
                Poll::Ready(count.map(|count| count > 0))
            }
            Poll::Pending => {
                if !self.buffer.is_empty() && self.half_head.is_none() {
                    self.half_head = self.half_heads.as_ref().map(HalfHeads::begin);
                }
                self.poll_head_deadline(context)
            }
        }
    }

    fn poll_head_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Stage::Head { since, .. } = &mut self.stage else {
            return Poll::Pending;
        };
        let is_idle = self.buffer.is_empty();
        if is_idle && self.connection.is_busy() {
            return Poll::Pending;
        }
        let limit = if is_idle {
            self.limits.keepalive_timeout
        } else {
            self.limits.header_timeout
        };
        let since = *since.get_or_insert_with(Instant::now);
        let Some(deadline) = limit.and_then(|limit| since.checked_add(limit)) else {
            return Poll::Pending;
        };
        ready!(self.reading.poll(deadline, context));
        if is_idle {
            self.stage = Stage::Over;
        } else {
            self.refuse(Rule::HeaderTimeout);
        }
        Poll::Ready(Ok(!is_idle))
    }

    /// Reads the body straight into the reader's buffer, and takes back what lies behind its end or is half a line.
    /// False: all of it was taken back.
    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = out.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, out) {
            Poll::Ready(result) => result?,
            Poll::Pending => return self.poll_body_deadline(context).map(Err),
        }
        let Stage::Body(body) = &mut self.stage else {
            return Poll::Ready(Ok(true));
        };
        let read = out.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.awaits_word = false;
        self.given.moved(read.len());
        let part = body.follow(read);
        let sound = self.body_moved(part);
        let count = *sound.as_ref().unwrap_or(&0);
        if sound.is_ok() {
            let behind = out.filled().get(before + count..).unwrap_or_default();
            self.buffer.extend_from_slice(behind);
        }
        out.set_filled(before + count);
        Poll::Ready(sound.map(|count| count > 0))
    }

    /// Waits for more of a line of the body; false at the end of the connection.
    fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.buffer.reserve(HEAD_ROOM);
        match poll_read_buf(Pin::new(&mut self.stream), context, &mut self.buffer) {
            Poll::Ready(count) => {
                self.given.moved(*count.as_ref().unwrap_or(&0));
                Poll::Ready(count.map(|count| count > 0))
            }
            Poll::Pending => self.poll_body_deadline(context).map(Err),
        }
    }

    fn poll_body_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if self.awaits_word {
            return Poll::Pending; // the server's time limits end it
        }
        let (pause, rate) = (self.limits.body_timeout, self.limits.min_rate);
        let Some(deadline) = self.given.limit(pause, rate) else {
            return Poll::Pending;
        };
        ready!(self.reading.poll(deadline, context));
        Poll::Ready(self.break_off(Rule::BodyTimeout))
    }

    /// Looks for the connection's end while what comes may not be read on.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.len() >= MOST_AHEAD {
            return Poll::Pending;
        }
        self.buffer.reserve(HEAD_ROOM);
        while ready!(poll_read_buf(
            Pin::new(&mut self.stream),
            context,
            &mut self.buffer
        ))? > 0
        {
            if self.buffer.len() >= MOST_AHEAD {
                return Poll::Pending;
            }
            self.buffer.reserve(HEAD_ROOM);
        }
        mem::take(&mut self.buffer);
        self.stage = Stage::Over;
        Poll::Ready(Ok(()))
    }
}

/// A head is rarely longer.
const HEAD_ROOM: usize = 4096;

/// What a client may send ahead of the answer to its request for a tunnel.
const MOST_AHEAD: usize = 16 * 1024;
