//! How a tunnel ends, and what is said of it then.

use super::proxying::{edge_to, skip_head};
use super::tunnels::{AGREE, ASK, agreeing, assert_echoes, assert_opens, echo};
use crate::support::{Edge, PATIENCE, RawOrigin, until};
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::mpsc,
};

#[test]
fn each_side_of_a_tunnel_sees_the_end_of_the_other() {
    let (ended, end) = mpsc::channel();
    let origin = RawOrigin::start(move |mut stream: &TcpStream, number| {
        let mut reader = BufReader::new(stream);
        skip_head(&mut reader);
        stream.write_all(AGREE).unwrap();
        if number > 1 {
            echo(&mut reader, stream);
            ended.send(()).unwrap();
        }
    });
    let edge = edge_to(origin.address());
    let mut client = edge.client();
    client.send(ASK);
    assert_opens(&mut client);
    assert_eq!(client.rest(), b"", "the server has gone");
    let mut client = edge.client();
    client.send(ASK);
    assert_opens(&mut client);
    drop(client);
    end.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_tunnel_is_in_flight_until_it_ends_and_logged_when_it_does() {
    let origin = agreeing(AGREE);
    let edge = edge_to(origin.address());
    let in_flight = || {
        let shown = edge.control().get("/v1/upstreams/web").is(200).json;
        shown["servers"][0]["status"]["in_flight"].clone()
    };
    let mut client = edge.client();
    client.send(ASK);
    assert_opens(&mut client);
    assert_echoes(&mut client);
    assert_eq!(in_flight(), 1);
    assert!(edge.access_log().is_empty());
    drop(client);
    let record = edge.record("/");
    assert_eq!(record["status"], 101);
    assert_eq!(record["bytes"], "ONE\nTWO\n".len());
    assert_eq!(record["attempts"][0]["failure"], json!(null));
    until("it is not in flight", || (in_flight() == 0).then_some(()));
}

#[test]
fn a_tunnel_that_breaks_says_whose_side_it_was() {
    let cut = |stream: &TcpStream| {
        let zero = Some(std::time::Duration::ZERO);
        socket2::SockRef::from(stream).set_linger(zero).unwrap();
    };
    let origin = RawOrigin::start(move |mut stream: &TcpStream, number| {
        let mut reader = BufReader::new(stream);
        skip_head(&mut reader);
        stream.write_all(AGREE).unwrap();
        if number == 1 {
            cut(stream);
        } else {
            let _its_end = reader.read_line(&mut String::new());
        }
    });
    let edge = edge_to(origin.address());
    for (path, reason) in [("/1", "upstream_reset"), ("/2", "client_aborted")] {
        let mut client = TcpStream::connect(edge.address()).unwrap();
        let ask = ASK.replace("GET /", &format!("GET {path}"));
        client.write_all(ask.as_bytes()).unwrap();
        let mut reader = BufReader::new(&client);
        skip_head(&mut reader);
        if path == "/2" {
            cut(&client);
        } else {
            assert_eq!(reader.read_line(&mut String::new()).unwrap(), 0);
        }
        drop(client);
        assert_eq!(edge.record(path)["reason"], reason);
    }
}

#[test]
fn a_tunnel_goes_on_while_the_process_waits_for_its_end() {
    let origin = agreeing(AGREE);
    let mut edge = Edge::builder()
        .with(&json!({ "upstreams": { "web": { "servers": [origin.address()] } } }).to_string())
        .with("server: { shutdown_grace: 60s }")
        .route("*", "web")
        .start();
    let mut client = edge.client();
    client.send(ASK);
    assert_opens(&mut client);
    edge.terminate();
    edge.wait_for_stderr("stopping");
    assert_echoes(&mut client);
    drop(client);
    assert!(edge.wait_exit().success());
}

#[test]
fn a_tunnel_that_falls_silent_or_breaks_is_never_begun_again_elsewhere() {
    let asked = || {
        RawOrigin::start(|mut stream: &TcpStream, _| {
            let mut reader = BufReader::new(stream);
            skip_head(&mut reader);
            stream.write_all(AGREE).unwrap();
            let mut line = String::new();
            while matches!(reader.read_line(&mut line), Ok(1..)) {
                if line == "break\n" {
                    return socket2::SockRef::from(stream)
                        .set_linger(Some(std::time::Duration::ZERO))
                        .unwrap();
                }
                stream.write_all(line.to_uppercase().as_bytes()).unwrap();
                line.clear();
            }
        })
    };
    for last in ["one\n", "break\n"] {
        let origins = [asked(), asked()];
        let servers = origins.each_ref().map(RawOrigin::address);
        let web = json!({ "upstreams": { "web": { "servers": servers } } });
        let edge = Edge::builder()
            .with(&web.to_string())
            .route("*", "web")
            .listener("limits: { websocket_idle: 400ms }")
            .start();
        let mut client = edge.client();
        client.send(ASK);
        assert_opens(&mut client);
        assert_echoes(&mut client);
        client.send(last);
        let rest = String::from_utf8(client.rest()).unwrap();
        assert_eq!(rest, if last == "one\n" { "ONE\n" } else { "" });
        let asked: usize = origins.iter().map(RawOrigin::connections).sum();
        assert_eq!(asked, 1, "{last}");
        let shown = edge.control().get("/v1/upstreams/web").is(200).json;
        for server in shown["servers"].as_array().unwrap() {
            assert_ne!(server["status"]["state"], "ejected", "{last}");
        }
    }
}

#[test]
fn a_client_of_a_tunnel_that_takes_nothing_is_cut_like_one_of_a_response() {
    let origin = RawOrigin::start(|mut stream: &TcpStream, _| {
        skip_head(&mut BufReader::new(stream));
        stream.write_all(AGREE).unwrap();
        while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
    });
    let web = json!({ "upstreams": { "web": { "servers": [origin.address()] } } });
    let edge = Edge::builder()
        .with(&web.to_string())
        .route("*", "web")
        .listener("limits: { body_timeout: 500ms }")
        .start();
    let mut client = edge.client();
    client.send(ASK);
    assert_eq!(edge.record("/")["reason"], "client_slow");
}

#[test]
fn what_a_server_said_last_arrives_although_the_client_speaks_on() {
    const LENGTH: usize = 1_000_000;
    let origin = RawOrigin::start(|mut stream: &TcpStream, _| {
        let mut reader = BufReader::new(stream);
        skip_head(&mut reader);
        stream.write_all(AGREE).unwrap();
        stream.write_all(&[b'x'; LENGTH]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        while matches!(reader.read_line(&mut String::new()), Ok(1..)) {}
    });
    let edge = edge_to(origin.address());
    let mut client = edge.client();
    client.send(ASK);
    assert_opens(&mut client);
    assert_eq!(edge.record("/")["bytes"], LENGTH);
    client.send("still here\n");
    assert_eq!(client.rest().len(), LENGTH);
}
