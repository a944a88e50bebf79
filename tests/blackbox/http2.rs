//! HTTP/2 with prior knowledge from clients, HTTP/1.1 to the origins.

use crate::support::{Edge, Origin, PATIENCE, Port, Reply};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request, StatusCode};
use serde_json::json;
use std::time::Duration;
use tokio::{net::TcpStream, runtime::Runtime, task::JoinHandle, time::timeout};

/// One connection of HTTP/2, driven by a task of its own.
pub(crate) struct H2 {
    pub(crate) send: SendRequest<Bytes>,
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl H2 {
    pub(crate) async fn connect(edge: &Edge) -> Self {
        let stream = TcpStream::connect(edge.address()).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(1 << 20)
            .initial_connection_window_size(1 << 24);
        let (send, connection) = timeout(PATIENCE, builder.handshake(stream))
            .await
            .unwrap()
            .unwrap();
        let connection = tokio::spawn(connection);
        Self { send, connection }
    }

    pub(crate) async fn begin(&mut self, request: Request<()>, body: Bytes) -> ResponseFuture {
        let mut send = timeout(PATIENCE, self.send.clone().ready())
            .await
            .unwrap()
            .unwrap();
        let (response, mut stream) = send.send_request(request, body.is_empty()).unwrap();
        if !body.is_empty() {
            stream.send_data(body, true).unwrap();
        }
        response
    }

    pub(crate) async fn call(
        &mut self,
        request: Request<()>,
        body: Bytes,
    ) -> Result<Answer, h2::Error> {
        let response = self.begin(request, body).await;
        timeout(PATIENCE, answer(response)).await.unwrap()
    }

    pub(crate) async fn get(&mut self, uri: &str) -> Answer {
        let request = Request::get(uri).body(()).unwrap();
        self.call(request, Bytes::new()).await.unwrap()
    }
}

pub(crate) async fn answer(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(part) = stream.data().await {
        let part = part?;
        stream.flow_control().release_capacity(part.len())?;
        body.extend_from_slice(&part);
    }
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// Waits without blocking the connection's task.
async fn arrived(origin: &Origin, count: usize) {
    let all = async {
        while origin.count() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, all).await.unwrap();
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_request_of_http_2_is_served_and_logged_as_one() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        for path in ["/first", "/second?q"] {
            let answer = h2.get(&format!("http://A.example:81{path}")).await;
            assert_eq!(
                (answer.status.as_u16(), answer.body),
                (200, origin.name().into_bytes())
            );
            let seen = origin.requests().pop().unwrap();
            assert_eq!(
                (seen.path.as_str(), seen.version.as_str()),
                (path, "HTTP/1.1")
            );
            for (name, value) in [
                ("host", "a.example:81"),
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-proto", "http"),
            ] {
                assert_eq!(
                    seen.headers.all(name).collect::<Vec<_>>(),
                    [value],
                    "{name}"
                );
            }
            assert!(
                seen.header("x-forwarded-host")
                    .unwrap()
                    .eq_ignore_ascii_case("a.example:81")
            );
        }
    });
    let record = edge.record("/first");
    assert_eq!(
        (&record["version"], &record["status"]),
        (&json!("HTTP/2.0"), &json!(200))
    );
}

#[test]
fn crumbs_of_a_cookie_reach_a_server_of_http_1_as_one_line() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let request = Request::get("http://a/")
            .header("cookie", "a=1")
            .header("x-between", "1")
            .header("cookie", "b=2; c=3")
            .header("cookie", "d=\"4\"");
        let request = request.body(()).unwrap();
        assert_eq!(h2.call(request, Bytes::new()).await.unwrap().status, 200);
    });
    let seen = origin.requests().pop().unwrap();
    let lines: Vec<_> = seen.headers.all("cookie").collect();
    assert_eq!(lines, ["a=1; b=2; c=3; d=\"4\""]);
}

#[test]
fn an_expectation_over_http_2_is_100_continue_or_417() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        for (expected, status) in [
            ("100-continue", 200),
            ("100-Continue", 200),
            ("200-ok", 417),
            ("100-continue, x", 417),
            ("", 417),
        ] {
            let request = Request::post("http://a/").header("expect", expected);
            let body = Bytes::from_static(b"body");
            let answer = h2.call(request.body(()).unwrap(), body).await.unwrap();
            assert_eq!(answer.status, status, "{expected:?}");
            let refused = answer.body.starts_with(b"417 expectation_failed\n");
            assert_eq!(refused, status == 417, "{expected:?}");
        }
    });
    let bodies: Vec<_> = origin
        .requests()
        .into_iter()
        .map(|seen| seen.body)
        .collect();
    assert_eq!(bodies, [b"body", b"body"]);
}

#[test]
fn the_authority_chooses_the_route_and_the_groups_host_rule_applies() {
    let origins = Origin::many(2);
    let edge = Edge::builder()
        .with("upstreams: { named: { host: inner.example }, bare: { host: without_port } }")
        .upstream("named", [&origins[0]])
        .upstream("bare", [&origins[1]])
        .route("a.example", "named")
        .route("*.b.example", "bare")
        .start();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        h2.get("http://a.example/").await;
        h2.get("http://X.b.example:8080/").await;
        assert_eq!(h2.get("http://c.example/").await.status, 404);
        assert_eq!(h2.get("http://a.example/again").await.status, 200);
    });
    let host = |origin: &Origin| origin.requests()[0].header("host").map(str::to_owned);
    assert_eq!(host(&origins[0]).as_deref(), Some("inner.example"));
    assert_eq!(host(&origins[1]).as_deref(), Some("x.b.example"));
}

#[test]
fn streams_of_one_connection_are_served_at_the_same_time() {
    let origin = Origin::start();
    origin.by(|seen| Reply::text(&seen.path));
    origin.hold();
    let edge = Edge::to([&origin]);
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let mut begun = Vec::new();
        for number in 0..100 {
            let request = Request::get(format!("http://a/{number}")).body(()).unwrap();
            begun.push(h2.begin(request, Bytes::new()).await);
        }
        arrived(&origin, 100).await;
        origin.release();
        for (number, response) in begun.into_iter().enumerate() {
            let answer = timeout(PATIENCE, answer(response)).await.unwrap().unwrap();
            assert_eq!(answer.body, format!("/{number}").into_bytes());
        }
    });
}

#[test]
fn failures_are_answered_stream_by_stream() {
    let (nobody, origin) = (Port::reserve(), Origin::start());
    let file = json!({ "upstreams": {
        "refusing": { "servers": [nobody.address()] },
        "down": { "servers": [{ "address": nobody.address(), "admin": "down" }] },
    } });
    let edge = Edge::builder()
        .with(&file.to_string())
        .upstream("web", [&origin])
        .route("refusing", "refusing")
        .route("down", "down")
        .route("web", "web")
        .start();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        for (host, status, reason) in [
            ("refusing", 502, "connect_failed"),
            ("down", 503, "no_server"),
            ("nowhere", 404, "no_route"),
        ] {
            let answer = h2.get(&format!("http://{host}/")).await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.body, format!("{status} {reason}\n").into_bytes());
            let request = Request::post(format!("http://{host}/")).body(()).unwrap();
            assert_eq!(
                h2.call(request, Bytes::from_static(b"body"))
                    .await
                    .unwrap()
                    .status,
                status
            );
        }
        assert_eq!(h2.get("http://web/").await.status, 200);
    });
}

#[test]
fn a_refused_connection_and_a_503_are_made_up_for() {
    let (nobody, origins) = (Port::reserve(), Origin::many(2));
    origins[0].always(Reply::status(503));
    let servers = json!([nobody.address(), origins[0].address(), origins[1].address()]);
    let file =
        json!({ "upstreams": { "web": { "servers": servers, "retry": { "attempts": 3 } } } });
    let edge = Edge::builder()
        .with(&file.to_string())
        .route("*", "web")
        .start();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        for _ in 0..6 {
            assert_eq!(
                h2.get("http://a/").await.body,
                origins[1].name().into_bytes()
            );
        }
    });
}

#[test]
fn fields_of_http_1_connections_do_not_reach_a_client_of_http_2() {
    let origin = Origin::start();
    origin.always(Reply::Raw(
        b"HTTP/1.1 200 OK\r\nConnection: X-Nominated\r\nX-Nominated: 1\r\nKeep-Alive: timeout=5\r\nX-Kept: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_vec(),
    ));
    let edge = Edge::to([&origin]);
    runtime().block_on(async {
        let answer = H2::connect(&edge).await.get("http://a/").await;
        assert_eq!(answer.body, b"ok");
        for gone in [
            "connection",
            "keep-alive",
            "transfer-encoding",
            "x-nominated",
        ] {
            assert!(!answer.headers.contains_key(gone), "{gone}");
        }
        assert!(answer.headers.contains_key("x-kept"));
    });
}

#[test]
fn a_listener_speaks_only_what_its_protocols_say() {
    let origin = Origin::start();
    let listening = |protocols: &str| {
        Edge::builder()
            .upstream("web", [&origin])
            .route("*", "web")
            .listener(&format!("protocols: [{protocols}]"))
            .start()
    };
    let (only_h1, only_h2) = (listening("http/1.1"), listening("h2"));
    assert_eq!(only_h1.client().get("/", &[]).status, 200);
    assert!(only_h2.client().try_get("/", &[]).is_err());
    runtime().block_on(async {
        assert_eq!(
            H2::connect(&only_h2).await.get("http://a/").await.status,
            200
        );
        let mut refused = H2::connect(&only_h1).await;
        let request = Request::get("http://a/").body(()).unwrap();
        assert!(refused.call(request, Bytes::new()).await.is_err());
    });
    assert_eq!(origin.count(), 2);
}

#[test]
fn an_idle_connection_of_http_2_does_not_delay_the_end() {
    let origin = Origin::start();
    let mut edge = Edge::builder()
        .upstream("web", [&origin])
        .route("*", "web")
        .with("server: { shutdown_grace: 60s }")
        .start();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        h2.get("http://a/").await;
        edge.terminate();
        let ended = timeout(PATIENCE, &mut h2.connection).await;
        assert!(ended.is_ok(), "the connection is still open");
    });
    assert!(edge.wait_exit().success());
}

#[test]
fn a_stream_that_is_under_way_at_the_end_is_finished() {
    let origin = Origin::start();
    origin.hold();
    let mut edge = Edge::builder()
        .upstream("web", [&origin])
        .route("*", "web")
        .with("server: { shutdown_grace: 60s }")
        .start();
    runtime().block_on(async {
        let mut h2 = H2::connect(&edge).await;
        let request = Request::get("http://a/").body(()).unwrap();
        let response = h2.begin(request, Bytes::new()).await;
        arrived(&origin, 1).await;
        edge.terminate();
        edge.wait_for_stderr("stopping");
        origin.release();
        let answer = timeout(PATIENCE, answer(response)).await.unwrap().unwrap();
        assert_eq!(answer.body, origin.name().into_bytes());
    });
    assert!(edge.wait_exit().success());
}
