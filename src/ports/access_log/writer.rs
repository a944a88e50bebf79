//! The thread that takes queued lines to the file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::queue::Queue;
use crate::ports::telemetry::Metrics;

/// Owns the writer thread. Dropping it writes what is queued and ends the thread, but waits for that no longer than
/// a second: a disk or a reader that hangs must not keep the process alive.
#[derive(Debug)]
#[must_use = "dropping the guard ends the access log"]
pub struct WriterGuard(Option<Running>);

impl WriterGuard {
    /// Opens the file anew by its path, as after logrotate has renamed it; lines not yet written go to the new file. Returns at
    /// once: the writer thread does it. If the path cannot be opened the old file stays in use and the log says so. Without
    /// effect on standard output.
    pub fn reopen(&self) {
        if let Some(running) = &self.0 {
            running.orders.reopen.store(true, Ordering::Release);
            running.thread.unpark();
        }
    }

    pub(super) fn of_nothing() -> Self {
        Self(None)
    }
}

impl Drop for WriterGuard {
    fn drop(&mut self) {
        let Some(running) = self.0.take() else { return };
        running.orders.stop.store(true, Ordering::Release);
        running.thread.unpark();
        // The thread never sends: the channel ends with it.
        if let Err(RecvTimeoutError::Timeout) = running.ended.recv_timeout(STOP_LIMIT) {
            log::warn!(
                "access log: still blocked after {STOP_LIMIT:?}, leaving the last lines unwritten"
            );
        }
    }
}

/// Starts the thread that writes `queue` to `sink`.
pub(super) fn start(
    sink: Sink,
    queue: Arc<Queue>,
    metrics: Metrics,
) -> io::Result<(WriterGuard, Thread)> {
    let orders = Arc::new(Orders::default());
    let (alive, ended) = channel();
    let writer = Writer {
        chunk: queue.spare(),
        written: 0,
        sink,
        queue,
        metrics,
        orders: Arc::clone(&orders),
        complaint: Complaint::default(),
        _alive: alive,
    };
    let handle = thread::Builder::new()
        .name("access-log".into())
        .spawn(move || writer.run())?;
    let thread = handle.thread().clone();
    let running = Running {
        orders,
        thread: thread.clone(),
        ended,
    };
    Ok((WriterGuard(Some(running)), thread))
}

/// An open file, and where to find it again.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    path: Option<PathBuf>,
}

impl Sink {
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        open(path)
            .map(|file| Self {
                file,
                path: Some(path.to_owned()),
            })
            .map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("access log {}: {error}", path.display()),
                )
            })
    }

    /// A descriptor of its own: a write that blocks must not hold the lock of `std::io::stdout`.
    pub(super) fn stdout() -> io::Result<Self> {
        io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map(Self::descriptor)
    }

    pub(super) fn descriptor(descriptor: OwnedFd) -> Self {
        Self {
            file: descriptor.into(),
            path: None,
        }
    }

    fn name(&self) -> String {
        self.path.as_deref().map_or_else(
            || "standard output".into(),
            |path| path.display().to_string(),
        )
    }
}

/// How often queued lines are written.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// How long the end of the process waits for the last lines.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// How often a lasting failure is mentioned in the process's log.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Running {
    orders: Arc<Orders>,
    thread: Thread,
    ended: Receiver<()>,
}

#[derive(Debug, Default)]
struct Orders {
    reopen: AtomicBool,
    stop: AtomicBool,
}

struct Writer {
    sink: Sink,
    queue: Arc<Queue>,
    metrics: Metrics,
    orders: Arc<Orders>,
    /// Lines taken from the queue, and how many of their bytes are written. Kept when a write fails: the next one goes on
    /// where it stopped, so that a disk that is full for a while loses only what the queue cannot hold.
    chunk: Vec<u8>,
    written: usize,
    complaint: Complaint,
    _alive: Sender<()>,
}

impl Writer {
    fn run(mut self) {
        loop {
            // Read before the queue, so that what was queued before the stop is written.
            let stopping = self.orders.stop.load(Ordering::Acquire);
            if self.orders.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            let outcome = self.write_queued();
            self.complaint.about(&self.sink, outcome, &self.metrics);
            if stopping {
                return self.give_up_rest();
            }
            thread::park_timeout(FLUSH_INTERVAL);
        }
    }

    fn write_queued(&mut self) -> io::Result<()> {
        self.write_chunk()?;
        for shard in 0..self.queue.shards() {
            self.queue.swap(shard, &mut self.chunk);
            self.write_chunk()?;
        }
        Ok(())
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        while let Some(rest) = self
            .chunk
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match self.sink.file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.chunk.clear();
        self.written = 0;
        Ok(())
    }

    fn reopen(&mut self) {
        let Some(path) = &self.sink.path else { return };
        match open(path) {
            Ok(file) => {
                self.sink.file = file;
                // The new file gets the whole of a line that the old one has a part of.
                let written = self.chunk.get(..self.written).unwrap_or_default();
                self.written = written
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map_or(0, |end| end + 1);
            }
            Err(error) => log::warn!(
                "access log: cannot reopen {}, going on with the old file: {error}",
                path.display()
            ),
        }
    }

    /// Counts the lines that the last write left over.
    fn give_up_rest(mut self) {
        let mut lost = lines(self.chunk.get(self.written..).unwrap_or_default());
        for shard in 0..self.queue.shards() {
            self.chunk.clear();
            self.queue.swap(shard, &mut self.chunk);
            lost += lines(&self.chunk);
        }
        if lost > 0 {
            self.metrics.access_log_dropped(lost);
            log::warn!("access log: the last {lost} lines could not be written");
        }
    }
}

/// Appends: two processes that overlap during an upgrade write one after the other. A last line without its end, as a
/// crash or a full disk leaves it, gets one, so that the next line stays whole.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    if ends_within_a_line(path).unwrap_or(false) {
        // Failing here is failing to write, which the first line will report.
        drop(file.write(b"\n"));
    }
    Ok(file)
}

fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    // Only a regular file has an end to look at; opening a named pipe would wait for its other side.
    let metadata = path.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn lines(text: &[u8]) -> u64 {
    text.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// Says once that writing fails, again each minute that it goes on, and once that it works again.
#[derive(Debug, Default)]
struct Complaint {
    last: Option<Instant>,
    failing: bool,
}

impl Complaint {
    fn about(&mut self, sink: &Sink, outcome: io::Result<()>, metrics: &Metrics) {
        let dropped = metrics.access_log_dropped_total();
        match outcome {
            Ok(()) if self.failing => {
                self.failing = false;
                log::info!(
                    "access log: {} takes lines again, {dropped} lost since start",
                    sink.name()
                );
            }
            Ok(()) => {}
            // A pipe in non-blocking mode that is full for the moment.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error)
                if self
                    .last
                    .is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) =>
            {
                self.last = Some(Instant::now());
                self.failing = true;
                log::warn!(
                    "access log: cannot write to {}: {error}; {dropped} lines lost since start",
                    sink.name()
                );
            }
            Err(_) => self.failing = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(path: &Path, chunk: &[u8], written: usize) -> Writer {
        Writer {
            sink: Sink::file(path).unwrap(),
            queue: Arc::new(Queue::new(1 << 16)),
            metrics: Metrics::new(),
            orders: Arc::default(),
            chunk: chunk.to_vec(),
            written,
            complaint: Complaint::default(),
            _alive: channel().0,
        }
    }

    #[test]
    fn a_new_file_gets_the_whole_of_a_line_half_written_to_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rotated) = (dir.path().join("log"), dir.path().join("log.1"));
        let mut writer = writer(&path, b"one\ntwo\nthree\n", 6);
        std::fs::rename(&path, &rotated).unwrap();
        writer.reopen();
        writer.write_queued().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two\nthree\n");
    }

    #[test]
    fn a_failed_write_is_tried_again_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut writer = writer(Path::new("/dev/full"), b"one\ntwo\n", 4);
        assert!(writer.write_queued().is_err());
        writer.sink = Sink::file(&path).unwrap();
        writer.write_queued().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two\n");
    }

    #[test]
    fn a_lasting_failure_is_mentioned_once() {
        let (sink, metrics) = (Sink::file(Path::new("/dev/full")).unwrap(), Metrics::new());
        let mut complaint = Complaint::default();
        complaint.about(&sink, Err(ErrorKind::StorageFull.into()), &metrics);
        let first = complaint.last;
        complaint.about(&sink, Err(ErrorKind::StorageFull.into()), &metrics);
        assert!(first.is_some() && complaint.failing);
        assert_eq!(complaint.last, first);
    }
}
