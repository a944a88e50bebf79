//! Very many connections whose heads come one byte at a time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::size;
use super::support::{Edge, Ledger, Origin, pause};

/// So long after its first byte each is closed at the latest. The deadline is set lower, since an answer takes its time
/// too on a machine that does other things; `limits.header_timeout` is 10 s where nothing is said.
const WITHIN: Duration = Duration::from_secs(10);

#[test]
fn slow_heads_are_closed_in_ten_seconds_each_and_hurt_nobody() {
    let connections = with_descriptors(size(500, 10_000));
    let header_timeout = if size(0, 1) == 1 { "9s" } else { "2s" };
    let origins = Origin::many(2);
    let edge = Edge::builder()
        .upstream("web", &origins)
        .route("*", "web")
        .listener(&format!("limits: {{ header_timeout: {header_timeout} }}"))
        .with("log: { level: warn }")
        .start();
    let (ledger, is_over) = (Ledger::new(), AtomicBool::new(false));
    let before = edge.memory();
    let slow = thread::scope(|scope| {
        for kept in [true, false] {
            let (edge, ledger, is_over) = (&edge, &ledger, &is_over);
            scope.spawn(move || visit(edge, ledger, is_over, kept));
        }
        let slow = attack(&edge, connections);
        is_over.store(true, Ordering::Relaxed);
        slow
    });
    let longest = slow.iter().map(|one| one.taken).max().unwrap();
    let answered = slow.iter().filter(|one| one.answer.contains("408")).count();
    let most = slow.iter().map(|one| one.memory).max().unwrap();
    println!(
        "{connections} connections with a byte every 2 s: each closed within {longest:?} of its first byte, \
         {answered} with 408; {:.1} KiB of memory for each",
        most.saturating_sub(before) as f64 / connections as f64
    );
    assert!(longest <= WITHIN, "{longest:?}");
    assert_eq!(answered, connections);
    let tally = ledger.settle(&origins);
    assert!(tally.sent > connections / 50, "{tally}");
    tally.assert_flawless();
}

/// Clients that ask one thing after the other, on one connection or on many.
pub(super) fn visit(edge: &Edge, ledger: &Ledger, is_over: &AtomicBool, kept: bool) {
    let mut client = edge.client();
    while !is_over.load(Ordering::Relaxed) {
        if !kept {
            client = edge.client();
        }
        let _in_the_ledger = ledger.record(|nonce| client.try_get("/", &[("X-Nonce", nonce)]));
        pause(Duration::from_millis(2));
    }
}

/// What became of one.
struct Slow {
    taken: Duration,
    answer: String,
    /// Of the proxy, in KiB, a moment before it closed the connection.
    memory: u64,
}

fn attack(edge: &Edge, connections: usize) -> Vec<Slow> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for number in 0..connections {
            tasks.push(tokio::spawn(drip(edge.address(), number)));
            if number % 20 == 19 {
                sleep(Duration::from_millis(10)).await;
            }
        }
        let mut peak = 0;
        let watched = async {
            loop {
                peak = peak.max(edge.memory());
                sleep(Duration::from_millis(100)).await;
            }
        };
        let mut slow = Vec::new();
        let all = async {
            for task in tasks {
                slow.push(task.await.unwrap());
            }
        };
        tokio::select! {
            () = all => {}
            () = watched => {}
        }
        slow.iter_mut().for_each(|one| one.memory = peak);
        slow
    })
}

const PACE: Duration = Duration::from_secs(2);

/// A byte at this pace until the other side has closed.
async fn drip(edge: SocketAddr, number: usize) -> Slow {
    let head: &[u8] = match number % 5 {
        0 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        1 => b"PRIVATE / HTTP/1.1\r\nHost: a\r\nX: ",
        2 => b"\r\n\r\nGET / HTTP/1.1\r\n",
        _ => b"GET /slow HTTP/1.1\r\nHost: a\r\nX: ",
    };
    let mut socket = TcpStream::connect(edge).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let mut began = None;
    let mut answer = Vec::new();
    for byte in head.iter().chain(std::iter::repeat(&b'x')).take(60) {
        // Whether it is still taken the next read tells.
        let _sent = socket.write_all(&[*byte]).await;
        began.get_or_insert_with(Instant::now);
        let read = timeout(PACE, socket.read_to_end(&mut answer)).await;
        if read.is_ok() {
            break;
        }
    }
    Slow {
        taken: began.unwrap().elapsed(),
        answer: String::from_utf8_lossy(&answer).into_owned(),
        memory: 0,
    }
}

/// Raises this process's limit on open files; fewer connections if that is not enough. The proxy does the same.
pub(super) fn with_descriptors(wanted: usize) -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    }
    let most = usize::try_from(hard / 10 * 8).unwrap_or(usize::MAX);
    if most < wanted {
        println!("only {most} connections of {wanted}: the limit on open files is {hard}");
    }
    wanted.min(most)
}
