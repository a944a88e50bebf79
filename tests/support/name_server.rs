//! A small name server that answers, or does not, as a test says: over UDP and TCP on one port of 127.0.0.1.
//! Messages are written by hand (RFC 1035 section 4), so that they can also be wrong.

use super::until;
use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Listens from `start` to its end. A name without records does not exist.
pub struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    replies: Mutex<HashMap<(String, u16), Says>>,
    asked: Mutex<Vec<Question>>,
    ends: AtomicBool,
}

/// One question as it arrived.
#[derive(Clone, Debug)]
pub struct Question {
    pub at: Instant,
    pub name: String,
    pub kind: u16,
    pub by_tcp: bool,
}

/// What is said to a question.
#[derive(Clone, Debug)]
pub enum Says {
    /// So many seconds, and the data of each record.
    Records(u32, Vec<Vec<u8>>),
    /// The records over TCP; over UDP an empty answer that says it is cut.
    OnlyByTcp(u32, Vec<Vec<u8>>),
    /// A response code: 0 with no record, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED.
    Code(u8),
    /// Nothing.
    Silence,
    /// These bytes behind the question's id.
    Bytes(Vec<u8>),
}

pub const A: u16 = 1;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;

impl NameServer {
    pub fn start() -> Self {
        let (tcp, udp) = until("a port is free for UDP and TCP", || {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
            let udp = UdpSocket::bind(tcp.local_addr().ok()?).ok()?;
            Some((tcp, udp))
        });
        let address = tcp.local_addr().unwrap();
        udp.set_read_timeout(Some(STEP)).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared::default());
        let (one, other) = (shared.clone(), shared.clone());
        let threads = vec![
            thread::spawn(move || one.answer_datagrams(&udp)),
            thread::spawn(move || other.answer_streams(&tcp)),
        ];
        Self {
            address,
            shared,
            threads,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The part of a configuration that asks this server.
    pub fn yaml(&self) -> String {
        format!("dns: {{ servers: ['{}'] }}", self.address)
    }

    /// To every question of this kind about the name from here on.
    pub fn says(&self, name: &str, kind: u16, says: Says) {
        let mut replies = self.shared.replies.lock().unwrap();
        replies.insert((name.to_owned(), kind), says);
    }

    pub fn a(&self, name: &str, ttl: u32, addresses: &[Ipv4Addr]) {
        let records = addresses.iter().map(|ip| ip.octets().to_vec());
        self.says(name, A, Says::Records(ttl, records.collect()));
    }

    pub fn aaaa(&self, name: &str, ttl: u32, addresses: &[Ipv6Addr]) {
        let records = addresses.iter().map(|ip| ip.octets().to_vec());
        self.says(name, AAAA, Says::Records(ttl, records.collect()));
    }

    /// Priority, weight, port and target of each.
    pub fn srv(&self, name: &str, ttl: u32, records: &[(u16, u16, u16, &str)]) {
        let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            let mut bytes = Vec::new();
            for number in [priority, weight, port] {
                bytes.extend(number.to_be_bytes());
            }
            bytes.extend(labels(target));
            bytes
        };
        let records = records.iter().map(record).collect();
        self.says(name, SRV, Says::Records(ttl, records));
    }

    pub fn asked(&self, name: &str, kind: u16) -> Vec<Question> {
        let asked = self.shared.asked.lock().unwrap();
        let about = |question: &&Question| question.name == name && question.kind == kind;
        asked.iter().filter(about).cloned().collect()
    }

    /// Polls until this has been asked so many more times than until now.
    pub fn wait_for_more(&self, name: &str, kind: u16, times: usize) {
        let before = self.asked(name, kind).len();
        until(&format!("{name} is asked for {times} more times"), || {
            (self.asked(name, kind).len() >= before + times).then_some(())
        });
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

/// How often a thread looks whether the end has come.
const STEP: Duration = Duration::from_millis(20);

impl Shared {
    fn answer_datagrams(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while !self.ends.load(Ordering::SeqCst) {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            if let Some(answer) = self.answer(&buffer[..length], false) {
                let _gone = socket.send_to(&answer, from);
            }
        }
    }

    fn answer_streams(&self, listener: &TcpListener) {
        while !self.ends.load(Ordering::SeqCst) {
            match listener.accept() {
                Ok((stream, _)) => drop(self.answer_stream(stream)),
                Err(_) => super::pause(STEP),
            }
        }
    }

    /// One question for each connection; a client that has more opens another.
    fn answer_stream(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question)?;
        let Some(answer) = self.answer(&question, true) else {
            return Ok(());
        };
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &answer].concat())
    }

    fn answer(&self, message: &[u8], by_tcp: bool) -> Option<Vec<u8>> {
        let (name, kind, end) = question(message)?;
        self.asked.lock().unwrap().push(Question {
            at: Instant::now(),
            name: name.clone(),
            kind,
            by_tcp,
        });
        let (id, question) = (&message[..2], &message[12..end]);
        let whole = |flags: [u8; 2], ttl: u32, records: &[Vec<u8>]| {
            let count = u16::try_from(records.len()).unwrap().to_be_bytes();
            let mut answer = [id, &flags, &[0, 1], &count, &[0; 4], question].concat();
            for data in records {
                // A pointer to the name in the question.
                answer.extend([0xc0, 12]);
                answer.extend(kind.to_be_bytes());
                answer.extend([0, 1]);
                answer.extend(ttl.to_be_bytes());
                answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
                answer.extend(data);
            }
            answer
        };
        let code = |code: u8| whole([0x81, 0x80 | code], 0, &[]);
        match self.reply(&name, kind) {
            Says::Records(ttl, records) => Some(whole(SOUND, ttl, &records)),
            Says::OnlyByTcp(ttl, records) if by_tcp => Some(whole(SOUND, ttl, &records)),
            Says::OnlyByTcp(..) => Some(whole([0x83, 0x80], 0, &[])),
            Says::Code(number) => Some(code(number)),
            Says::Silence => None,
            Says::Bytes(bytes) => Some([id, &bytes].concat()),
        }
    }

    fn reply(&self, name: &str, kind: u16) -> Says {
        let replies = self.replies.lock().unwrap();
        let found = replies.get(&(name.to_owned(), kind)).cloned();
        let exists = replies.keys().any(|(known, _)| known == name);
        found.unwrap_or(Says::Code(if exists { 0 } else { 3 }))
    }
}

/// A response, recursion desired and available, no error.
const SOUND: [u8; 2] = [0x81, 0x80];

/// Name, kind, and where the question ends.
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let (mut name, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(message.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    Some((name.join("."), kind, at + 4))
}

fn labels(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
    labels.flat_map(label).chain([0]).collect()
}
