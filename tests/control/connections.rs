//! Connections to the control endpoint: what a client may take, and what ends it.

use crate::support::{Client, Edge, Origin, pointsman, until};
use crate::two_groups;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(3);

#[test]
fn a_head_that_does_not_end_is_cut_off() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green);
    let mut slow = TcpStream::connect(edge.control_address()).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    slow.write_all(b"GET /v1/state HTTP/1.1\r\nHost: local")
        .unwrap();
    let start = Instant::now();
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    let _ = edge.control().get("/v1/state").is(200);
}

#[test]
fn an_answer_that_is_not_taken_is_given_up() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green);
    // As many answers as no socket holds, and none is read.
    let asks = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    let mut slow = TcpStream::connect(edge.control_address()).unwrap();
    slow.write_all(asks.as_bytes()).unwrap();
    slow.set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    until("the connection is cut", || {
        let error = slow.write_all(asks.as_bytes()).err()?;
        (error.kind() != ErrorKind::WouldBlock).then_some(())
    });
}

#[test]
fn a_body_of_10_mib_is_413_and_nothing_changes() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green);
    let head = "PUT /v1/state HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let chunk = vec![b' '; 1 << 20];
    for framing in [
        "Content-Length: 10485760\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(edge.control_address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
            .write_all(format!("{head}{framing}").as_bytes())
            .unwrap();
        for _ in 0..10 {
            let size = format!("{:x}\r\n", chunk.len());
            let parts: [&[u8]; 3] = match framing.starts_with("Content") {
                true => [b"", &chunk, b""],
                false => [size.as_bytes(), &chunk, b"\r\n"],
            };
            // The answer may come before the body has gone.
            if parts.iter().any(|part| stream.write_all(part).is_err()) {
                break;
            }
        }
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{framing}");
    }
    assert_eq!(edge.control().get("/v1/state").is(200).revision(), 1);
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let (blue, green) = (Origin::start(), Origin::start());
    let mut edge = two_groups(&blue, &green);
    let mut idle = Client::connect(edge.control_address());
    assert_eq!(idle.get("/healthz", &[]).status, 200);
    edge.terminate();
    let start = Instant::now();
    assert!(edge.wait_exit().success());
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn several_requests_may_share_a_connection() {
    let (blue, green) = (Origin::start(), Origin::start());
    let edge = two_groups(&blue, &green);
    let mut client = Client::connect(edge.control_address());
    for path in ["/v1/state", "/nowhere", "/v1/upstreams/blue", "/metrics"] {
        let expected = if path == "/nowhere" { 404 } else { 200 };
        assert_eq!(client.get(path, &[]).status, expected, "{path}");
    }
}

#[test]
fn on_a_unix_socket_the_files_permissions_decide_who_gets_in() {
    let origin = Origin::start();
    let builder = Edge::builder().upstream("web", [&origin]).route("*", "web");
    let socket = builder.directory().join("control.sock");
    let file = builder.directory().join("unix.yaml");
    let yaml = format!(
        "listeners: [{{ address: '{}' }}]\ncontrol: {{ address: 'unix:{}' }}\nstate: {{ store: memory }}\n\
         access_log: {{ path: 'off' }}\nupstreams: {{ web: {{ servers: ['{}'] }} }}\nroutes: [{{ id: all, to: web }}]\n",
        builder.address(),
        socket.display(),
        origin.address(),
    );
    std::fs::write(&file, yaml).unwrap();
    let mut command = pointsman();
    command.arg("run").arg("-c").arg(&file);
    let _running = Running(command.stderr(Stdio::null()).spawn().unwrap());
    let answer = until("the socket answers", || ask(&socket, "GET /readyz"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let gone = ask(&socket, "DELETE /v1/routes/all").unwrap();
    assert!(gone.starts_with("HTTP/1.1 204"), "{gone}");
    let history = ask(&socket, "GET /v1/revisions/2").unwrap();
    assert!(history.contains(r#""source":"unix""#), "{history}");
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _status = self.0.wait();
    }
}

fn ask(socket: &std::path::Path, line: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let request = format!("{line} HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.contains(" 503 ")).then_some(answer)
}
