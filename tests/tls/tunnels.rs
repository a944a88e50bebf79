//! WebSockets over TLS, from the client and to the server.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::certificates::replace;
use crate::client::TlsClient;
use crate::handshakes::Site;
use crate::origin::TlsOrigin;
use crate::support::{Edge, PATIENCE, RawOrigin, read_head};

const ASK: &[u8] =
    b"GET /socket HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// As many as show a race that some tunnels lose.
const TRIES: usize = 50;

type Wire = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn connect(client: &TlsClient, address: SocketAddr) -> Wire {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from("a.example").unwrap();
    let session = ClientConnection::new(client.config(), name).unwrap();
    BufReader::new(StreamOwned::new(session, socket))
}

fn assert_tunnel(wire: &mut Wire) {
    wire.get_mut().write_all(ASK).unwrap();
    let (first, _) = read_head(wire).unwrap().unwrap();
    assert!(first.starts_with("HTTP/1.1 101 "), "{first}");
    for word in ["one\n", "two\n"] {
        wire.get_mut().write_all(word.as_bytes()).unwrap();
        let mut line = String::new();
        wire.read_line(&mut line).unwrap();
        assert_eq!(line, word.to_uppercase());
    }
}

/// The listener's site, with HTTPS to this server.
fn edge_to(site: &Site, server: SocketAddr) -> Edge {
    let builder = site.builder();
    let ca = builder.directory().join("ca.pem");
    replace(&ca, &site.authority.pem());
    let web = format!(
        "{{ servers: ['{server}'], tls: {{ ca: '{}' }} }}",
        ca.display()
    );
    builder
        .with(&format!("upstreams: {{ web: {web} }}"))
        .start()
}

#[test]
fn a_websocket_passes_over_tls_on_both_sides() {
    let site = Site::new();
    let origin = TlsOrigin::start(&site.certificates[0]);
    let edge = edge_to(&site, origin.address());
    for _ in 0..TRIES {
        assert_tunnel(&mut connect(&site.client(), edge.address()));
    }
    // Requests after it go on, and none gets a tunnel's connection.
    let mut client = connect(&site.client(), edge.address());
    client
        .get_mut()
        .write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .unwrap();
    let (first, _) = read_head(&mut client).unwrap().unwrap();
    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    assert_eq!(origin.connections(), TRIES + 1);
}

#[test]
fn a_websocket_passes_from_plain_to_tls_and_from_tls_to_plain() {
    let site = Site::new();
    let origin = TlsOrigin::start(&site.certificates[0]);
    let secured = Edge::builder().route("*", "web");
    let web = format!(
        "{{ servers: ['{}'], tls: {{ verify: false }} }}",
        origin.address()
    );
    let secured = secured
        .with(&format!("upstreams: {{ web: {web} }}"))
        .start();
    let plain = RawOrigin::start(|mut stream, _| {
        let mut reader = BufReader::new(stream);
        read_head(&mut reader).unwrap();
        stream
            .write_all(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .unwrap();
        let mut line = String::new();
        while matches!(reader.read_line(&mut line), Ok(1..)) {
            stream.write_all(line.to_uppercase().as_bytes()).unwrap();
            line.clear();
        }
    });
    let web = format!(
        "upstreams: {{ web: {{ servers: ['{}'] }} }}",
        plain.address()
    );
    let terminating = site.builder().with(&web).start();
    for _ in 0..TRIES {
        let mut client = secured.client();
        client.send(ASK);
        assert!(client.read_to("\r\n\r\n").starts_with("HTTP/1.1 101 "));
        client.send("one\n");
        assert_eq!(client.read_to("\n"), "ONE\n");
        assert_tunnel(&mut connect(&site.client(), terminating.address()));
    }
}
