//! Probes of real listeners on loopback.

mod body;
mod grpc;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::spec::{CheckType, HealthSpec};

/// What a probe of this address says: what it saw, or why it failed.
async fn probe(address: &Address, spec: &HealthSpec) -> Result<String, String> {
    let check = Arc::new(Check::new(spec).unwrap());
    let aim = Aim::new(address, check.port).unwrap();
    let probe = Probe::new(check);
    let answer = timeout(DEADLINE, probe.check(aim.target())).await;
    match answer.map_err(|_| "timeout".to_owned())? {
        Ok(()) => Ok(aim.seen()),
        Err(error) => Err(error.context.unwrap().as_str().to_owned()),
    }
}

const DEADLINE: Duration = Duration::from_secs(10);

/// A server that gives one connection this answer; the request comes through the channel.
fn origin(answer: impl Into<Vec<u8>>) -> (Address, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Ip(listener.local_addr().unwrap());
    let (requests, received) = mpsc::channel();
    let answer = answer.into();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let _ = requests.send(serve(stream, &answer));
    });
    (address, received)
}

/// Reads a head, writes the answer.
fn serve(mut stream: impl Read + Write, answer: &[u8]) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        request.push(byte[0]);
    }
    let _ = stream.write_all(answer);
    String::from_utf8(request).unwrap()
}

fn http() -> HealthSpec {
    HealthSpec::default()
}

fn raw(request: &str) -> HealthSpec {
    HealthSpec {
        request: Some(request.to_owned()),
        ..HealthSpec::default()
    }
}

fn tcp() -> HealthSpec {
    HealthSpec {
        kind: Some(CheckType::Tcp),
        ..HealthSpec::default()
    }
}

fn closed_port() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Address::Ip(listener.local_addr().unwrap())
}

const RAW: &str = "GET /ok HTTP/1.0\r\nHost: foo.com\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_status_of_the_list_passes() {
    for status in [200, 302] {
        let answer = format!("HTTP/1.1 {status} X\r\nlocation: /away\r\ncontent-length: 0\r\n\r\n");
        for spec in [http(), raw(RAW)] {
            let (address, _requests) = origin(&*answer);
            let seen = probe(&address, &spec).await;
            assert_eq!(seen, Ok(format!("status {status}")));
        }
    }
}

#[tokio::test]
async fn any_other_status_fails() {
    for spec in [http(), raw(RAW)] {
        let (address, _requests) = origin("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(probe(&address, &spec).await, Err("status 500".to_owned()));
    }
}

#[tokio::test]
async fn the_request_names_path_host_and_sender() {
    let (address, requests) = origin(OK);
    let spec = HealthSpec {
        path: Some("/health?deep=1".into()),
        host: Some("web.example".into()),
        ..http()
    };
    probe(&address, &spec).await.unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "GET /health?deep=1 HTTP/1.1\r\nHost: web.example\r\nUser-Agent: pointsman-health/{version}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(requests.recv_timeout(DEADLINE).unwrap(), expected);
}

#[tokio::test]
async fn without_a_host_the_address_is_named() {
    let (address, requests) = origin(OK);
    probe(&address, &http()).await.unwrap();
    let request = requests.recv_timeout(DEADLINE).unwrap();
    assert!(
        request.contains(&format!("\r\nHost: {address}\r\n")),
        "{request}"
    );
}

#[tokio::test]
async fn a_raw_request_goes_out_byte_for_byte() {
    let (address, requests) = origin("HTTP/1.0 200 OK\r\n\r\n");
    let seen = probe(&address, &raw(RAW)).await;
    assert_eq!(seen, Ok("status 200".to_owned()));
    assert_eq!(requests.recv_timeout(DEADLINE).unwrap(), RAW);
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    for spec in [http(), raw(RAW), tcp()] {
        let answer = probe(&closed_port(), &spec).await;
        assert_eq!(answer, Err("connect refused".to_owned()));
    }
}

#[tokio::test]
async fn an_open_port_is_enough_for_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Ip(listener.local_addr().unwrap());
    assert_eq!(probe(&address, &tcp()).await, Ok("connected".to_owned()));
}

#[tokio::test]
async fn a_port_replaces_the_servers_own() {
    let (address, _requests) = origin(OK);
    let spec = HealthSpec {
        port: address.ip().map(|address| address.port()),
        ..http()
    };
    assert!(probe(&closed_port(), &spec).await.is_ok());
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    for spec in [http(), raw(RAW)] {
        let (address, _requests) = origin("220 mail.example ESMTP\r\n\r\n");
        let answer = probe(&address, &spec).await;
        assert_eq!(answer, Err("no HTTP answer".to_owned()));
    }
}

#[tokio::test]
async fn a_connection_closed_at_once_is_no_answer() {
    for spec in [http(), raw(RAW)] {
        let (address, _requests) = origin("");
        let answer = probe(&address, &spec).await;
        assert_eq!(answer, Err("closed without an answer".to_owned()));
    }
}

#[tokio::test]
async fn a_head_without_end_fails() {
    let endless = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; 4 << 20]].concat();
    let (address, _requests) = origin(endless);
    let answer = probe(&address, &http()).await;
    assert_eq!(answer, Err("no HTTP answer".to_owned()));
}

#[tokio::test]
async fn a_status_line_without_end_fails() {
    let (address, _requests) = origin(vec![b'a'; 1 << 20]);
    let answer = probe(&address, &raw(RAW)).await;
    assert_eq!(answer, Err("no HTTP answer".to_owned()));
}

#[tokio::test]
async fn a_raw_request_needs_no_more_than_the_status_line() {
    let endless = [b"HTTP/1.0 200 OK\r\nx: ".to_vec(), vec![b'a'; 1 << 20]].concat();
    let (address, _requests) = origin(endless);
    let seen = probe(&address, &raw(RAW)).await;
    assert_eq!(seen, Ok("status 200".to_owned()));
}

#[tokio::test]
async fn the_body_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Ip(listener.local_addr().unwrap());
    let (done, wait) = mpsc::channel::<()>();
    let held = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        serve(
            &mut stream,
            b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n",
        );
        let _ = wait.recv_timeout(DEADLINE);
    });
    assert_eq!(probe(&address, &http()).await, Ok("status 200".to_owned()));
    drop(done);
    held.join().unwrap();
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Ip(listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        serve(&mut stream, b"");
        for byte in OK.as_bytes() {
            // The head is enough for the probe: it may be gone before the body is sent.
            let _gone = stream.write_all(&[*byte]);
        }
        // Until the probe has had enough.
        let _ = stream.read(&mut [0]);
    });
    assert_eq!(probe(&address, &http()).await, Ok("status 200".to_owned()));
    served.join().unwrap();
}

#[tokio::test]
async fn a_server_of_ipv6_can_be_probed() {
    // A machine without IPv6 has no such servers.
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return;
    };
    let address = Address::Ip(listener.local_addr().unwrap());
    let served = thread::spawn(move || serve(listener.accept().unwrap().0, OK.as_bytes()));
    assert_eq!(probe(&address, &http()).await, Ok("status 200".to_owned()));
    let request = served.join().unwrap();
    assert!(
        request.contains(&format!("\r\nHost: {address}\r\n")),
        "{request}"
    );
}

#[tokio::test]
async fn interim_answers_are_passed_over_but_not_for_ever() {
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let (address, _requests) = origin(interim.repeat(2) + OK);
    assert_eq!(probe(&address, &http()).await, Ok("status 200".to_owned()));
    let (address, _requests) = origin(interim.repeat(100) + OK);
    let answer = probe(&address, &http()).await;
    assert_eq!(answer, Err("no HTTP answer".to_owned()));
}

#[tokio::test]
async fn a_path_or_host_that_would_break_the_request_is_not_sent() {
    let broken = |path: &str, host: &str| HealthSpec {
        path: Some(path.into()),
        host: Some(host.into()),
        ..http()
    };
    for spec in [
        broken("/a\r\nx: y", "a"),
        broken("/", "a\r\nx: y"),
        broken("/a b", "a"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Ip(listener.local_addr().unwrap());
        let answer = probe(&address, &spec).await;
        assert_eq!(answer, Err("path or host cannot be sent".to_owned()));
    }
}

#[tokio::test]
async fn a_unix_socket_can_be_probed_in_every_way() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let address = Address::Unix(path.to_str().unwrap().into());
    let served = thread::spawn(move || {
        let serve_one = |_| serve(listener.accept().unwrap().0, OK.as_bytes());
        (0..3).map(serve_one).collect::<Vec<_>>()
    });
    let ok = Ok("status 200".to_owned());
    assert_eq!(probe(&address, &http()).await, ok);
    assert_eq!(probe(&address, &raw(RAW)).await, ok);
    assert_eq!(probe(&address, &tcp()).await, Ok("connected".to_owned()));
    let requests = served.join().unwrap();
    assert!(
        requests[0].contains("\r\nHost: localhost\r\n"),
        "{requests:?}"
    );
    drop(directory);
    for spec in [http(), raw(RAW), tcp()] {
        let answer = probe(&address, &spec).await.unwrap_err();
        assert!(
            answer.starts_with("connect failed: No such file"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_probe_dropped_at_its_deadline_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Ip(listener.local_addr().unwrap());
    let closed = thread::spawn(move || {
        let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.read_to_end(&mut Vec::new()).is_ok()
    });
    let check = Arc::new(Check::new(&http()).unwrap());
    let aim = Aim::new(&address, None).unwrap();
    let hanging = Probe::new(check);
    let answer = timeout(Duration::from_millis(100), hanging.check(aim.target())).await;
    assert!(answer.is_err());
    assert!(closed.join().unwrap());
}
