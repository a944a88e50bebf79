//! PROXY headers to servers: whose connection it is, and that it stays that client's.

use crate::support::{Client, Edge, RawOrigin, read_head, until};
use pointsman::strict::proxy_header::{Sender, read};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex},
};

const VERSIONS: [&str; 2] = ["v1", "v2"];

/// A server that asks for headers, and keeps those that it got.
struct Site {
    origin: RawOrigin,
    introduced: Arc<Mutex<Vec<Sender>>>,
}

impl Site {
    /// Answers with the number of the connection; opens tunnels.
    fn start() -> Self {
        let introduced = Arc::<Mutex<Vec<Sender>>>::default();
        let kept = introduced.clone();
        let origin = RawOrigin::start(move |stream, number| {
            let mut reader = BufReader::new(stream);
            let Some(sender) = introduction(&mut reader) else {
                return;
            };
            kept.lock().unwrap().push(sender);
            serve(&mut reader, stream, number);
        });
        Self { origin, introduced }
    }

    fn edge(&self, version: &str, listener: &str) -> Edge {
        let web = format!(
            "{{ servers: ['{}'], send_proxy_protocol: {version} }}",
            self.origin.address()
        );
        let builder = Edge::builder().route("*", "web").listener(listener);
        builder
            .with(&format!("upstreams: {{ web: {web} }}"))
            .start()
    }

    fn introduced(&self) -> Vec<Sender> {
        self.introduced.lock().unwrap().clone()
    }
}

/// None: the connection ends, or begins with something else.
fn introduction(reader: &mut impl Read) -> Option<Sender> {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        reader.read_exact(&mut byte).ok()?;
        bytes.extend(byte);
        if let Some((length, sender)) = read(&bytes).ok()? {
            assert_eq!(length, bytes.len());
            return Some(sender);
        }
    }
}

fn serve(reader: &mut BufReader<&TcpStream>, mut stream: &TcpStream, number: usize) {
    while let Ok(Some((_, headers))) = read_head(reader) {
        if headers.has("upgrade") {
            let agree = "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(agree.as_bytes()).unwrap();
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            stream.write_all(line.to_uppercase().as_bytes()).unwrap();
            return;
        }
        let body = format!("connection {number}");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

fn client_of(sender: Sender) -> SocketAddr {
    match sender {
        Sender::Client(address) => address,
        Sender::Itself => panic!("nobody was introduced"),
    }
}

#[test]
fn a_connection_begins_with_its_client_and_no_other_client_gets_it() {
    for version in VERSIONS {
        let site = Site::start();
        let edge = site.edge(version, "{}");
        let mut clients: Vec<Client> = (0..3).map(|_| edge.client()).collect();
        for _ in 0..3 {
            for (number, client) in (1..).zip(&mut clients) {
                assert_eq!(client.get("/", &[]).text(), format!("connection {number}"));
            }
        }
        let mut ports: Vec<_> = site
            .introduced()
            .into_iter()
            .map(|sender| {
                assert_eq!(client_of(sender).ip().to_string(), "127.0.0.1");
                client_of(sender).port()
            })
            .collect();
        ports.dedup();
        assert_eq!(ports.len(), 3, "{ports:?}");
        assert_eq!(site.origin.connections(), 3);
    }
}

#[test]
fn a_client_that_a_trusted_proxy_introduced_is_introduced_to_the_server() {
    for version in VERSIONS {
        let site = Site::start();
        let edge = site.edge(
            version,
            "{ proxy_protocol: require, trusted_proxies: [127.0.0.1] }",
        );
        for (name, address) in [
            ("192.0.2.7", "192.0.2.7:4711"),
            ("192.0.2.8", "192.0.2.8:4711"),
        ] {
            let mut client = edge.client();
            client.send(format!("PROXY TCP4 {name} 192.0.2.1 4711 80\r\n"));
            assert_eq!(client.get("/", &[]).status, 200);
            let sender = site.introduced().pop().unwrap();
            assert_eq!(client_of(sender).to_string(), address);
        }
    }
}

#[test]
fn a_client_without_an_address_is_introduced_as_nobody() {
    for version in VERSIONS {
        let site = Site::start();
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("edge.sock");
        let listener = format!("{{ address: 'unix:{}' }}", socket.display());
        let _edge = site.edge(version, &listener);
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("connection 1"), "{answer}");
        assert_eq!(site.introduced(), [Sender::Itself]);
    }
}

#[test]
fn a_tunnel_begins_with_its_client_too() {
    for version in VERSIONS {
        let site = Site::start();
        let edge = site.edge(version, "{}");
        let mut client = edge.client();
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        assert!(client.read_to("\r\n\r\n").starts_with("HTTP/1.1 101 "));
        client.send("one\n");
        assert_eq!(client.read_to("\n"), "ONE\n");
        assert_eq!(
            client_of(site.introduced()[0]).ip().to_string(),
            "127.0.0.1"
        );
    }
}

#[test]
fn a_probe_introduces_nobody() {
    for version in VERSIONS {
        for kind in ["{ interval: 50ms }", "{ type: tcp, interval: 50ms }"] {
            let site = Site::start();
            let health = format!("upstreams: {{ web: {{ health: {kind} }} }}");
            let web = format!(
                "{{ servers: ['{}'], send_proxy_protocol: {version} }}",
                site.origin.address()
            );
            let builder = Edge::builder().route("*", "web");
            let builder = builder.with(&format!("upstreams: {{ web: {web} }}"));
            let edge = builder.with(&health).start();
            until("the server is up", || {
                let answer = edge.control().get("/v1/upstreams/web/servers");
                answer.text.contains("\"health\":\"up\"").then_some(())
            });
            until("two probes were introduced", || {
                (site.introduced().len() >= 2).then_some(())
            });
            assert_eq!(site.introduced()[..2], [Sender::Itself; 2]);
        }
    }
}
