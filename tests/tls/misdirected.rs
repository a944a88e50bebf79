//! A host reached over a connection whose handshake was for another certificate is 421; a certificate's own hosts share one.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::client::TlsClient;
use crate::handshakes::Site;
use crate::support::{PATIENCE, read_announced_body, read_head};

struct Connection(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Connection {
    fn open(client: &TlsClient, address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from(client.name.clone()).unwrap();
        let session = ClientConnection::new(client.config(), name).unwrap();
        Self(BufReader::new(StreamOwned::new(session, socket)))
    }

    /// The status and the body.
    fn get(&mut self, host: &str) -> (u16, String) {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (first, headers) = read_head(&mut self.0).unwrap().unwrap();
        let body = read_announced_body(&mut self.0, &headers).unwrap();
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        (status, String::from_utf8(body.unwrap()).unwrap())
    }
}

#[test]
fn a_host_of_another_certificate_is_421_and_the_connection_goes_on() {
    let site = Site::new();
    let edge = site.start();
    let mut served = 0;
    for (name, host, status) in [
        ("a.example", "A.example:443", 200),
        ("a.example", "b.example", 421),
        ("a.example", "BOTH.example:8443", 421),
        ("a.example", "b.example.", 421),
        ("a.example", "one.wild.example", 421),
        ("one.wild.example", "a.example", 421),
        // One certificate for both: browsers reuse the connection.
        ("b.example", "both.example", 200),
        ("one.wild.example", "two.wild.example", 200),
        // No certificate is for these.
        ("a.example", "c.example", 200),
        ("a.example", "127.0.0.1", 200),
        ("a.example", "[::1]:443", 200),
    ] {
        let mut connection = Connection::open(&site.client().name(name), edge.address());
        let (told, text) = connection.get(host);
        assert_eq!(told, status, "{host} over {name}");
        let refused = text == "421 misdirected_request\n";
        assert_eq!(refused, status == 421, "{host} over {name}");
        assert_eq!(connection.get(name).0, 200);
        served += if refused { 1 } else { 2 };
    }
    let line = edge.access_line("misdirected_request");
    assert!(line.contains("\"status\":421"), "{line}");
    assert_eq!(site.origin.count(), served);
}

#[test]
fn a_client_that_asked_for_no_name_and_a_trusted_proxy_may_ask_for_any_host() {
    let site = Site::new();
    let edge = site.start();
    let mut nameless = Connection::open(&site.client().without_name(), edge.address());
    assert_eq!(nameless.get("b.example").0, 200);
    let behind = site
        .builder()
        .listener("trusted_proxies: [127.0.0.1]")
        .start();
    let mut proxy = Connection::open(&site.client(), behind.address());
    assert_eq!(proxy.get("b.example").0, 200);
}

#[test]
fn a_stream_for_a_host_of_another_certificate_is_421_and_the_other_streams_go_on() {
    let site = Site::new();
    let edge = site.start();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        let client = site.client().name("one.wild.example").offers(&["h2"]);
        let connector = tokio_rustls::TlsConnector::from(client.config());
        let socket = tokio::net::TcpStream::connect(edge.address())
            .await
            .unwrap();
        let name = "one.wild.example".try_into().unwrap();
        let stream = connector.connect(name, socket).await.unwrap();
        let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        for (host, status) in [
            ("one.wild.example", 200),
            ("b.example", 421),
            ("two.wild.example", 200),
        ] {
            let request = http::Request::get(format!("https://{host}/")).body(());
            let (response, _) = send.send_request(request.unwrap(), true).unwrap();
            assert_eq!(response.await.unwrap().status(), status, "{host}");
        }
    });
}
