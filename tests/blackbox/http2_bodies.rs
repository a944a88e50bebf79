//! Bodies over HTTP/2: whole, and ended exactly once towards the servers.

use super::http2::{H2, answer, runtime};
use super::http2_origin::{Call, H2Origin};
use super::proxying::{edge_to, skip_head};
use crate::support::{Edge, Origin, PATIENCE, RawOrigin, Reply};
use bytes::Bytes;
use http::{HeaderMap, Request};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::mpsc,
};
use tokio::time::timeout;

#[test]
fn large_bodies_pass_in_both_directions() {
    let origin = Origin::start();
    origin.by(|seen| Reply::Answer {
        status: 200,
        headers: Vec::new(),
        body: seen.body.clone(),
    });
    let edge = Edge::to([&origin]);
    let body: Vec<u8> = (0..5u32 << 18).flat_map(u32::to_le_bytes).collect();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let request = Request::post("http://a/").body(()).unwrap();
        let answer = h2.call(request, body.clone().into()).await.unwrap();
        assert!(answer.body == body);
    });
    assert!(origin.requests()[0].body == body);
}

#[test]
fn a_body_that_ends_with_an_empty_frame_ends_once() {
    let (bodies, sent) = mpsc::channel();
    let origin = RawOrigin::start(move |mut stream: &TcpStream, _| {
        let mut reader = BufReader::new(stream);
        skip_head(&mut reader);
        let mut body = String::new();
        while !body.ends_with("0\r\n\r\n") {
            reader.read_line(&mut body).unwrap();
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        reader.read_to_string(&mut body).unwrap();
        bodies.send(body).unwrap();
    });
    let edge = edge_to(origin.address());
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let request = Request::post("http://a/").body(()).unwrap();
        let (response, mut body) = h2.send.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"four"), false).unwrap();
        body.send_data(Bytes::new(), true).unwrap();
        let answer = timeout(PATIENCE, answer(response)).await.unwrap().unwrap();
        assert_eq!(answer.status, 200);
    });
    let sent = sent.recv_timeout(PATIENCE).unwrap();
    assert_eq!(sent, "4\r\nfour\r\n0\r\n\r\n");
}

#[test]
fn trailers_of_a_request_are_dropped_and_its_body_arrives_whole() {
    let plain = Origin::start();
    let multiplexed = H2Origin::start(|mut call: Call| async move {
        let body = call.body().await;
        let trailers = call.request.body_mut().trailers().await.unwrap();
        assert!(trailers.is_none(), "{trailers:?}");
        call.answer(body, None);
    });
    for edge in [Edge::to([&plain]), multiplexed.edge()] {
        runtime().block_on(async {
            let mut h2 = H2::connect(&edge).await;
            let request = Request::post("http://a/").body(()).unwrap();
            let (response, mut body) = h2.send.send_request(request, false).unwrap();
            body.send_data(Bytes::from_static(b"four"), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-trailer", "1".parse().unwrap());
            body.send_trailers(trailers).unwrap();
            let answer = timeout(PATIENCE, answer(response)).await.unwrap().unwrap();
            assert_eq!(answer.status, 200);
            assert!(answer.body == b"four" || answer.body == plain.name().as_bytes());
        });
    }
    let seen = plain.requests().pop().unwrap();
    assert_eq!((seen.body.as_slice(), seen.whole), (&b"four"[..], true));
    assert_eq!(multiplexed.requests(), 1);
}

#[test]
fn a_body_that_is_cut_short_is_a_reset_stream() {
    let origin = Origin::start();
    origin.always(Reply::RawThenClose(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_vec(),
    ));
    let edge = Edge::to([&origin]);
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let request = Request::get("http://a/cut").body(()).unwrap();
        assert!(h2.call(request, Bytes::new()).await.is_err());
        origin.always(Reply::Name);
        assert_eq!(h2.get("http://a/").await.status, 200);
    });
}

#[test]
fn head_204_and_304_have_no_body() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let request = Request::head("http://a/").body(()).unwrap();
        let answer = h2.call(request, Bytes::new()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
        for status in [204, 304] {
            origin.once(Reply::status(status));
            let answer = h2.get("http://a/").await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0));
        }
    });
}
