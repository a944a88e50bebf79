//! An upgraded connection is a tunnel, whoever of the three is fast or slow.

use super::proxying::{edge_to, skip_head};
use crate::support::{Client, Edge, Origin, Port, RawOrigin, Reply};
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::net::UnixListener,
    sync::{Mutex, mpsc},
    thread,
};

pub(crate) const ASK: &str =
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
pub(crate) const AGREE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
/// A race that one of 14 tunnels lost before it was mended would be lost here nearly always.
const TRIES: usize = 100;

/// Sends each line back in capitals, until the end.
pub(crate) fn echo(reader: &mut impl BufRead, mut writer: impl Write) {
    let mut line = String::new();
    while matches!(reader.read_line(&mut line), Ok(1..)) {
        writer.write_all(line.to_uppercase().as_bytes()).unwrap();
        line.clear();
    }
}

/// Agrees to a tunnel in these bytes, and then echoes.
pub(crate) fn agreeing(answer: &'static [u8]) -> RawOrigin {
    RawOrigin::start(move |mut stream: &TcpStream, _| {
        let mut reader = BufReader::new(stream);
        skip_head(&mut reader);
        stream.write_all(answer).unwrap();
        echo(&mut reader, stream);
    })
}

pub(crate) fn assert_opens(client: &mut Client) {
    let head = client.read_to("\r\n\r\n").to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 101 ") && head.contains("\r\nupgrade: websocket\r\n"),
        "{head}"
    );
}

pub(crate) fn assert_echoes(client: &mut Client) {
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
fn a_switch_to_another_protocol_is_refused() {
    for answer in [
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n"
            .as_slice(),
        b"HTTP/1.0 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let origin = agreeing(answer);
        let edge = edge_to(origin.address());
        let mut client = edge.client();
        client.send(ASK);
        assert!(client.read_to("\r\n\r\n").starts_with("HTTP/1.1 502 "));
    }
}
