//! How connections of HTTP/2 end: no answer is cut that was logged as sent, and clients are told.

use crate::support::{Client, Edge, EdgeBuilder, Origin, Reply, pause, until};
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACKNOWLEDGED: u8 = 1;

/// A client that reads only when it is told to, with windows that never fill.
struct Raw {
    client: Client,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// Of GOAWAY: the last request that is served.
    fn last(&self) -> u32 {
        u32::from_be_bytes(*self.payload.first_chunk().unwrap())
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

impl Raw {
    fn connect(edge: &Edge) -> Self {
        let mut client = edge.client();
        let wide = [&[0, 4][..], &i32::MAX.to_be_bytes()].concat();
        let more = (i32::MAX - 65535).to_be_bytes();
        let settings = frame(SETTINGS, 0, 0, &wide);
        let window = frame(WINDOW_UPDATE, 0, 0, &more);
        client.send([PREFACE, &settings, &window].concat());
        Self { client }
    }

    /// GET http://a/
    fn ask(&mut self, stream: u32) {
        let head = frame(HEADERS, 5, stream, b"\x82\x86\x84\x01\x01a");
        self.client.send(head);
    }

    fn next(&mut self) -> Frame {
        let header = self.client.read_exactly(9);
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let stream = [header[5], header[6], header[7], header[8]];
        Frame {
            kind: header[3],
            flags: header[4],
            stream: u32::from_be_bytes(stream),
            payload: self.client.read_exactly(length as usize),
        }
    }

    /// The first of this kind that comes.
    fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next();
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Answers the ping that asks how far the client has come when it is asked to leave.
    fn leave(&mut self) {
        assert_eq!(self.next_of(GOAWAY).last(), i32::MAX.cast_unsigned());
        let ping = self.next_of(PING);
        self.client
            .send(frame(PING, ACKNOWLEDGED, 0, &ping.payload));
    }

    /// Reads until so many answers have ended, and says how long they were in all. As it reads it opens windows, as
    /// every client does.
    fn answers(&mut self, count: usize) -> usize {
        let (mut ended, mut length) = (0, 0);
        while ended < count {
            let frame = self.next();
            if frame.kind == DATA {
                length += frame.payload.len();
                ended += usize::from(frame.flags & END_STREAM);
                // Whether anyone still hears it is not the question.
                let _ = self
                    .client
                    .try_send(&self::frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
            }
        }
        length
    }
}

fn builder(origin: &Origin, limits: &str) -> EdgeBuilder {
    Edge::builder()
        .upstream("web", [origin])
        .route("*", "web")
        .listener(&format!("limits: {{ {limits} }}"))
        .with("server: { shutdown_grace: 60s }")
}

/// So long that one fits into what h2 holds for a stream, and all into nothing else.
const LENGTH: usize = 60_000;
const COUNT: usize = 450;

/// Asks for more than the kernel holds, and waits until the edge holds all of it as sent.
fn owed(edge: &Edge, origin: &Origin, count: usize) -> Raw {
    origin.always(Reply::text(&"x".repeat(LENGTH)));
    let mut raw = Raw::connect(edge);
    for number in 0..count {
        raw.ask(2 * u32::try_from(number).unwrap() + 1);
    }
    until("all answers are logged", || {
        (edge.access_log().len() == count).then_some(())
    });
    raw
}

/// Longer than anyone may wait who takes an answer in a buffer for one that was sent.
const SILENCE: Duration = Duration::from_millis(2500);

#[test]
fn answers_that_were_not_read_when_sigterm_came_are_whole() {
    let origin = Origin::start();
    // Most of them in the edge, and all of them in the kernel.
    for count in [COUNT, 5] {
        let mut edge = builder(&origin, "h2_streams: 500").start();
        let mut raw = owed(&edge, &origin, count);
        edge.terminate();
        pause(SILENCE);
        assert_eq!(raw.answers(count), count * LENGTH, "{count}");
        drop(raw);
        assert!(edge.wait_exit().success());
    }
}

#[test]
fn answers_that_were_not_read_outlive_h2_idle() {
    let origin = Origin::start();
    for count in [COUNT, 5] {
        let edge = builder(&origin, "h2_streams: 500, h2_idle: 500ms").start();
        let mut raw = owed(&edge, &origin, count);
        pause(SILENCE);
        assert_eq!(raw.answers(count), count * LENGTH, "{count}");
    }
}

#[test]
fn a_connection_without_requests_is_ended_with_goaway_after_h2_idle() {
    let origin = Origin::start();
    let edge = builder(&origin, "h2_idle: 500ms").start();
    let mut raw = Raw::connect(&edge);
    raw.ask(1);
    raw.next_of(DATA);
    let goaway = raw.next_of(GOAWAY);
    assert_eq!((goaway.stream, &goaway.payload[4..8]), (0, &[0; 4][..]));
    // A request that crossed it is served, and said to be by the second one.
    raw.ask(3);
    let ping = raw.next_of(PING);
    raw.client.send(frame(PING, ACKNOWLEDGED, 0, &ping.payload));
    let mut last = Vec::new();
    let mut ended = Vec::new();
    while last.is_empty() || ended.is_empty() {
        let frame = raw.next();
        match frame.kind {
            GOAWAY => last = frame.payload[..4].to_vec(),
            DATA if frame.flags & END_STREAM != 0 => ended.push(frame.stream),
            _ => {}
        }
    }
    assert_eq!((last, ended), (vec![0, 0, 0, 3], vec![3]));
    while raw.client.has_answer(SILENCE) {
        raw.next();
    }
    assert!(raw.client.is_closed(SILENCE));
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_client_that_does_not_answer_goaway_is_left_all_the_same_and_told_what_was_served() {
    let origin = Origin::start();
    let edge = builder(&origin, "h2_idle: 500ms").start();
    let mut raw = Raw::connect(&edge);
    raw.ask(1);
    assert_eq!(raw.next_of(GOAWAY).last(), i32::MAX.cast_unsigned());
    assert_eq!(raw.next_of(GOAWAY).last(), 1);
    assert!(raw.client.is_closed(SILENCE));
}

/// A client whose connection has had all its requests and was told so, with the first of them still under way.
fn used_up(edge: &Edge, origin: &Origin, requests: u32) -> Raw {
    origin.hold();
    let mut raw = Raw::connect(edge);
    for number in 0..requests {
        raw.ask(2 * number + 1);
    }
    raw.leave();
    assert_eq!(raw.next_of(GOAWAY).last(), 2 * requests - 1);
    raw
}

#[test]
fn requests_behind_the_last_that_is_served_leave_nothing_behind() {
    let origin = Origin::start();
    let edge = builder(&origin, "keepalive_requests: 2").start();
    let mut raw = used_up(&edge, &origin, 2);
    let before = edge.memory();
    let heads = (0..500_000).map(|number| frame(HEADERS, 5, 2 * number + 5, &[]));
    raw.client.send(heads.flatten().collect::<Vec<_>>());
    raw.client.send(frame(PING, 0, 0, &[1; 8]));
    assert_eq!(raw.next_of(PING).payload, [1; 8]);
    let grown = edge.memory().saturating_sub(before);
    // 64 MiB, where each is remembered.
    assert!(grown < 16 << 10, "{grown} KiB");
    origin.release();
    raw.answers(2);
    assert!(raw.client.is_closed(2 * SILENCE));
}

#[test]
fn a_client_that_reads_late_and_opens_windows_has_every_answer_of_a_connection_that_ends() {
    let origin = Origin::start();
    let body = "x".repeat(5000);
    for behind_the_last in [None, Some(21)] {
        origin.always(Reply::text(&body));
        let edge = builder(&origin, "keepalive_requests: 10").start();
        let mut raw = used_up(&edge, &origin, 10);
        if let Some(stream) = behind_the_last {
            raw.ask(stream);
        }
        origin.release();
        until("all answers are logged", || {
            (edge.access_log().len() == 10).then_some(())
        });
        // Its kernel has taken them all; it has read none.
        pause(Duration::from_millis(300));
        let mut ended = 0;
        while ended < 10 {
            let frame = raw.next();
            if frame.kind == DATA {
                ended += usize::from(frame.flags & END_STREAM);
                let window = self::frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
                raw.client.try_send(&window).unwrap();
                pause(Duration::from_millis(20));
            }
        }
    }
}

#[test]
fn a_client_that_takes_nothing_is_cut_and_logged_as_a_slow_one() {
    let origin = Origin::start();
    // More than the kernel takes for it.
    origin.always(Reply::text(&"x".repeat(20 << 20)));
    let edge = builder(&origin, "body_timeout: 1s").start();
    let mut raw = Raw::connect(&edge);
    raw.ask(1);
    let record = until("the request is logged", || edge.access_log().pop());
    assert!(record.contains(r#""reason":"client_slow""#), "{record}");
}
