use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::size;
use super::super::support::{Edge, RedisServer};
use super::{Fleet, NODES};

/// What Redis is told, as it tells it itself: the second, and the command. What its scripts do is not counted.
fn listen(
    redis: &RedisServer,
    until: impl Fn() -> bool + Send + 'static,
) -> thread::JoinHandle<Vec<(f64, String)>> {
    let mut connection = TcpStream::connect(redis.address()).unwrap();
    connection.write_all(b"MONITOR\r\n").unwrap();
    let limit = Some(Duration::from_millis(50));
    connection.set_read_timeout(limit).unwrap();
    let mut lines = BufReader::new(connection);
    let mut first = String::new();
    while !first.ends_with('\n') {
        let _not_yet = lines.read_line(&mut first);
    }
    thread::spawn(move || {
        let (mut told, mut line) = (Vec::new(), String::new());
        while !until() {
            let _not_yet = lines.read_line(&mut line);
            if !line.ends_with('\n') {
                continue;
            }
            let words: Vec<&str> = line.trim_start_matches('+').split(' ').collect();
            if let [time, _, from, command, ..] = words.as_slice()
                && !from.starts_with("lua")
            {
                told.push((
                    time.parse().unwrap(),
                    command.trim().trim_matches('"').to_uppercase(),
                ));
            }
            line.clear();
        }
        told
    })
}

/// What a connection says of itself when it is made.
const GREETINGS: [&str; 5] = ["CLIENT", "HELLO", "AUTH", "SELECT", "PING"];

#[test]
fn five_nodes_that_restart_at_once_ask_redis_at_most_five_times_a_second() {
    let mut fleet = Fleet::start();
    for number in 0..size(20, 300) {
        let group = if number % 2 == 0 { "green" } else { "blue" };
        let body = json!({ "to": group });
        drop(
            fleet
                .control(number)
                .post("/v1/routes/any/switch", &body)
                .is(200),
        );
    }
    fleet.nodes.iter().for_each(Edge::terminate);
    for node in &mut fleet.nodes {
        node.wait_exit();
    }
    let began = Instant::now();
    let length = Duration::from_secs(size(8, 30) as u64);
    let told = listen(&fleet.redis, move || began.elapsed() > length);
    thread::scope(|scope| {
        for node in &mut fleet.nodes {
            scope.spawn(|| node.start_again());
        }
    });
    println!("all ready after {:?}", began.elapsed());
    let told = told.join().unwrap();
    let (mut commands, mut seconds): (BTreeMap<&str, usize>, BTreeMap<u64, usize>) =
        Default::default();
    let first = told.first().map_or(0.0, |(time, _)| *time);
    for (time, command) in &told {
        *commands.entry(command).or_default() += 1;
        if !GREETINGS.contains(&&**command) {
            *seconds.entry((time - first) as u64).or_default() += 1;
        }
    }
    let most = seconds.values().max().copied().unwrap_or_default() as f64 / NODES as f64;
    let all: usize = seconds.values().sum();
    let mean = all as f64 / NODES as f64 / length.as_secs_f64();
    println!("in {length:?}: {commands:?}");
    println!(
        "a second and node: {mean:.2} on average, {most:.2} in the busiest second; by second: {seconds:?}"
    );
    assert!(mean <= 5.0, "{mean}");
}
