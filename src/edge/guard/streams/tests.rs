use super::super::frame::{HEADER, reset};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn frame(kind: u8, flags: u8, stream: u8, length: u8) -> Vec<u8> {
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    frame.resize(HEADER + usize::from(length), 0);
    frame
}

fn header(kind: u8, flags: u8, stream: u8) -> Met {
    let frame = frame(kind, flags, stream, 0);
    Met::Header(FrameHeader::from(*frame.first_chunk().unwrap()))
}

/// Requests without a body, or with one that does not end.
fn with_requests(streams: &[u8], flags: u8) -> (Streams, Arc<Rest>) {
    let rest = Arc::new(Rest::new(Instant::now(), None));
    let mut all = Streams::new(rest.clone(), Metrics::new());
    for &stream in streams {
        all.read(header(HEADERS, END_HEADERS | flags, stream));
        all.caught_up();
    }
    (all, rest)
}

/// Who is waited for with 30 s for each wait and the usual rate, and for how long.
fn late(streams: &mut Streams) -> Option<(u64, Late)> {
    let (deadline, late) = streams.deadline(Some(30 * SECOND), Some(240))?;
    let left = deadline.saturating_duration_since(Instant::now());
    Some((left.as_secs_f64().round() as u64, late))
}

#[test]
fn an_answer_is_under_way_up_to_its_last_byte_however_it_is_cut() {
    let answer = [
        frame(HEADERS, 0, 1, 30),
        frame(CONTINUATION, END_HEADERS, 1, 3),
        frame(DATA, 0, 1, 200),
        frame(DATA, END_STREAM, 1, 200),
    ]
    .concat();
    for size in 1..=answer.len() {
        let (mut streams, rest) = with_requests(&[1], END_STREAM);
        for part in answer.chunks(size) {
            assert!(rest.since().is_none(), "{size}");
            streams.wrote(part);
            assert!(rest.since().is_none(), "{size}");
        }
        streams.flushed();
        assert!(rest.since().is_some(), "{size}");
        assert!(streams.open.is_empty());
    }
}

#[test]
fn an_answer_ends_once_whatever_is_written_behind_it() {
    let (mut streams, rest) = with_requests(&[1, 3], 0);
    for _ in 0..3 {
        streams.wrote(&frame(HEADERS, END_HEADERS | END_STREAM, 1, 9));
        streams.wrote(&frame(DATA, 0, 1, 9));
    }
    streams.flushed();
    assert!(rest.since().is_none(), "3 has no answer");
    streams.wrote(&frame(HEADERS, END_HEADERS | END_STREAM, 3, 9));
    streams.flushed();
    assert!(rest.since().is_some());
}

#[test]
fn a_head_with_the_end_in_it_ends_with_its_last_frame() {
    let (mut streams, rest) = with_requests(&[1], END_STREAM);
    streams.wrote(&frame(HEADERS, END_STREAM, 1, 9));
    streams.flushed();
    assert!(rest.since().is_none());
    streams.wrote(&frame(CONTINUATION, END_HEADERS, 1, 9));
    streams.flushed();
    assert!(rest.since().is_some());
}

#[test]
fn all_requests_must_have_ended_one_way_or_another() {
    let (mut streams, rest) = with_requests(&[1, 3, 5], 0);
    streams.wrote(&reset(3, 8));
    streams.wrote(&reset(3, 8));
    streams.wrote(&frame(HEADERS, END_HEADERS | END_STREAM, 5, 0));
    streams.flushed();
    assert!(rest.since().is_none());
    // Trailers, and a head that was not read to its end.
    streams.read(header(HEADERS, END_HEADERS | END_STREAM, 1));
    streams.caught_up();
    streams.read(header(HEADERS, 0, 7));
    streams.read(header(RST_STREAM, 0, 1));
    streams.flushed();
    assert!(rest.since().is_some());
    streams.caught_up();
    assert!(rest.since().is_none());
}

#[test]
fn requests_behind_the_last_that_is_served_are_not_under_way() {
    let (mut streams, rest) = with_requests(&[1, 3, 5], 0);
    streams.wrote(&frame(HEADERS, END_HEADERS | END_STREAM, 1, 0));
    streams.read(header(HEADERS, 0, 7));
    streams.wrote(&farewell(LAST_STREAM));
    streams.wrote(&farewell(1));
    streams.caught_up();
    streams.read(header(HEADERS, END_HEADERS, 9));
    streams.caught_up();
    streams.flushed();
    assert!(rest.since().is_some());
    let numbers: Vec<u32> = streams.open.iter().map(|it| it.number).collect();
    assert_eq!((numbers, streams.unanswered), (vec![1], 0));
    assert!(streams.farewell().is_empty());
}

#[test]
fn there_are_never_more_requests_than_anyone_may_have() {
    let (mut streams, _) = with_requests(&[], END_STREAM);
    for number in 0..=u32::try_from(MOST_OPEN).unwrap() {
        assert!(!streams.are_too_many(), "{number}");
        let head = FrameHeader {
            length: 0,
            kind: HEADERS,
            flags: END_HEADERS | END_STREAM,
            stream: 2 * number + 1,
        };
        streams.read(Met::Header(head));
        streams.caught_up();
    }
    assert!(streams.are_too_many());
}

#[test]
fn a_client_that_was_not_told_how_far_it_was_served_is_told_at_the_end() {
    let (mut streams, _) = with_requests(&[1, 3], END_STREAM);
    streams.wrote(&farewell(LAST_STREAM));
    assert_eq!(streams.farewell(), farewell(3));
    streams.wrote(&[0, 0]);
    assert!(streams.farewell().is_empty(), "in a frame");
}

#[test]
fn a_body_behind_its_answer_is_waited_for_until_it_ends() {
    let (mut streams, rest) = with_requests(&[1], 0);
    assert_eq!(late(&mut streams), None);
    streams.wrote(&frame(HEADERS, END_HEADERS | END_STREAM, 1, 9));
    streams.flushed();
    assert!(rest.since().is_some());
    let expected = Some((10, Late::Stream(1, LATE_BODY)));
    assert_eq!(late(&mut streams), expected);
    streams.read(header(DATA, 0, 1));
    assert_eq!(late(&mut streams), expected);
    streams.read(header(DATA, END_STREAM, 1));
    assert_eq!(late(&mut streams), None);
    assert!(streams.open.is_empty());
}

#[test]
fn a_stream_without_a_window_is_waited_for_once_its_answer_has_begun() {
    let (mut streams, _) = with_requests(&[1, 3], END_STREAM);
    streams.read(Met::InitialWindow(100));
    assert_eq!(late(&mut streams), None);
    streams.wrote(&frame(HEADERS, END_HEADERS, 3, 9));
    streams.wrote(&frame(DATA, 0, 3, 99));
    assert_eq!(late(&mut streams), None);
    streams.wrote(&frame(DATA, 0, 3, 1));
    let slow = Some((10, Late::Stream(3, SLOW_READER)));
    assert_eq!(late(&mut streams), slow);
    streams.read(Met::Window { stream: 3, more: 1 });
    assert_eq!(late(&mut streams), None);
    streams.read(Met::InitialWindow(99));
    assert_eq!(late(&mut streams), slow);
    streams.read(Met::InitialWindow(100));
    streams.wrote(&frame(DATA, END_STREAM, 3, 1));
    assert_eq!(late(&mut streams), None);
}

#[test]
fn a_connection_without_a_window_is_waited_for_as_a_whole() {
    let (mut streams, _) = with_requests(&[1, 3], END_STREAM);
    streams.read(Met::InitialWindow(1 << 20));
    streams.wrote(&frame(HEADERS, END_HEADERS, 1, 9));
    for _ in 0..257 {
        assert_eq!(late(&mut streams), None);
        streams.wrote(&frame(DATA, 0, 1, 255));
    }
    // What was taken so far gives time, but no wait is longer than the pause.
    assert_eq!(late(&mut streams), Some((30, Late::Connection)));
    streams.read(Met::Window { stream: 0, more: 1 });
    assert_eq!(late(&mut streams), None);
    streams.wrote(&frame(DATA, 0, 1, 1));
    assert_eq!(late(&mut streams), Some((30, Late::Connection)));
    streams.cut(1, Http2Code::Cancel);
    assert_eq!(late(&mut streams), None);
}
