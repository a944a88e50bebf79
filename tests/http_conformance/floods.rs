//! Floods of HTTP/2 frames, each bounded in number and time, with what they cost: attack classes X1 to X6.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::frames::{
    self, CONTINUATION, DATA, END_HEADERS, Frame, HEADERS, PING, RST_STREAM, SETTINGS, WHOLE,
    WINDOW_UPDATE, connection, frame,
};
use crate::support::{Edge, Origin, Reply, until};

/// No flood lasts longer.
const LONGEST: Duration = Duration::from_secs(10);

/// RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

/// What a flood did.
#[derive(Debug)]
struct Flood {
    /// Pieces that were sent before the connection ended.
    sent: usize,
    /// The code of the GOAWAY, and when it came.
    goaway: Option<(u32, Duration)>,
    /// KiB more in memory at the end.
    memory: u64,
    cpu: Duration,
    /// Requests that reached the server.
    requests: usize,
}

/// Sends the pieces on one connection while a client of HTTP/1 goes on; it must not notice.
fn flood(name: &str, edge: &Edge, origin: &Origin, pieces: impl Iterator<Item = Vec<u8>>) -> Flood {
    let mut beside = edge.client();
    assert_eq!(beside.get("/beside", &[]).status, 200);
    origin.forget();
    let (memory, cpu, begun) = (edge.memory(), edge.cpu(), Instant::now());
    let mut stream = TcpStream::connect(edge.address()).unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    let mut reader = stream.try_clone().unwrap();
    let reading = thread::spawn(move || {
        while let Some(frame) = Frame::read(&mut reader) {
            if frame.kind == frames::GOAWAY && frame.code(4) != 0 {
                return Some((frame.code(4), begun.elapsed()));
            }
        }
        None
    });
    stream.write_all(&connection(&[])).unwrap();
    let mut sent = 0;
    for piece in pieces {
        if begun.elapsed() > LONGEST || stream.write_all(&piece).is_err() {
            break;
        }
        sent += 1;
        if sent % 1000 == 0 {
            assert_eq!(
                beside.get("/beside", &[]).status,
                200,
                "{name}: the client beside it"
            );
        }
    }
    let _already_closed = stream.shutdown(Shutdown::Write);
    let goaway = reading.join().unwrap();
    assert_eq!(
        beside.get("/beside", &[]).status,
        200,
        "{name}: the client beside it"
    );
    let requests = origin.requests();
    let requests = requests
        .iter()
        .filter(|seen| seen.path != "/beside")
        .count();
    let flood = Flood {
        sent,
        goaway,
        memory: edge.memory().saturating_sub(memory),
        cpu: edge.cpu().saturating_sub(cpu),
        requests,
    };
    println!(
        "{name}: {} writes, GOAWAY {:?}, {} KiB more, {:?} of CPU, {requests} requests at the server",
        flood.sent, flood.goaway, flood.memory, flood.cpu
    );
    flood
}

fn head() -> Vec<u8> {
    frames::block(&[
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"a"),
        (b":path", b"/flood"),
    ])
}

fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| number * 2 + 1)
}

/// In KiB.
const MIB: u64 = 1 << 10;

#[test]
fn rapid_resets_end_the_connection_and_hardly_reach_a_server() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let (block, cancel) = (head(), 8u32.to_be_bytes());
    let pieces = streams(100_000).map(|stream| {
        [
            frame(HEADERS, WHOLE, stream, &block),
            frame(RST_STREAM, 0, stream, &cancel),
        ]
        .concat()
    });
    let flood = flood("X1, rapid reset", &edge, &origin, pieces);
    assert_eq!(flood.goaway.map(|(code, _)| code), Some(ENHANCE_YOUR_CALM));
    assert!(
        flood.requests <= 200 && flood.memory <= 16 * MIB,
        "{flood:?}"
    );
}

#[test]
fn streams_that_are_made_to_be_reset_end_the_connection() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let block = head();
    let pieces = streams(100_000).map(|stream| {
        let by_zero = frame(WINDOW_UPDATE, 0, stream, &[0; 4]);
        [frame(HEADERS, END_HEADERS, stream, &block), by_zero].concat()
    });
    let flood = flood("X2, made to reset", &edge, &origin, pieces);
    assert!(
        flood.goaway.is_some() && flood.memory <= 16 * MIB,
        "{flood:?}"
    );
}

#[test]
fn endless_continuations_end_the_connection() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let line = frames::block(&[(b"x", &[b'y'; 1000])]);
    let more = (0..100_000).map(|_| frame(CONTINUATION, 0, 1, &line));
    let flood = flood(
        "X3, CONTINUATION",
        &edge,
        &origin,
        [frame(HEADERS, 0, 1, &head())].into_iter().chain(more),
    );
    assert!(flood.goaway.is_some() && flood.requests == 0, "{flood:?}");
    assert!(flood.memory <= 16 * MIB, "{flood:?}");
}

#[test]
fn a_head_that_unpacks_to_megabytes_is_refused_in_little_memory() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    // One entry of 3 KB in the table, and then 16,000 references to it, a byte each.
    let mut entry = vec![0x40, 1, b'x'];
    entry.extend([0x7f, 0x81 + 20, 22]);
    entry.extend(vec![b'y'; 127 + 1 + 20 + 22 * 128]);
    let bomb = [head(), entry, vec![0xbe; 12_000]].concat();
    let pieces = streams(100).map(|stream| frame(HEADERS, WHOLE, stream, &bomb));
    let flood = flood("X4, HPACK bomb", &edge, &origin, pieces);
    assert!(flood.requests == 0 && flood.memory <= 32 * MIB, "{flood:?}");
}

#[test]
fn pings_settings_and_empty_frames_cost_little() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let of = |one: Vec<u8>| {
        let thousand = one.repeat(1000);
        (0..200).map(move |_| thousand.clone())
    };
    let open = frame(HEADERS, END_HEADERS, 1, &head());
    let pings = flood(
        "X5, 200,000 PING",
        &edge,
        &origin,
        of(frame(PING, 0, 0, &[0; 8])),
    );
    let settings = flood(
        "X5, 200,000 SETTINGS",
        &edge,
        &origin,
        of(frame(SETTINGS, 0, 0, b"")),
    );
    let empty = of(frame(DATA, 0, 1, b""));
    let empty = flood(
        "X5, 200,000 empty DATA",
        &edge,
        &origin,
        [open].into_iter().chain(empty),
    );
    let windows = flood(
        "X5, 200,000 WINDOW_UPDATE",
        &edge,
        &origin,
        of(frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())),
    );
    for flood in [pings, settings, empty, windows] {
        assert!(flood.memory <= 16 * MIB, "{flood:?}");
    }
}

#[test]
fn resets_that_come_later_are_bounded_too() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let (block, cancel) = (head(), 8u32.to_be_bytes());
    // Two writes: the server reads the head before its end is there.
    let pieces = streams(20_000).flat_map(|stream| {
        [
            frame(HEADERS, WHOLE, stream, &block),
            frame(RST_STREAM, 0, stream, &cancel),
        ]
    });
    let flood = flood("X1, resets in writes of their own", &edge, &origin, pieces);
    assert!(
        flood.requests <= 200 && flood.memory <= 16 * MIB,
        "{flood:?}"
    );
}

#[test]
fn responses_that_nobody_takes_are_held_in_little_memory_and_not_for_long() {
    let origin = Origin::start();
    origin.always(Reply::Answer {
        status: 200,
        headers: Vec::new(),
        body: vec![b'x'; 4 << 20],
    });
    let edge = Edge::builder().upstream("web", [&origin]).route("*", "web");
    let edge = edge
        .listener("limits: { body_timeout: 1s, min_rate: 65536 }")
        .start();
    let mut stream = TcpStream::connect(edge.address()).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let block = head();
    let asked = streams(100).flat_map(|stream| frame(HEADERS, WHOLE, stream, &block));
    let before = edge.memory();
    stream
        .write_all(&connection(&[no_window, asked.collect()]))
        .unwrap();
    until("every request is at the server", || {
        (origin.count() == 100).then_some(())
    });
    let (mut most, mut ended, begun) = (0, 0, Instant::now());
    while ended < 100 {
        let frame = Frame::read(&mut stream).expect("the streams are reset");
        ended += usize::from(frame.kind == RST_STREAM);
        most = most.max(edge.memory().saturating_sub(before));
    }
    println!(
        "X6, 100 responses of 4 MB without a window: {} KiB each, all reset after {:?}",
        most / 100,
        begun.elapsed()
    );
    // A part of 64 KiB, a frame of 16 and what a stream needs: attack class X6 allows 128 KiB.
    assert!(most <= 100 * 128, "{most}");
}
