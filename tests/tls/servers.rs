//! HTTPS to servers: who is believed, under which name, and which connections are used again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::json;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::certificates::{Authority, replace};
use crate::origin::{TlsOrigin, server_config, server_config_of, told};
use crate::support::{Edge, EdgeBuilder, RawOrigin};

/// An authority whose `ca.pem` the edge reads, and a server for `a.example` that it signed.
pub(crate) struct Site {
    pub(crate) authority: Authority,
    pub(crate) origin: TlsOrigin,
}

impl Site {
    pub(crate) fn new() -> Self {
        let authority = Authority::new();
        let origin = TlsOrigin::start(&authority.sign(&["a.example"]));
        Self { authority, origin }
    }

    /// `tls`: the other keys; `{dir}` stands for the edge's directory.
    pub(crate) fn builder(&self, tls: &str) -> EdgeBuilder {
        let builder = to(self.origin.address(), tls);
        replace(&builder.directory().join("ca.pem"), &self.authority.pem());
        builder
    }

    pub(crate) fn start(&self, tls: &str) -> Edge {
        self.builder(tls).start()
    }
}

/// One group `web` of this server, with this `tls`.
fn to(server: SocketAddr, tls: &str) -> EdgeBuilder {
    let builder = Edge::builder().upstream("web", []).route("*", "web");
    let tls = tls.replace("{dir}", &builder.directory().display().to_string());
    builder.with(&format!(
        "upstreams: {{ web: {{ servers: ['{server}'], tls: {tls} }} }}"
    ))
}

pub(crate) const OWN_CA: &str = "{ ca: '{dir}/ca.pem' }";

/// Asks for `a.example`, and must get 502 with this reason.
fn assert_refused(edge: &Edge, reason: &str) {
    let response = edge.client().host("a.example").get("/refused", &[]);
    assert_eq!(response.status, 502, "{}", response.text());
    assert_eq!(response.text(), format!("502 {reason}\n"));
    assert_eq!(edge.record("/refused")["reason"], reason);
}

#[test]
fn a_server_with_a_certificate_of_the_own_authority_is_asked_over_tls() {
    let site = Site::new();
    let edge = site.start(OWN_CA);
    let mut client = edge.client().host("a.example:8443");
    for _ in 0..3 {
        let told = told(&client.get("/", &[]));
        // The scheme is that of the client's connection.
        assert_eq!(
            (&told["name"], &told["host"], &told["scheme"]),
            (
                &json!("a.example"),
                &json!("a.example:8443"),
                &json!("http")
            )
        );
    }
    assert_eq!(site.origin.connections(), 1);
}

#[test]
fn without_an_own_authority_the_systems_are_asked() {
    let site = Site::new();
    let builder = site.builder("{ verify: true }");
    let ca = builder.directory().join("ca.pem");
    let edge = builder
        .environment("SSL_CERT_FILE", ca.to_str().unwrap())
        .start();
    told(&edge.client().host("a.example").get("/", &[]));
    let stranger = Site::new();
    let edge = stranger.builder("{}");
    let edge = edge.environment("SSL_CERT_FILE", ca.to_str().unwrap());
    // The system's authorities are read from the first one's file, which did not sign this server's certificate.
    assert_refused(&edge.start(), "upstream_certificate");
}

#[test]
fn a_server_that_cannot_prove_its_name_gets_no_request() {
    let site = Site::new();
    let expired = site.authority.sign_with(&["a.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let of_another = site.authority.sign(&["b.example"]);
    let of_stranger = Authority::new().sign(&["a.example"]);
    for (certificate, why) in [
        (expired, "certificate expired"),
        (of_another, "not valid for name"),
        (of_stranger, "invalid peer certificate"),
    ] {
        let origin = TlsOrigin::start(&certificate);
        let builder = to(origin.address(), OWN_CA);
        replace(&builder.directory().join("ca.pem"), &site.authority.pem());
        let edge = builder.start();
        assert_refused(&edge, "upstream_certificate");
        edge.wait_for_stderr(why);
        let attempt = &edge.record("/refused")["attempts"][0];
        assert_eq!(attempt["failure"], "upstream_certificate", "{attempt}");
    }
}

#[test]
fn a_server_without_tls_gets_no_request() {
    let origin = RawOrigin::start(|mut stream, _| {
        stream.read_exact(&mut [0; 5]).unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    let edge = to(origin.address(), "{ verify: false }").start();
    assert_refused(&edge, "upstream_tls");
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert_refused(&to(nobody, "{}").start(), "connect_failed");
}

#[test]
fn a_server_that_cannot_prove_its_name_is_passed_over_for_one_that_can() {
    let site = Site::new();
    let stranger = TlsOrigin::start(&Authority::new().sign(&["a.example"]));
    let servers = [stranger.address(), site.origin.address()];
    let servers = format!(
        "upstreams: {{ web: {{ servers: ['{}', '{}'] }} }}",
        servers[0], servers[1]
    );
    let edge = site.builder(OWN_CA).with(&servers).start();
    for _ in 0..4 {
        told(&edge.client().host("a.example").get("/", &[]));
    }
}

#[test]
fn a_fixed_name_is_asked_for_and_verified_whatever_the_host() {
    let site = Site::new();
    let edge = site.start("{ ca: '{dir}/ca.pem', sni: a.example }");
    let told = told(&edge.client().host("other.example").get("/", &[]));
    assert_eq!(
        (&told["name"], &told["host"]),
        (&json!("a.example"), &json!("other.example"))
    );
}

#[test]
fn connections_for_one_name_are_not_used_for_another() {
    let authority = Authority::new();
    let origin = TlsOrigin::start(&authority.sign(&["a.example", "b.example"]));
    let builder = to(origin.address(), OWN_CA);
    replace(&builder.directory().join("ca.pem"), &authority.pem());
    let edge = builder.start();
    let mut client = edge.client();
    for _ in 0..2 {
        for name in ["a.example", "b.example"] {
            let told = told(&client.get("/", &[("Host", name)]));
            assert_eq!(told["name"], name);
        }
    }
    assert_eq!(origin.connections(), 2);
}

#[test]
fn an_address_is_verified_as_one() {
    let authority = Authority::new();
    let origin = TlsOrigin::start(&authority.sign(&["127.0.0.1"]));
    let builder = to(origin.address(), OWN_CA);
    replace(&builder.directory().join("ca.pem"), &authority.pem());
    let edge = builder.start();
    told(&edge.client().get("/", &[]));
    let response = edge.client().host("127.0.0.2").get("/", &[]);
    assert_eq!(response.text(), "502 upstream_certificate\n");
}

#[test]
fn whoever_does_not_verify_takes_any_certificate() {
    let origin = TlsOrigin::start(&Authority::new().sign(&["elsewhere.example"]));
    let edge = to(origin.address(), "{ verify: false }").start();
    let told = told(&edge.client().host("a.example").get("/", &[]));
    assert_eq!(told["name"], "a.example");
}

#[test]
fn a_client_certificate_is_shown_to_servers_that_ask() {
    let authority = Authority::new();
    let server = server_config(&authority.sign(&["a.example"]), Some(&authority));
    let origin = TlsOrigin::with(server);
    let own = authority.sign(&["edge.example"]);
    let tls = "{ ca: '{dir}/ca.pem', cert: '{dir}/own.pem', key: '{dir}/own.key' }";
    let builder = to(origin.address(), tls);
    replace(&builder.directory().join("ca.pem"), &authority.pem());
    own.write(builder.directory(), "own");
    let edge = builder.start();
    let told = told(&edge.client().host("a.example").get("/", &[]));
    assert_eq!(told["client"], json!(own.cert.der().to_vec()));
    let without = json!({ "tls": { "cert": null, "key": null } });
    assert_eq!(
        edge.control().patch("/v1/upstreams/web", &without).status,
        200
    );
    let response = edge.client().host("a.example").get("/", &[]);
    assert_eq!(response.status, 502, "{}", response.text());
}

#[test]
fn a_server_that_does_not_like_our_certificate_is_a_failure_of_tls_in_both_versions() {
    let authority = Authority::new();
    let stranger = Authority::new().sign(&["edge.example"]);
    for version in [&TLS12, &TLS13] {
        for own in ["", ", cert: '{dir}/own.pem', key: '{dir}/own.key'"] {
            let name = authority.sign(&["a.example"]);
            let server = server_config_of(&[version], &name, Some(&authority));
            let origin = TlsOrigin::with(server);
            let builder = to(
                origin.address(),
                &format!("{{ ca: '{{dir}}/ca.pem'{own} }}"),
            );
            replace(&builder.directory().join("ca.pem"), &authority.pem());
            stranger.write(builder.directory(), "own");
            let edge = builder.start();
            assert_refused(&edge, "upstream_tls");
            edge.wait_for_stderr("received fatal alert");
        }
    }
}

#[test]
fn a_connection_made_with_other_settings_is_never_used_again() {
    let site = Site::new();
    let edge = site.start("{ verify: false }");
    // A client's next request finds the connection kept, that of another may be too early.
    let asked_twice = || {
        let mut client = edge.client().host("a.example");
        [(); 2].map(|()| told(&client.get("/", &[]))["connection"].clone())
    };
    let refused = || {
        let response = edge.client().host("a.example").get("/", &[]);
        assert_eq!(response.text(), "502 upstream_certificate\n");
    };
    let change = |tls: serde_json::Value| {
        let answer = edge
            .control()
            .patch("/v1/upstreams/web", &json!({ "tls": tls }));
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    assert_eq!(asked_twice(), [1, 1]);
    // The connection is open still, but it was made without a look at the certificate.
    change(json!({ "verify": true }));
    refused();
    let file = |name: &str| edge.directory().join(name).display().to_string();
    change(json!({ "ca": file("ca.pem") }));
    let [first, second] = asked_twice();
    assert!(first != 1 && first == second, "{first} {second}");
    replace(&edge.directory().join("other.pem"), &Authority::new().pem());
    change(json!({ "ca": file("other.pem") }));
    refused();
    // The same content under another name is the same trust.
    replace(&edge.directory().join("copy.pem"), &site.authority.pem());
    change(json!({ "ca": file("copy.pem") }));
    assert_eq!(asked_twice(), [first.clone(), first]);
}

#[test]
fn the_defaults_tls_is_that_of_straight_routes_too() {
    let site = Site::new();
    let builder = Edge::builder().route("*", &site.origin.address().to_string());
    replace(&builder.directory().join("ca.pem"), &site.authority.pem());
    let ca = builder.directory().join("ca.pem");
    let edge = builder
        .with(&format!(
            "defaults: {{ tls: {{ ca: '{}' }} }}",
            ca.display()
        ))
        .start();
    told(&edge.client().host("a.example").get("/", &[]));
}

#[test]
fn a_proxy_header_stands_before_the_handshake_with_a_server() {
    let site = Site::new();
    let origin = TlsOrigin::introduced(&site.authority.sign(&["a.example"]));
    let web = format!(
        "{{ servers: ['{}'], send_proxy_protocol: v1 }}",
        origin.address()
    );
    let builder = site.builder(OWN_CA);
    let edge = builder
        .with(&format!("upstreams: {{ web: {web} }}"))
        .start();
    let mut client = edge.client().host("a.example");
    for _ in 0..3 {
        assert_eq!(told(&client.get("/", &[]))["connection"], 1);
    }
    let another = edge.client().host("a.example").get("/", &[]);
    assert_eq!(told(&another)["connection"], 2);
}
