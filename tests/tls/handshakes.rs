//! Which certificate, which protocol, how resumed; and how a handshake fails.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion};

use crate::certificates::{Authority, Signed};
use crate::client::{BOTH, TlsClient};
use crate::support::{Edge, EdgeBuilder, Origin, until};

/// A listener with `a.example`, `b.example` and `*.wild.example`.
pub(crate) struct Site {
    pub(crate) authority: Authority,
    pub(crate) origin: Origin,
    pub(crate) certificates: [Signed; 3],
}

impl Site {
    pub(crate) fn new() -> Self {
        let authority = Authority::new();
        let names: [&[&str]; 3] = [
            &["a.example"],
            &["b.example", "Both.example"],
            &["*.wild.example"],
        ];
        Self {
            certificates: names.map(|names| authority.sign(names)),
            origin: Origin::start(),
            authority,
        }
    }

    pub(crate) fn builder(&self) -> EdgeBuilder {
        let builder = Edge::builder()
            .upstream("web", [&self.origin])
            .route("*", "web");
        let directory = builder.directory().to_owned();
        let pairs = ["a", "b", "wild"].iter().zip(&self.certificates);
        let pairs: Vec<_> = pairs
            .map(|(name, signed)| {
                signed.write(&directory, name);
                let file = |kind: &str| directory.join(format!("{name}.{kind}"));
                format!(
                    "{{ cert: '{}', key: '{}' }}",
                    file("pem").display(),
                    file("key").display()
                )
            })
            .collect();
        builder.listener(&format!("tls: {{ certificates: [{}] }}", pairs.join(", ")))
    }

    pub(crate) fn start(&self) -> Edge {
        self.builder().start()
    }

    pub(crate) fn client(&self) -> TlsClient {
        TlsClient::new(&self.authority, BOTH, None)
    }
}

fn count(edge: &Edge, series: &str) -> u64 {
    let text = edge.control().get("/metrics").text;
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap().trim().parse().unwrap()
}

/// Waits until so many handshakes failed for this cause.
fn failed(edge: &Edge, cause: &str, times: u64) {
    let series = format!("pointsman_tls_handshake_failures_total{{cause=\"{cause}\"}}");
    until(&format!("{times} failed for {cause}"), || {
        (count(edge, &series) == times).then_some(())
    });
}

#[test]
fn the_name_that_is_asked_for_chooses_the_certificate() {
    let site = Site::new();
    let edge = site.start();
    let [a, b, wild] = &site.certificates;
    for (name, signed) in [
        ("a.example", a),
        ("b.example", b),
        ("both.example", b),
        ("BOTH.EXAMPLE", b),
        ("one.wild.example", wild),
    ] {
        let shaken = site.client().name(name).visit(edge.address()).unwrap();
        assert_eq!(shaken.certificate, *signed.cert.der(), "{name}");
        assert!(shaken.response.starts_with("HTTP/1.1 200"), "{name}");
    }
    // The first one is for whoever asks for none, which is what the client then refuses by its name.
    let nameless = site.client().without_name().visit(edge.address()).unwrap();
    assert_eq!(nameless.certificate, *a.cert.der());
    for other in ["c.example", "two.labels.wild.example", "wild.example"] {
        assert!(site.client().name(other).visit(edge.address()).is_err());
    }
    failed(&edge, "certificate", 3);
}

#[test]
fn a_request_over_tls_is_https_to_the_server_and_in_the_log() {
    let site = Site::new();
    let edge = site.start();
    site.client().visit(edge.address()).unwrap();
    let seen = site.origin.requests().pop().unwrap();
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(edge.record("/")["scheme"], "https");
}

#[test]
fn both_versions_are_spoken_and_tickets_resume_them() {
    let site = Site::new();
    let edge = site.start();
    for (version, spoken) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let client = TlsClient::new(&site.authority, &[version], None);
        let kinds: Vec<_> = (0..5)
            .map(|_| {
                let shaken = client.visit(edge.address()).unwrap();
                assert_eq!(shaken.version, spoken);
                assert!(shaken.response.starts_with("HTTP/1.1 200"));
                shaken.kind
            })
            .collect();
        assert_eq!(kinds[0], HandshakeKind::Full);
        assert_eq!(kinds[1..], [HandshakeKind::Resumed; 4]);
    }
    let resumed = "pointsman_tls_handshakes_total{kind=\"resumed\"}";
    assert_eq!(count(&edge, resumed), 8);
}

#[test]
fn sessions_are_resumed_however_many_there_are() {
    // rustls remembers 256 sessions when nothing else is said.
    let site = Site::new();
    let edge = site.start();
    let clients: Vec<_> = (0..300).map(|_| site.client()).collect();
    for client in &clients {
        client.visit(edge.address()).unwrap();
    }
    for client in &clients {
        let shaken = client.visit(edge.address()).unwrap();
        assert_eq!(shaken.kind, HandshakeKind::Resumed);
    }
}

#[test]
fn alpn_agrees_on_what_the_listener_speaks() {
    let site = Site::new();
    let both = site.start();
    for (offered, agreed) in [
        (&["http/1.1", "h2"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["h2"], Some("h2")),
        (&[], None),
    ] {
        let shaken = site.client().offers(offered).visit(both.address()).unwrap();
        let protocol = shaken.protocol.as_deref();
        assert_eq!(protocol, agreed.map(str::as_bytes), "{offered:?}");
    }
    assert!(
        site.client()
            .offers(&["spdy/3"])
            .visit(both.address())
            .is_err()
    );
    failed(&both, "protocol", 1);
    let old = site.builder().listener("protocols: [http/1.1]").start();
    let offered = site.client().offers(&["h2", "http/1.1"]);
    let shaken = offered.visit(old.address()).unwrap();
    assert_eq!(shaken.protocol.unwrap(), b"http/1.1");
}

#[test]
fn http_2_over_tls_is_served() {
    let site = Site::new();
    let edge = site.start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let connector = tokio_rustls::TlsConnector::from(site.client().offers(&["h2"]).config());
        let socket = tokio::net::TcpStream::connect(edge.address())
            .await
            .unwrap();
        let name = "a.example".try_into().unwrap();
        let stream = connector.connect(name, socket).await.unwrap();
        let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("https://a.example/two")
            .body(())
            .unwrap();
        let (response, _) = send.send_request(request, true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    });
    let record = edge.record("/two");
    assert_eq!(
        (&record["version"], &record["scheme"]),
        (&"HTTP/2.0".into(), &"https".into())
    );
    let seen = site.origin.requests().pop().unwrap();
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
}

#[test]
fn a_client_without_the_asked_certificate_is_refused() {
    let site = Site::new();
    let builder = site.builder();
    let ca = builder.directory().join("ca.pem");
    std::fs::write(&ca, site.authority.pem()).unwrap();
    let edge = builder
        .listener(&format!("tls: {{ client_ca: '{}' }}", ca.display()))
        .start();
    let own = site.authority.sign(&["client.example"]);
    let stranger = Authority::new().sign(&["client.example"]);
    for versions in [&[&TLS12], &[&TLS13]] {
        let with = |own: Option<&Signed>| TlsClient::new(&site.authority, versions, own);
        let known = with(Some(&own));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let shaken = known.visit(edge.address()).unwrap();
            assert!(shaken.response.starts_with("HTTP/1.1 200"));
            assert_eq!(shaken.kind, kind);
        }
        assert!(with(None).visit(edge.address()).is_err());
        assert!(with(Some(&stranger)).visit(edge.address()).is_err());
    }
    failed(&edge, "certificate", 4);
    assert_eq!(site.origin.count(), 4);
}

#[test]
fn what_is_not_tls_is_closed_and_counted() {
    let site = Site::new();
    let edge = site.start();
    let mut client = edge.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.rest();
    // At most an alert of TLS.
    assert!(
        answer.is_empty() || answer.starts_with(b"\x15\x03"),
        "{answer:?}"
    );
    failed(&edge, "protocol", 1);
    let mut cut = edge.client();
    cut.send(b"\x16\x03\x01\x02\0\x01\0");
    drop(cut);
    failed(&edge, "closed", 1);
    assert_eq!(site.origin.count(), 0);
    // Who only looks whether someone listens is no failure: `ready` had to, and so does this.
    drop(edge.client());
    site.client().visit(edge.address()).unwrap();
    failed(&edge, "closed", 1);
}

#[test]
fn a_handshake_that_does_not_go_on_is_closed_in_time() {
    let site = Site::new();
    let edge = site
        .builder()
        .listener("limits: { handshake_timeout: 300ms }")
        .start();
    let hello = client_hello(&site.client());
    for part in [&hello[..], &hello[..50], &[]] {
        let began = Instant::now();
        let mut socket = TcpStream::connect(edge.address()).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        socket.write_all(part).unwrap();
        let mut answer = Vec::new();
        let _reset_counts_as_end = socket.read_to_end(&mut answer);
        let taken = began.elapsed();
        assert!(taken >= Duration::from_millis(290), "{taken:?}");
        assert!(taken < Duration::from_secs(5), "{taken:?}");
    }
    failed(&edge, "timeout", 3);
}

fn client_hello(client: &TlsClient) -> Vec<u8> {
    let name = "a.example".try_into().unwrap();
    let mut session = tokio_rustls::rustls::ClientConnection::new(client.config(), name).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn a_proxy_header_stands_before_the_handshake() {
    let site = Site::new();
    let edge = site
        .builder()
        .listener("{ proxy_protocol: require, trusted_proxies: [127.0.0.1] }")
        .start();
    let header = b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n";
    let shaken = site.client().visit_after(edge.address(), header).unwrap();
    assert!(shaken.response.starts_with("HTTP/1.1 200"));
    let seen = site.origin.requests().pop().unwrap();
    assert_eq!(seen.header("x-forwarded-for"), Some("192.0.2.7"));
    assert!(site.client().visit(edge.address()).is_err());
}

#[test]
fn a_connection_over_the_limit_is_closed_before_the_handshake() {
    let site = Site::new();
    let edge = site
        .builder()
        .with("server: { max_connections: 1 }")
        .start();
    let kept = edge.client();
    until("the connection is counted", || {
        (count(&edge, "pointsman_connections_open") == 1).then_some(())
    });
    let mut turned_away = edge.client();
    assert_eq!(turned_away.rest(), b"");
    drop(kept);
    until("the place is free again", || {
        site.client().visit(edge.address()).ok()
    });
}
