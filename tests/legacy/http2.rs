//! Legacy calls over HTTP/2 with prior knowledge.

use crate::support::{Origin, PATIENCE};
use crate::two_groups;
use bytes::Bytes;
use http::Request;
use tokio::net::TcpStream;
use tokio::time::timeout;

#[test]
fn a_call_over_http_2_switches_its_authority() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green).start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let address = edge.address();
    let answers = runtime.block_on(async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut answers = Vec::new();
        for (method, path, body) in [
            ("GET", "/_switch_upstream?upstream=green", ""),
            ("POST", "/_switch_upstream?upstream=blue", "upstream=green"),
            ("HEAD", "/_switch_upstream?upstream=green", ""),
            ("GET", "/", ""),
        ] {
            let uri = format!("http://A.example{path}");
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            let call = call(send.clone(), request, body);
            answers.push(timeout(PATIENCE, call).await.unwrap());
        }
        connection.abort();
        answers
    });
    let switched = |from: &str, to: &str| {
        let text =
            format!("Current upstream is :{from}\nA.example change upstream from {from} to {to}\n");
        (200, text)
    };
    let expected = [
        switched("blue", "green"),
        switched("green", "blue"),
        (200, String::new()),
        (200, green.name()),
    ];
    assert_eq!(answers, expected);
}

#[test]
fn a_call_whose_body_does_not_come_is_408() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green)
        .listener("limits: { body_timeout: 300ms }")
        .start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(edge.address()).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut send = send.ready().await.unwrap();
        let request = Request::post("http://A.example/_switch_upstream").body(());
        let (response, _body) = send.send_request(request.unwrap(), false).unwrap();
        let answer = timeout(PATIENCE, response).await.unwrap().unwrap();
        assert_eq!(answer.status(), 408);
        connection.abort();
    });
}

async fn call(
    send: h2::client::SendRequest<Bytes>,
    request: Request<()>,
    body: &'static str,
) -> (u16, String) {
    let mut send = send.ready().await.unwrap();
    let (response, mut stream) = send.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        stream.send_data(body.into(), true).unwrap();
    }
    let (head, mut stream) = response.await.unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(part) = stream.data().await {
        text.extend_from_slice(&part.unwrap());
    }
    (head.status.as_u16(), String::from_utf8(text).unwrap())
}
