//! An upgraded connection is a tunnel, whoever of the three is fast or slow.

use super::proxying::{edge_to, skip_head};
use crate::support::{Client, Edge, Origin, PATIENCE, Port, RawOrigin, Reply};
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::net::UnixListener,
    sync::{Mutex, mpsc},
    thread,
};

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const AGREE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
/// A race that one of 14 tunnels lost before it was mended would be lost here nearly always.
const TRIES: usize = 100;

/// Sends each line back in capitals, until the end.
fn echo(reader: &mut impl BufRead, mut writer: impl Write) {
    let mut line = String::new();
    while matches!(reader.read_line(&mut line), Ok(1..)) {
        writer.write_all(line.to_uppercase().as_bytes()).unwrap();
        line.clear();
    }
}

/// Agrees to a tunnel in these bytes, and then echoes.
fn agreeing(answer: &'static [u8]) -> RawOrigin {
    RawOrigin::start(move |mut stream: &TcpStream, _| {
        let mut reader = BufReader::new(stream);
        skip_head(&mut reader);
        stream.write_all(answer).unwrap();
        echo(&mut reader, stream);
    })
}

fn assert_opens(client: &mut Client) {
    let head = client.read_to("\r\n\r\n").to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 101 ") && head.contains("\r\nupgrade: websocket\r\n"),
        "{head}"
    );
}

fn assert_echoes(client: &mut Client) {
    for word in ["one\n", "two\n"] {
        client.send(word);
        assert_eq!(client.read_to("\n"), word.to_uppercase());
    }
}

#[test]
fn an_upgraded_connection_is_a_tunnel() {
    let origin = agreeing(AGREE);
    let edge = edge_to(origin.address());
    for _ in 0..TRIES {
        let mut client = edge.client();
        client.send(ASK);
        assert_opens(&mut client);
        assert_echoes(&mut client);
    }
}

#[test]
fn a_tunnel_stays_open_however_fast_the_server_agrees() {
    // No server can be faster than this one, which agrees before it was asked.
    let origin = RawOrigin::start(|mut stream: &TcpStream, _| {
        stream.write_all(AGREE).unwrap();
        let mut reader = BufReader::new(stream);
        skip_head(&mut reader);
        echo(&mut reader, stream);
    });
    let edge = edge_to(origin.address());
    for _ in 0..TRIES {
        let mut client = edge.client();
        client.send(ASK);
        assert_opens(&mut client);
        assert_echoes(&mut client);
    }
}

#[test]
fn what_the_server_says_together_with_its_agreement_arrives() {
    let origin = agreeing(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome\n",
    );
    let edge = edge_to(origin.address());
    for _ in 0..TRIES {
        let mut client = edge.client();
        client.send(ASK);
        assert_opens(&mut client);
        assert_eq!(client.read_to("\n"), "welcome\n");
        assert_echoes(&mut client);
    }
}

#[test]
fn what_the_client_says_before_the_agreement_arrives() {
    let origin = agreeing(AGREE);
    let edge = edge_to(origin.address());
    for _ in 0..TRIES {
        let mut client = edge.client();
        client.send(format!("{ASK}early\n"));
        assert_opens(&mut client);
        assert_eq!(client.read_to("\n"), "EARLY\n");
        assert_echoes(&mut client);
    }
}

#[test]
fn what_the_client_says_while_the_server_hesitates_arrives() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = RawOrigin::start(move |mut stream: &TcpStream, _| {
        let mut reader = BufReader::new(stream);
        skip_head(&mut reader);
        wait.lock().unwrap().recv().unwrap();
        stream.write_all(AGREE).unwrap();
        echo(&mut reader, stream);
    });
    let edge = edge_to(origin.address());
    for _ in 0..TRIES {
        let mut client = edge.client();
        client.send(ASK);
        client.send("early\n");
        go_on.send(()).unwrap();
        assert_opens(&mut client);
        assert_eq!(client.read_to("\n"), "EARLY\n");
        assert_echoes(&mut client);
    }
}

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
    assert_eq!(in_flight(), 0);
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
fn a_tunnel_to_a_unix_socket_works_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let served = thread::spawn(move || {
        for stream in listener.incoming().take(TRIES) {
            let stream = stream.unwrap();
            (&stream).write_all(AGREE).unwrap();
            let mut reader = BufReader::new(&stream);
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line).unwrap();
            }
            echo(&mut reader, &stream);
        }
    });
    let edge = edge_to(format!("unix:{}", path.display()));
    for _ in 0..TRIES {
        let mut client = edge.client();
        client.send(ASK);
        assert_opens(&mut client);
        assert_echoes(&mut client);
    }
    served.join().unwrap();
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer_and_its_connection_is_not_kept() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let fields = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    for number in 1..=3 {
        assert_eq!(client.get("/", &fields).text(), origin.name());
        assert_eq!(origin.connections(), number);
    }
    assert_eq!(client.get("/", &[]).text(), origin.name());
}

#[test]
fn an_upgrade_finds_another_server_where_nobody_listens() {
    let (origin, nobody) = (agreeing(AGREE), Port::reserve());
    let servers = [nobody.address(), origin.address()].map(|address| address.to_string());
    let web = json!({ "upstreams": { "web": { "servers": servers } } });
    let edge = Edge::builder()
        .with(&web.to_string())
        .route("*", "web")
        .start();
    for _ in 0..4 {
        let mut client = edge.client();
        client.send(ASK);
        assert_opens(&mut client);
        assert_echoes(&mut client);
    }
}

#[test]
fn an_upgrade_to_anything_but_a_websocket_is_served_as_if_it_had_not_been_asked_for() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let fields = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABk"),
    ];
    assert_eq!(client.get("/", &fields).text(), origin.name());
    assert_unasked(&origin);
    assert_eq!(client.get("/", &[]).text(), origin.name());
}

#[test]
fn an_upgrade_with_a_body_is_served_as_if_it_had_not_been_asked_for() {
    let origin = Origin::start();
    origin.by(|seen| Reply::text(&String::from_utf8_lossy(&seen.body)));
    let edge = Edge::to([&origin]);
    let mut client = edge.client();
    let fields = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    for method in ["GET", "POST"] {
        let answer = client.request(method, "/", &fields, b"body");
        assert_eq!((answer.status, answer.text()), (200, "body".into()));
        assert_unasked(&origin);
    }
}

/// The last request that the origin saw asks for no other protocol.
fn assert_unasked(origin: &Origin) {
    let seen = origin.requests().pop().unwrap();
    for gone in ["upgrade", "http2-settings", "connection"] {
        assert!(!seen.headers.has(gone), "{gone}: {:?}", seen.headers);
    }
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
fn a_switch_to_another_protocol_is_refused() {
    let origin = agreeing(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n",
    );
    let edge = edge_to(origin.address());
    let mut client = edge.client();
    client.send(ASK);
    assert!(client.read_to("\r\n\r\n").starts_with("HTTP/1.1 502 "));
}
