//! Checks over TLS: servers are believed as requests would believe them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};
use serde_json::Value;
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, replace};
use crate::http2_servers::H2TlsOrigin;
use crate::origin::{TlsOrigin, server_config};
use crate::support::{Edge, RawOrigin, until};

/// What the checks of this group's server come to.
fn status(edge: &Edge, health: &str) -> Value {
    until("a verdict", || {
        let web = edge.control().get("/v1/upstreams/web").is(200).json;
        let status = web["servers"][0]["status"].clone();
        (status["health"] == health).then_some(status)
    })
}

fn edge_to(server: impl ToString, authority: &Authority, more: &str) -> Edge {
    let builder = Edge::builder().route("*", "web");
    let ca = builder.directory().join("ca.pem");
    replace(&ca, &authority.pem());
    let more = more.replace("{ca}", &ca.display().to_string());
    let web = format!("{{ servers: ['{}'], {more} }}", server.to_string());
    builder
        .with(&format!("upstreams: {{ web: {web} }}"))
        .start()
}

#[test]
fn a_server_that_proves_its_name_is_up_over_https() {
    let authority = Authority::new();
    let origin = TlsOrigin::start(&authority.sign(&["a.example"]));
    for more in [
        "tls: { ca: '{ca}' }, health: { type: https, interval: 20ms, sni: a.example, body: 'a.example' }",
        "tls: { ca: '{ca}', sni: a.example }, health: { type: https, interval: 20ms }",
        "tls: { ca: '{ca}', sni: a.example }, health: { interval: 20ms }",
        "tls: { ca: '{ca}' }, health: { type: https, interval: 20ms, host: 'a.example:8443' }",
        "tls: { ca: '{ca}' }, host: a.example, health: { type: https, interval: 20ms, request: \"GET / HTTP/1.0\\r\\n\\r\\n\" }",
        "tls: { verify: false }, health: { type: https, interval: 20ms }",
    ] {
        let edge = edge_to(origin.address(), &authority, more);
        let status = status(&edge, "up");
        assert_eq!(status["last_check"]["detail"], "status 200", "{more}");
    }
}

#[test]
fn a_server_that_cannot_prove_its_name_is_down_over_https() {
    let authority = Authority::new();
    let origin = TlsOrigin::start(&authority.sign(&["a.example"]));
    for (more, why) in [
        (
            "tls: { ca: '{ca}' }, health: { type: https, interval: 20ms, timeout: 10s, sni: b.example }",
            "not valid for name",
        ),
        (
            "tls: { ca: '{ca}' }, health: { type: https, interval: 20ms, timeout: 10s }",
            "not valid for name",
        ),
        (
            "health: { type: https, interval: 20ms, timeout: 10s, sni: a.example }",
            "UnknownIssuer",
        ),
    ] {
        let edge = edge_to(origin.address(), &authority, more);
        let status = status(&edge, "down");
        let detail = status["last_check"]["detail"].as_str().unwrap();
        assert!(detail.starts_with("no TLS connection: "), "{detail}");
        assert!(detail.contains(why), "{detail}");
    }
}

#[test]
fn a_server_without_tls_is_down_over_https_with_the_cause_alone() {
    // What nginx answers to TLS on a plain port; some servers wait for the end of a line instead.
    let origin = RawOrigin::start(|mut stream: &TcpStream, _| {
        let _hello = stream.read(&mut [0; 4096]);
        let _told = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    });
    let more = "health: { type: https, interval: 20ms, timeout: 10s }";
    let edge = edge_to(origin.address(), &Authority::new(), more);
    let status = status(&edge, "down");
    let detail = status["last_check"]["detail"].as_str().unwrap();
    let cause = detail.strip_prefix("no TLS connection: ").unwrap();
    assert!(
        !cause.starts_with(' ') && !cause.contains("context:"),
        "{detail}"
    );
}

#[test]
fn a_proxy_header_goes_before_the_handshake_of_a_check() {
    let authority = Authority::new();
    let origin = TlsOrigin::introduced(&authority.sign(&["a.example"]));
    let more = "send_proxy_protocol: v1, tls: { ca: '{ca}' }, health: { type: https, interval: 20ms, sni: a.example }";
    let edge = edge_to(origin.address(), &authority, more);
    status(&edge, "up");
}

/// Serves `shop` and nothing else.
async fn serve_health(acceptor: TlsAcceptor, stream: tokio::net::TcpStream) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((mut request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let mut asked = Vec::new();
            while let Some(Ok(part)) = request.body_mut().data().await {
                asked.extend_from_slice(&part);
            }
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            let status = if asked.ends_with(b"shop") { 1 } else { 3 };
            let message = Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]);
            stream.send_data(message, false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let _gone = stream.send_trailers(trailers);
        });
    }
}

#[test]
fn grpc_checks_go_over_tls_where_the_group_does() {
    let authority = Authority::new();
    let mut config = server_config(&authority.sign(&["a.example"]), None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let origin = H2TlsOrigin::serving(Arc::new(config), serve_health);
    let with = |service: &str| {
        format!(
            "protocol: h2, tls: {{ ca: '{{ca}}', sni: a.example }}, health: {{ type: grpc, interval: 20ms, service: {service} }}"
        )
    };
    let edge = edge_to(origin.address(), &authority, &with("shop"));
    assert_eq!(status(&edge, "up")["last_check"]["detail"], "SERVING");
    let edge = edge_to(origin.address(), &authority, &with("other"));
    let detail = status(&edge, "down")["last_check"]["detail"].clone();
    assert_eq!(detail, "health status SERVICE_UNKNOWN");
}
