//! HTTP/2: what is passed on as it comes, and the streams that are cut in between.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Guard;
use super::reading::Stage;
use super::streams::Late;

impl Guard {
    /// Passes on what comes. Waits no longer for the rest of a head than a client of HTTP/1 may take, nor for a stream whose
    /// answer it does not take, or whose body it does not end behind its answer.
    pub(super) fn poll_frames(
        &mut self,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let Stage::Frames(frames) = &mut self.stage else {
                return Poll::Ready(Ok(()));
            };
            let most = match frames.insert() {
                Ok(inserted) => {
                    self.passed = inserted.len();
                    self.buffer = inserted.as_slice().into();
                    self.pass_on(out);
                    return Poll::Ready(Ok(()));
                }
                Err(most) => most,
            };
            let before = out.filled().len();
            let polled = if most < out.remaining() {
                let mut part = ReadBuf::new(out.initialize_unfilled_to(most));
                let polled = Pin::new(&mut self.stream).poll_read(context, &mut part);
                let count = part.filled().len();
                out.advance(count);
                polled
            } else {
                Pin::new(&mut self.stream).poll_read(context, out)
            };
            if polled.is_ready() {
                frames.read(
                    out.filled().get(before..).unwrap_or_default(),
                    Instant::now(),
                );
                if frames.are_too_many() {
                    return Poll::Ready(Err(io::Error::other("more requests than are served")));
                }
                return polled;
            }
            ready!(self.poll_late(context))?;
        }
    }

    /// Ready when a stream was cut for what it lacks; an error when the connection is to be.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Stage::Frames(frames) = &mut self.stage else {
            return Poll::Pending;
        };
        let frame = frames.deadline(&self.limits).map(|limit| (limit, None));
        let late = frames.late(&self.limits);
        let late = late.map(|(limit, late)| (limit, Some(late)));
        let first = frame
            .into_iter()
            .chain(late)
            .min_by_key(|(limit, _)| *limit);
        let Some((deadline, late)) = first else {
            return Poll::Pending;
        };
        ready!(self.reading.poll(deadline, context));
        let what = match late {
            Some(Late::Stream(stream, code)) => {
                frames.cut(stream, code, Instant::now());
                return Poll::Ready(Ok(()));
            }
            Some(Late::Connection) => "the client takes nothing",
            None => "a frame takes too long",
        };
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }

    /// Writes what is to stand between two frames, if there is such a place now.
    pub(super) fn poll_insert(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Stage::Frames(frames) = &mut self.stage
            && let Some(frame) = frames.outgoing()
        {
            match Pin::new(&mut self.stream).poll_write(context, frame) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(count) => {
                    let count = count?.min(frame.len());
                    drop(frame.drain(..count));
                    self.took(count);
                }
                Poll::Pending => return self.poll_slow_reader(context).map(Err),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing that was written waits any longer; from here on the client may be waited for, whom nobody reads from now.
    pub(super) fn flushed(&mut self, context: &mut Context<'_>) {
        let Stage::Frames(frames) = &mut self.stage else {
            return;
        };
        frames.flushed();
        if let Some((deadline, _)) = frames.late(&self.limits)
            && self.reading.poll(deadline, context).is_ready()
        {
            context.waker().wake_by_ref();
        }
    }
}
