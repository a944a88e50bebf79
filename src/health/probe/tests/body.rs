//! Texts that must occur in the body.

use super::*;

fn with_body(text: &str, request: Option<&str>) -> HealthSpec {
    HealthSpec {
        body: Some(text.into()),
        request: request.map(str::to_owned),
        ..http()
    }
}

async fn says(answer: &str, text: &str) -> Result<String, String> {
    let mut said = Vec::new();
    for request in [None, Some(RAW)] {
        let (address, _requests) = origin(answer);
        said.push(probe(&address, &with_body(text, request)).await);
    }
    assert_eq!(said[0], said[1]);
    said.remove(0)
}

#[tokio::test]
async fn the_text_is_found_in_every_framing() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nall is well",
        "HTTP/1.0 200 OK\r\n\r\nall is well",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nall i\r\n6\r\ns well\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\nb\r\nall is well\r\n",
    ] {
        assert_eq!(
            says(answer, "is well").await,
            Ok("status 200".into()),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_body_without_the_text_fails_and_the_status_comes_first() {
    for (answer, why) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad",
            "text not found in the body",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nbad", "text not found in the body"),
        (
            "HTTP/1.1 200 OK\r\nwell: is well\r\n\r\n",
            "text not found in the body",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n",
            "text not found in the body",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbad",
            "closed within the body",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nwrong\r\n",
            "no HTTP answer",
        ),
        (
            "HTTP/1.1 500 X\r\ncontent-length: 7\r\n\r\nis well",
            "status 500",
        ),
    ] {
        assert_eq!(says(answer, "is well").await, Err(why.into()), "{answer}");
    }
}

#[tokio::test]
async fn the_text_must_come_within_64_kib() {
    let answer = |before| format!("HTTP/1.1 200 OK\r\n\r\n{}well", "x".repeat(before));
    assert!(says(&answer(65_532), "well").await.is_ok());
    let late = says(&answer(65_533), "well").await;
    assert_eq!(late, Err("text not found in the body".into()));
}
