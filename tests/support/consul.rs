//! A stand-in for Consul: the endpoints that list servers, as its documentation describes them (keys below a folder, the
//! catalogue, health; blocking queries with `index` and `wait`), and the ways in which they fail.

use super::Port;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

mod answers;

use answers::Store;

/// Listens from `start` to its end, unless told to go away.
pub struct Consul {
    port: Port,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    store: Store,
    fault: Option<Fault>,
    /// Counts what is told apart from the store: a fault, a restore.
    epoch: u64,
    asked: Vec<Asked>,
    accepted: usize,
    open: Vec<TcpStream>,
    is_away: bool,
    /// Questions that are held back now.
    waiting: usize,
}

/// One question as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    pub target: String,
    pub token: Option<String>,
    /// Which connection it came by, from 1.
    pub connection: usize,
}

/// What happens instead of an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing, for ever.
    Hang,
    /// This status and text.
    Status(u16, &'static str),
    /// 200 with this body.
    Body(Vec<u8>),
    /// The first half of the right body, and the end of the connection.
    Truncated,
    /// The right body with this index, or none.
    Index(Option<u64>),
    /// The right answer, so much later.
    Slow(Duration),
    /// Questions for keys that are waited for together get this status.
    FolderStatus(u16),
}

impl Consul {
    pub fn start() -> Self {
        let mut consul = Self {
            port: Port::reserve(),
            shared: Arc::default(),
            listening: None,
        };
        consul.come_back();
        consul
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Refuses connections and closes those that are open.
    pub fn go_away(&mut self) {
        {
            let mut state = self.shared.lock();
            state.is_away = true;
            state.epoch += 1;
            for stream in state.open.drain(..) {
                let _already_closed = stream.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
        // Wakes the accept.
        let _refused = TcpStream::connect(self.address());
        if let Some(listening) = self.listening.take() {
            listening.join().unwrap();
        }
    }

    pub fn come_back(&mut self) {
        self.shared.lock().is_away = false;
        let listener = self.port.listen();
        let shared = self.shared.clone();
        self.listening = Some(thread::spawn(move || shared.accept(&listener)));
    }

    /// Writes a key; a value of "" is none, as `PUT` with an empty body leaves it.
    pub fn put(&self, key: &str, value: &str) {
        self.alter(|store| store.put(key, value));
    }

    pub fn delete(&self, key: &str) {
        self.alter(|store| store.delete(key));
    }

    /// Places of a service, as `answers::Place` has them.
    pub fn register(&self, service: &str, places: &[Value]) {
        self.alter(|store| store.register(service, places));
    }

    /// As after a restore from a backup: the same keys, the index goes back, whoever waits is answered.
    pub fn restore(&self) {
        self.told(|state| state.store.go_back());
    }

    /// Whoever waits gets it too.
    pub fn fail(&self, fault: Fault) {
        self.told(|state| state.fault = Some(fault));
    }

    pub fn recover(&self) {
        self.told(|state| state.fault = None);
    }

    /// Until a question is held back.
    pub fn wait_for_waiting(&self) {
        super::until("Consul holds a question back", || {
            (self.shared.lock().waiting > 0).then_some(())
        });
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.lock().asked.clone()
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.lock().accepted
    }

    fn alter(&self, edit: impl FnOnce(&mut Store)) {
        edit(&mut self.shared.lock().store);
        self.shared.changed.notify_all();
    }

    fn told(&self, edit: impl FnOnce(&mut State)) {
        {
            let mut state = self.shared.lock();
            edit(&mut state);
            state.epoch += 1;
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        self.go_away();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            let mut state = self.lock();
            if state.is_away {
                return;
            }
            state.accepted += 1;
            state.open.push(stream.try_clone().unwrap());
            let (shared, connection) = (self.clone(), state.accepted);
            thread::spawn(move || shared.serve(&stream, connection));
        }
    }

    /// Question by question, as HTTP/1.1 has it, to the end of the connection.
    fn serve(&self, stream: &TcpStream, connection: usize) -> Option<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).ok()? == 0 {
                    return None;
                }
                match line.trim_end() {
                    "" => break,
                    line => lines.push(line.to_owned()),
                }
            }
            let target = lines.first()?.split(' ').nth(1)?.to_owned();
            let token = lines.iter().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("x-consul-token")
                    .then(|| value.to_owned())
            });
            self.lock().asked.push(Asked {
                at: Instant::now(),
                target: target.clone(),
                token,
                connection,
            });
            let (bytes, closes) = self.answer(&target)?;
            (&mut &*stream).write_all(&bytes).ok()?;
            if closes {
                stream.shutdown(Shutdown::Both).ok()?;
                return None;
            }
        }
    }

    /// The bytes to send, and whether they are the last; none if there is nobody to send them to.
    fn answer(&self, target: &str) -> Option<(Vec<u8>, bool)> {
        let parameters = parameters(target);
        let since: u64 = parameters
            .get("index")
            .map_or(0, |index| index.parse().unwrap());
        let wait = parameters
            .get("wait")
            .map_or(Duration::from_secs(300), |wait| time(wait));
        let deadline = Instant::now() + wait;
        let mut state = self.lock();
        let epoch = state.epoch;
        let (status, index, body) = loop {
            let found = state.store.answer(target, &parameters);
            let left = deadline.saturating_duration_since(Instant::now());
            let is_told = state.epoch != epoch || state.fault.is_some();
            if since == 0 || found.1 > since || left.is_zero() || is_told {
                break found;
            }
            state.waiting += 1;
            state = self.changed.wait_timeout(state, left).unwrap().0;
            state.waiting -= 1;
        };
        if state.is_away {
            return None;
        }
        let fault = state.fault.clone();
        drop(state);
        let whole = |status: u16, index: Option<u64>, body: &[u8]| {
            let index = index.map_or(String::new(), |index| {
                format!("X-Consul-Index: {index}\r\n")
            });
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{index}Content-Length: {length}\r\n\r\n"
            );
            [head.as_bytes(), body].concat()
        };
        match fault {
            Some(Fault::FolderStatus(code)) if parameters.contains_key("keys") => {
                Some((whole(code, None, b"Permission denied"), false))
            }
            None | Some(Fault::FolderStatus(_)) => Some((whole(status, Some(index), &body), false)),
            Some(Fault::Hang) => {
                let state = self.lock();
                let epoch = state.epoch;
                let hangs = |state: &mut State| state.epoch == epoch;
                drop(self.changed.wait_while(state, hangs).unwrap());
                None
            }
            Some(Fault::Status(code, text)) => Some((whole(code, None, text.as_bytes()), false)),
            Some(Fault::Body(other)) => Some((whole(200, Some(index), &other), false)),
            Some(Fault::Truncated) => {
                let bytes = whole(status, Some(index), &body);
                Some((bytes[..bytes.len() - body.len() / 2].to_vec(), true))
            }
            Some(Fault::Index(other)) => Some((whole(status, other, &body), false)),
            Some(Fault::Slow(time)) => {
                super::pause(time);
                Some((whole(status, Some(index), &body), false))
            }
        }
    }
}

fn parameters(target: &str) -> BTreeMap<String, String> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    parameters
        .map(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            (name.to_owned(), value.replace("%2F", "/"))
        })
        .collect()
}

/// `10s`, `500ms`, as Go writes them.
fn time(text: &str) -> Duration {
    let milliseconds = text
        .strip_suffix("ms")
        .map(|number| number.parse().unwrap());
    let seconds = || text.strip_suffix('s').unwrap().parse::<u64>().unwrap() * 1000;
    Duration::from_millis(milliseconds.unwrap_or_else(seconds))
}

/// A place of a service as `Consul::register` takes it: its address, its tags, and the results of its checks.
pub fn place(address: SocketAddr, tags: &[&str], checks: &[&str]) -> Value {
    json!({ "ip": address.ip().to_string(), "port": address.port(), "tags": tags, "checks": checks })
}
