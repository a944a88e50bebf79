//! The access log: one line per request, written by a thread of its own.
//!
//! [`AccessLog::log`] formats the line on the calling thread and appends it to a buffer in memory; the writer thread takes
//! whole buffers to the file ten times a second, or as soon as one holds [`WAKE_BYTES`]. A request never
//! waits for the disk or for the reader of a pipe: what does not fit in [`CAPACITY_BYTES`] is dropped and counted in
//! `pointsman_access_log_dropped_total`. Lines of different threads may stand up to a tenth of a second out of order.

mod escape;
mod format;
mod queue;
mod record;
mod writer;

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::Thread;

pub use record::{Attempt, Record};
pub use writer::WriterGuard;

use super::telemetry::Metrics;
use format::Formatter;
use queue::{Pushed, Queue};
use writer::Sink;

/// Where the access log goes and what its lines look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogSettings {
    /// Where the lines go.
    pub target: LogTarget,
    /// What a line looks like.
    pub format: LogFormat,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Appended to the file at this path, which is created if missing. See [`WriterGuard::reopen`].
    File(PathBuf),
    /// The process's standard output.
    Stdout,
    /// Nowhere: nothing is formatted.
    Off,
}

/// What a line of the access log looks like. No line is longer than 8 KiB: a field that is too long ends in `…` (as
/// `\xE2\x80\xA6` in the two formats of nginx, whose lines are ASCII).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object; every key is always there, `null` where there is nothing to say. In this order:
    ///
    /// | key | value |
    /// |---|---|
    /// | `time` | end of the request, RFC 3339 in UTC with milliseconds |
    /// | `request_id` | as sent on in `X-Request-ID` |
    /// | `client` | IP address, `null` on a unix socket |
    /// | `listener` | the listener's address |
    /// | `scheme` | what clients use there: `http` or `https` |
    /// | `method`, `host`, `target`, `version` | as the client sent them; bytes that are not UTF-8 become U+FFFD |
    /// | `status` | number; 499 when the client left before there was a response |
    /// | `bytes` | body bytes sent to the client |
    /// | `duration_ms` | from the request's first byte to the last of the response, to the microsecond |
    /// | `route`, `upstream` | the route's id and the group's name, `null` if it did not come to that |
    /// | `revision` | number of the revision by which the request was routed |
    /// | `reason` | why this process answered or ended the request itself, else `null` |
    /// | `attempt_count` | attempts in all |
    /// | `attempts` | the first eight: `server`, `status` or `failure` (the other `null`), `duration_ms` |
    /// | `referer`, `user_agent`, `x_forwarded_for` | the request's headers, `null` if absent |
    Json,
    /// The `combined` format of nginx and Apache. `$remote_user` is always `-`: credentials are not read.
    Combined,
    /// nginx's `main`: `combined` and `"$http_x_forwarded_for"`.
    Main,
}

/// The right to write to the access log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLog(Option<Arc<Open>>);

impl AccessLog {
    /// Opens the target and starts the writer thread, which ends when the guard is dropped. Keep the guard until the last
    /// request has been logged, and call this after any fork (a thread does not survive one).
    ///
    /// # Errors
    /// The file cannot be opened (the message names its path), or the thread cannot be started.
    pub fn open(
        settings: &AccessLogSettings,
        metrics: &Metrics,
    ) -> io::Result<(Self, WriterGuard)> {
        let sink = match &settings.target {
            LogTarget::Off => return Ok((Self::off(), WriterGuard::of_nothing())),
            LogTarget::Stdout => Sink::stdout()?,
            LogTarget::File(path) => Sink::file(path)?,
        };
        Self::start(sink, settings.format, metrics, CAPACITY_BYTES)
    }

    /// A log that goes nowhere.
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether lines go anywhere. If not, there is no need to build a [`Record`].
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Queues one line. Never waits for I/O; a line that finds no room is dropped and counted.
    pub fn log(&self, record: &Record<'_>) {
        let Some(open) = &self.0 else { return };
        // Only while the thread is being torn down is there no formatter any more.
        let pushed = FORMATTER.try_with(|formatter| match formatter.try_borrow_mut() {
            Ok(mut formatter) => open.queue.push(formatter.line(open.format, record)),
            Err(_) => Pushed::Full,
        });
        match pushed.unwrap_or(Pushed::Full) {
            Pushed::Queued => {}
            Pushed::Wake => open.writer.unpark(),
            Pushed::Full => open.metrics.access_log_dropped(1),
        }
    }

    fn start(
        sink: Sink,
        format: LogFormat,
        metrics: &Metrics,
        capacity: usize,
    ) -> io::Result<(Self, WriterGuard)> {
        let queue = Arc::new(Queue::new(capacity));
        let (guard, writer) = writer::start(sink, Arc::clone(&queue), metrics.clone())?;
        let metrics = metrics.clone();
        let open = Open {
            format,
            queue,
            writer,
            metrics,
        };
        Ok((Self(Some(Arc::new(open))), guard))
    }
}

/// Memory for lines not yet written, in all. At 500 bytes a line and 50,000 requests a second that bridges a disk
/// that hangs for 0.3 s; at 1,000 a second, 16 s.
pub const CAPACITY_BYTES: usize = 8 << 20;

/// A buffer that passes this wakes the writer thread: at 500 bytes a line one wake-up (about 5 µs) per 130 lines.
pub const WAKE_BYTES: usize = 64 << 10;

#[derive(Debug)]
struct Open {
    format: LogFormat,
    queue: Arc<Queue>,
    writer: Thread,
    metrics: Metrics,
}

thread_local! {
    static FORMATTER: RefCell<Formatter> = RefCell::new(Formatter::default());
}

#[cfg(test)]
mod tests;
