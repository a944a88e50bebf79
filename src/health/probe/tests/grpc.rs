//! Calls of grpc.health.v1 to a server that the test scripts.

use ::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;

use super::*;

/// What a server makes of the one call that it gets.
type Answer = fn(SendResponse<Bytes>);

/// A server; what it was asked comes through the channel.
async fn server(answer: Answer) -> (Address, mpsc::Receiver<(Request<()>, Vec<u8>)>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Ip(listener.local_addr().unwrap());
    let (calls, received) = mpsc::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            let calls = calls.clone();
            tokio::spawn(async move {
                let (head, body) = request.into_parts();
                let _nobody_asks = calls.send((Request::from_parts(head, ()), whole(body).await));
                answer(respond);
            });
        }
    });
    (address, received)
}

async fn whole(mut body: RecvStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(part) = body.data().await {
        bytes.extend_from_slice(&part.unwrap());
    }
    bytes
}

fn says(mut respond: SendResponse<Bytes>, message: &'static [u8], status: &'static str) {
    let head = Response::builder().header("content-type", "application/grpc");
    let mut stream = respond
        .send_response(head.body(()).unwrap(), false)
        .unwrap();
    stream
        .send_data(Bytes::from_static(message), false)
        .unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    stream.send_trailers(trailers).unwrap();
}

fn grpc() -> HealthSpec {
    HealthSpec {
        kind: Some(CheckType::Grpc),
        ..HealthSpec::default()
    }
}

#[tokio::test]
async fn only_serving_passes() {
    let answers: [(Answer, Result<&str, &str>); 9] = [
        (|it| says(it, &[0, 0, 0, 0, 2, 8, 1], "0"), Ok("SERVING")),
        (
            |it| says(it, &[0, 0, 0, 0, 2, 8, 2], "0"),
            Err("health status NOT_SERVING"),
        ),
        (
            |it| says(it, &[0, 0, 0, 0, 2, 8, 3], "0"),
            Err("health status SERVICE_UNKNOWN"),
        ),
        (
            |it| says(it, &[0, 0, 0, 0, 0], "0"),
            Err("health status UNKNOWN"),
        ),
        (
            |it| says(it, &[0, 0, 0, 0, 2, 8, 1], "13"),
            Err("call status INTERNAL"),
        ),
        (|it| says(it, b"<html>", "0"), Err("no gRPC answer")),
        (
            |mut it| {
                let head = Response::builder().header("grpc-status", "5");
                let _end = it.send_response(head.body(()).unwrap(), true).unwrap();
            },
            Err("call status NOT_FOUND"),
        ),
        (
            |mut it| {
                let head = Response::builder().status(503);
                let _end = it.send_response(head.body(()).unwrap(), true).unwrap();
            },
            Err("status 503"),
        ),
        (
            |mut it| it.send_reset(h2::Reason::REFUSED_STREAM),
            Err("no gRPC answer"),
        ),
    ];
    for (answer, expected) in answers {
        let (address, _calls) = server(answer).await;
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(probe(&address, &grpc()).await, expected);
    }
}

#[tokio::test]
async fn the_call_names_its_service_and_host() {
    let (address, calls) = server(|it| says(it, &[0, 0, 0, 0, 2, 8, 1], "0")).await;
    let spec = HealthSpec {
        service: Some("shop.Cart".into()),
        host: Some("shop.example".into()),
        ..grpc()
    };
    probe(&address, &spec).await.unwrap();
    let (request, message) = calls.recv_timeout(DEADLINE).unwrap();
    assert_eq!(
        request.uri(),
        "http://shop.example/grpc.health.v1.Health/Check"
    );
    assert_eq!(request.method(), "POST");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(message, b"\0\0\0\0\x0b\x0a\x09shop.Cart");
}

#[tokio::test]
async fn a_server_without_http2_gives_no_answer() {
    let (address, _requests) = origin("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let answer = probe(&address, &grpc()).await.unwrap_err();
    // It closes with our bytes unread, which may reset the connection before its answer is seen.
    let is_told = answer == "no gRPC answer" || answer.starts_with("connection broken: ");
    assert!(is_told, "{answer}");
    assert_eq!(
        probe(&closed_port(), &grpc()).await,
        Err("connect refused".to_owned())
    );
}
