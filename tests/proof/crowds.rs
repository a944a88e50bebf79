//! Crowds of unpleasant clients, each bounded in number and time, with what they cost; beside each of them two
//! clients that must not notice.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::size;
use super::slow_heads::{visit, with_descriptors};
use super::support::{Edge, EdgeBuilder, Ledger, Origin};

const MIB: u64 = 1024;

fn edge(origins: &[Origin]) -> EdgeBuilder {
    Edge::builder()
        .upstream("web", origins)
        .route("*", "web")
        .with("{ log: { level: warn }, access_log: { path: 'off' } }")
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

/// Runs the crowd with two clients beside it, none of whose requests may fail.
fn beside<T>(edge: &Edge, origins: &[Origin], crowd: impl Future<Output = T>) -> T {
    let (ledger, is_over) = (Ledger::new(), AtomicBool::new(false));
    let came = thread::scope(|scope| {
        for kept in [true, false] {
            let (ledger, is_over) = (&ledger, &is_over);
            scope.spawn(move || visit(edge, ledger, is_over, kept));
        }
        let came = wait_for(crowd);
        is_over.store(true, Ordering::Relaxed);
        came
    });
    let tally = ledger.settle(origins);
    assert!(tally.sent > 5, "{tally}");
    tally.assert_flawless();
    came
}

/// All at once but for the pace of connecting; what each of them comes back with.
async fn all<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: usize,
    one: impl Fn(usize) -> F,
) -> Vec<T> {
    let mut tasks = Vec::new();
    for number in 0..count {
        tasks.push(tokio::spawn(one(number)));
        if number % 20 == 19 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    all
}

#[test]
fn bodies_that_trickle_are_408_after_ten_seconds_of_grace() {
    let origins = Origin::many(2);
    let edge = edge(&origins).start();
    let count = with_descriptors(size(100, 1_000));
    let to = edge.address();
    let slow = beside(&edge, &origins, all(count, move |_| trickle(to)));
    let longest = slow.iter().map(|(taken, _)| *taken).max().unwrap();
    let shortest = slow.iter().map(|(taken, _)| *taken).min().unwrap();
    let answered = slow.iter().filter(|(_, answer)| answer.contains(" 408 "));
    println!(
        "{count} bodies of a byte every 500 ms: {} answered 408, after {shortest:?} to {longest:?}",
        answered.clone().count()
    );
    assert_eq!(answered.count(), count);
    assert!(shortest >= Duration::from_secs(10) && longest < Duration::from_secs(20));
}

async fn trickle(edge: SocketAddr) -> (Duration, String) {
    let mut socket = TcpStream::connect(edge).await.unwrap();
    let head = b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    socket.write_all(head).await.unwrap();
    let (began, mut answer) = (Instant::now(), Vec::new());
    for _ in 0..80 {
        // Whether it is still taken the next read tells.
        let _sent = socket.write_all(b"x").await;
        let read = timeout(Duration::from_millis(500), socket.read_to_end(&mut answer));
        if read.await.is_ok() {
            break;
        }
    }
    (
        began.elapsed(),
        String::from_utf8_lossy(&answer).into_owned(),
    )
}

#[test]
fn a_long_head_in_single_bytes_is_not_read_again_for_each() {
    let origins = Origin::many(2);
    let edge = edge(&origins).start();
    let (count, bytes) = (8, size(500, 2_500));
    let (to, before) = (edge.address(), edge.cpu());
    let began = Instant::now();
    let drip = move |_| async move {
        let mut socket = TcpStream::connect(to).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut head = b"GET /long HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
        head.resize(30_000, b'x');
        socket.write_all(&head).await.unwrap();
        for _ in 0..bytes.min(2_500) {
            socket.write_all(b"y").await.unwrap();
            sleep(Duration::from_millis(2)).await;
        }
        socket
            .write_all(b"\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
    };
    wait_for(all(count, drip));
    let spent = (edge.cpu() - before).as_secs_f64();
    let share = spent / began.elapsed().as_secs_f64() / count as f64;
    println!(
        "{count} heads of 30,000 bytes and {bytes} single ones, 500 a second: {share:.4} s of CPU a second for each"
    );
    // What is read again for each byte costs 30,000 times as much as what is not.
    assert!(share <= 0.1, "{share}");
}

#[test]
fn an_address_that_floods_us_with_connections_is_turned_away_and_the_others_are_not() {
    let origins = Origin::many(2);
    let edge = edge(&origins)
        .with("server: { max_connections_per_ip: 100 }")
        .start();
    let count = with_descriptors(size(2_000, 12_000));
    let to = edge.address();
    let flood = move |number: usize| async move {
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(number % 4).unwrap() + 1);
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut socket = socket.connect(to).await.unwrap();
        let mut answer = [0; 64];
        let read = timeout(Duration::from_secs(5), socket.read(&mut answer)).await;
        read.is_ok()
    };
    let turned = beside(&edge, &origins, all(count, flood));
    let turned = turned.iter().filter(|turned| **turned).count();
    println!("{count} connections of 4 addresses, 100 allowed for each: {turned} turned away");
    assert_eq!(turned, count - 400);
}

#[test]
fn idle_tunnels_cost_little_and_large_frames_are_not_kept() {
    let (origins, count) = (
        Origin::many(2),
        with_descriptors(size(1_000, 14_000)) * 2 / 5,
    );
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = listener.local_addr().unwrap();
    let edge = edge(&origins)
        .with(&format!(
            "upstreams: {{ echo: {{ servers: ['{server}'] }} }}"
        ))
        .route("echo.example", "echo")
        .start();
    let (to, megabytes) = (edge.address(), size(64, 1_024));
    let measured = async {
        tokio::spawn(swallow(listener));
        // What it takes to open many at a time is used again, and no tunnel's.
        let first = all(count / 4, move |_| open(to)).await;
        let before = edge.memory();
        let tunnels = all(count, move |_| open(to)).await;
        let idle = edge.memory();
        let [mut largest] = all(1, move |_| open(to)).await.try_into().unwrap();
        let mut most = idle;
        for _ in 0..megabytes {
            largest.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
            most = most.max(edge.memory());
        }
        drop((first, tunnels));
        (idle - before, most - idle)
    };
    let (idle, frame) = beside(&edge, &origins, measured);
    let each = idle as f64 / count as f64;
    println!(
        "{count} idle tunnels: {each:.1} KiB each; {megabytes} MiB through one more: {frame} KiB more"
    );
    assert!(frame <= 16 * MIB, "{frame}");
    // A debug build is so slow that many are opened at a time, whose memory for that stays for a while.
    let is_debug = std::env::var_os("POINTSMAN_BINARY").is_none() && cfg!(debug_assertions);
    let most = if is_debug { 80.0 } else { 20.0 };
    assert!(each <= most, "{each}");
}

async fn swallow(listener: std::net::TcpListener) {
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((mut socket, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut bytes = vec![0; 4096];
            let _head = socket.read(&mut bytes).await;
            let agreed = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            let _agreed = socket.write_all(agreed).await;
            while matches!(socket.read(&mut bytes).await, Ok(1..)) {}
        });
    }
}

async fn open(edge: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(edge).await.unwrap();
    let ask = b"GET / HTTP/1.1\r\nHost: echo.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    socket.write_all(ask).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let count = socket.read_buf(&mut answer).await.unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    socket
}

#[test]
fn hosts_and_paths_that_nobody_knows_leave_nothing_behind() {
    let origins = Origin::many(2);
    let edge = edge(&origins).start();
    origins.iter().for_each(Origin::keep_only_nonces);
    let count = size(4_000, 100_000);
    let series = || edge.control().get("/metrics").is(200).text.lines().count();
    ask(&edge, 0..1_000);
    let (before, kept) = (series(), edge.memory());
    ask(&edge, 1_000..count);
    let (after, more) = (series(), edge.memory().saturating_sub(kept));
    println!(
        "{count} hosts and paths: {before} lines of metrics before, {after} after, {more} KiB more memory"
    );
    assert_eq!(before, after);
    assert!(more <= 8 * MIB, "{more}");
}

fn ask(edge: &Edge, numbers: Range<usize>) {
    let mut client = edge.client();
    for number in numbers {
        // `keepalive_requests` ends a connection after 10,000.
        if number % 5_000 == 0 {
            client = edge.client();
        }
        let host = format!("h{number}.example");
        let answer = client.get(&format!("/p{number}?q={number}"), &[("Host", &host)]);
        assert_eq!(answer.status, 200);
    }
}
