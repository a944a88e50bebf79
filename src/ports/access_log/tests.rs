//! The access log as a whole: a log, its thread and a real file or pipe.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::*;

fn record() -> Record<'static> {
    Record {
        unix_ms: 1_795_188_802_045,
        client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        listener: "127.0.0.1:8080",
        scheme: "http",
        request_id: "r1",
        method: "GET",
        target: b"/",
        version: http::Version::HTTP_11,
        host: b"example.org",
        status: 200,
        body_bytes: 54,
        duration: Duration::from_micros(1_500),
        waited: None,
        referer: None,
        user_agent: None,
        x_forwarded_for: None,
        route: None,
        upstream: None,
        revision: 1,
        reason: None,
        attempts: &[],
    }
}

fn numbered(number: u64) -> Record<'static> {
    Record {
        revision: number,
        ..record()
    }
}

fn to_file(path: &Path, metrics: &Metrics) -> (AccessLog, WriterGuard) {
    let target = LogTarget::File(path.to_owned());
    AccessLog::open(
        &AccessLogSettings {
            target,
            format: LogFormat::Json,
        },
        metrics,
    )
    .unwrap()
}

fn revisions(text: &str) -> Vec<u64> {
    let revision =
        |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["revision"].as_u64();
    text.lines().filter_map(revision).collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "still not: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Fails the test, rather than hanging it, if `work` blocks.
fn without_blocking(work: impl FnOnce() + Send + 'static) {
    let (done, finished) = channel();
    thread::spawn(move || {
        work();
        done.send(())
    });
    finished.recv_timeout(Duration::from_secs(20)).unwrap();
}

#[test]
fn dropping_the_guard_writes_every_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let metrics = Metrics::new();
    let (log, guard) = to_file(&path, &metrics);
    thread::scope(|scope| {
        for thread in 0..4 {
            let log = log.clone();
            scope.spawn(move || (0..500).for_each(|i| log.log(&numbered(thread * 500 + i))));
        }
    });
    drop(guard);
    let mut seen = revisions(&fs::read_to_string(&path).unwrap());
    seen.sort_unstable();
    assert_eq!(seen, (0..2_000).collect::<Vec<_>>());
    assert_eq!(metrics.access_log_dropped_total(), 0);
}

#[test]
fn a_line_is_written_without_waiting_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let (log, _guard) = to_file(&path, &Metrics::new());
    log.log(&numbered(7));
    until("the line is in the file", || {
        revisions(&fs::read_to_string(&path).unwrap()) == [7]
    });
}

#[test]
fn a_pipe_that_nobody_reads_never_blocks_a_request_and_each_lost_line_is_counted() {
    let (reader, pipe) = io::pipe().unwrap();
    let metrics = Metrics::new();
    let sink = Sink::descriptor(pipe.into());
    let (log, guard) = AccessLog::start(sink, LogFormat::Json, &metrics, 1 << 20).unwrap();
    const LINES: u64 = 10_000;
    without_blocking(move || (0..LINES).for_each(|i| log.log(&numbered(i))));
    let dropped = metrics.access_log_dropped_total();
    assert!(dropped > 0);
    let reading =
        thread::spawn(move || BufReader::new(reader).lines().map_while(Result::ok).count());
    drop(guard);
    assert_eq!(reading.join().unwrap() as u64 + dropped, LINES);
}

#[test]
fn dropping_the_guard_of_a_blocked_pipe_takes_about_a_second() {
    let (_reader, pipe) = io::pipe().unwrap();
    let sink = Sink::descriptor(pipe.into());
    let (log, guard) = AccessLog::start(sink, LogFormat::Json, &Metrics::new(), 1 << 20).unwrap();
    (0..3_000).for_each(|i| log.log(&numbered(i)));
    let start = Instant::now();
    without_blocking(move || drop(guard));
    assert!(
        (1..5).contains(&start.elapsed().as_secs()),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_full_disk_costs_lines_but_never_blocks() {
    let metrics = Metrics::new();
    let sink = Sink::file(Path::new("/dev/full")).unwrap();
    let (log, guard) = AccessLog::start(sink, LogFormat::Json, &metrics, 256 << 10).unwrap();
    const LINES: u64 = 3_000;
    without_blocking(move || {
        (0..LINES).for_each(|i| log.log(&numbered(i)));
        drop(guard);
    });
    assert_eq!(metrics.access_log_dropped_total(), LINES);
}

#[test]
fn reopen_follows_a_renamed_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, rotated) = (
        dir.path().join("access.log"),
        dir.path().join("access.log.1"),
    );
    let (log, guard) = to_file(&path, &Metrics::new());
    log.log(&numbered(1));
    until("the first line is written", || {
        !fs::read(&path).unwrap().is_empty()
    });
    fs::rename(&path, &rotated).unwrap();
    guard.reopen();
    until("the new file is there", || path.exists());
    log.log(&numbered(2));
    drop(guard);
    assert_eq!(revisions(&fs::read_to_string(&rotated).unwrap()), [1]);
    assert_eq!(revisions(&fs::read_to_string(&path).unwrap()), [2]);
}

#[test]
fn a_reopen_that_fails_goes_on_with_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, moved) = (dir.path().join("logs"), dir.path().join("moved"));
    fs::create_dir(&folder).unwrap();
    let (log, guard) = to_file(&folder.join("access.log"), &Metrics::new());
    fs::rename(&folder, &moved).unwrap();
    guard.reopen();
    log.log(&numbered(1));
    drop(guard);
    assert_eq!(
        revisions(&fs::read_to_string(moved.join("access.log")).unwrap()),
        [1]
    );
}

#[test]
fn a_torn_last_line_of_a_crash_does_not_spoil_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    fs::write(&path, "{\"time\":\"2026-").unwrap();
    let (log, guard) = to_file(&path, &Metrics::new());
    log.log(&numbered(1));
    drop(guard);
    let text = fs::read_to_string(&path).unwrap();
    let (torn, rest) = text.split_once('\n').unwrap();
    assert_eq!(torn, "{\"time\":\"2026-");
    assert_eq!(revisions(rest), [1]);
}

#[test]
fn a_path_that_cannot_be_opened_is_named_at_start() {
    let target = LogTarget::File("/nonexistent/access.log".into());
    let settings = AccessLogSettings {
        target,
        format: LogFormat::Main,
    };
    let error = AccessLog::open(&settings, &Metrics::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(
        error
            .to_string()
            .starts_with("access log /nonexistent/access.log: ")
    );
}

#[test]
fn a_log_that_is_off_takes_records_and_does_nothing() {
    let settings = AccessLogSettings {
        target: LogTarget::Off,
        format: LogFormat::Json,
    };
    let metrics = Metrics::new();
    let (log, guard) = AccessLog::open(&settings, &metrics).unwrap();
    assert!(!log.is_on());
    log.log(&record());
    guard.reopen();
    drop(guard);
    assert_eq!(metrics.access_log_dropped_total(), 0);
}
