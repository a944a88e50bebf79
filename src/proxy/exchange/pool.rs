use std::cell::Cell;
use std::future::Future;
use std::os::fd::RawFd;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use filedescriptor::{POLLIN, poll, pollfd};
use hashbrown::HashMap;
use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use tokio::io::AsyncReadExt;
use tokio::task::unconstrained;
use tokio::time::MissedTickBehavior;

/// Idle connections to servers of HTTP/1.
///
/// Pingora's has a task with a timer for each connection that comes to rest, and asks the kernel where it leads before it is used
/// again: a tenth of what a request costs. Here each worker thread has a part of its own; one that finds nothing there looks in the
/// others. A server's end of a connection is seen when that is asked for, and each second by whoever tidies.
pub struct Pool {
    parts: Box<[Mutex<Part>]>,
    /// In each part.
    most: usize,
    is_tidied: Once,
}

#[derive(Default)]
struct Part {
    idle: HashMap<u64, Vec<Idle>>,
    count: usize,
}

struct Idle {
    stream: Stream,
    address: SocketAddr,
    until: Option<Instant>,
}

/// What connections have in common that may stand for each other: where they lead, and with which trust and for whom.
pub(super) struct Place {
    key: u64,
    address: SocketAddr,
}

impl Place {
    pub(super) fn of(peer: &HttpPeer) -> Self {
        Self {
            key: peer.reuse_hash(),
            address: peer.address().clone(),
        }
    }
}

const TIDY: Duration = Duration::from_secs(1);

impl Pool {
    /// For so many worker threads, and at most so many connections in all.
    pub fn new(threads: usize, most: usize) -> Self {
        let parts = threads.max(1);
        Self {
            parts: (0..parts).map(|_| Mutex::default()).collect(),
            most: most.div_ceil(parts).max(1),
            is_tidied: Once::new(),
        }
    }

    /// The connection to this place that came to rest last. `is_sure`: the system is asked whether its server has closed it, for
    /// a request that must not be sent twice; what the runtime has heard may be a moment old.
    pub(super) fn take(&self, place: &Place, now: Instant, is_sure: bool) -> Option<Stream> {
        // Dropped when nothing is locked any more: the system's calls to close them take their time.
        let mut ended = Vec::new();
        loop {
            let parts = self.parts.iter().cycle().skip(self.own());
            let stream = parts
                .take(self.parts.len())
                .find_map(|part| locked(part).take(place, now, &mut ended))?;
            if !is_sure || !is_readable(stream.id()) {
                return Some(stream);
            }
        }
    }

    /// Keeps a connection for the next request to its place, until then.
    pub(super) fn put(self: &Arc<Self>, place: Place, mut stream: Stream, until: Option<Instant>) {
        if !is_at_rest(&mut stream) {
            return;
        }
        let Place { key, address } = place;
        let idle = Idle {
            stream,
            address,
            until,
        };
        if let Some(part) = self.parts.get(self.own()) {
            let _too_many = locked(part).put(key, idle, self.most);
        }
        self.is_tidied.call_once(|| {
            tokio::spawn(tidy(Arc::downgrade(self)));
        });
    }

    /// The part of the thread that asks.
    fn own(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
        }
        let place = PLACE.get().unwrap_or_else(|| {
            let place = NEXT.fetch_add(1, Ordering::Relaxed);
            PLACE.set(Some(place));
            place
        });
        place % self.parts.len()
    }

    /// Drops what has ended in a part. Each server's by itself, so that no request waits for long.
    fn tidy(&self, part: usize, now: Instant) {
        let Some(part) = self.parts.get(part) else {
            return;
        };
        let keys: Vec<u64> = locked(part).idle.keys().copied().collect();
        for key in keys {
            let _ended = locked(part).tidy(key, now);
        }
    }
}

async fn tidy(pool: Weak<Pool>) {
    let mut turns = tokio::time::interval(TIDY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for part in 0_usize.. {
        let Some(pool) = pool.upgrade() else { return };
        if part % pool.parts.len() == 0 {
            turns.tick().await;
        }
        pool.tidy(part % pool.parts.len(), Instant::now());
        tokio::task::yield_now().await;
    }
}

impl Part {
    fn take(&mut self, place: &Place, now: Instant, ended: &mut Vec<Idle>) -> Option<Stream> {
        let idle = self.idle.get_mut(&place.key)?;
        while let Some(mut last) = idle.pop() {
            self.count -= 1;
            if last.address == place.address && last.is_usable(now) {
                return Some(last.stream);
            }
            ended.push(last);
        }
        None
    }

    /// Returns one that has to leave for it.
    fn put(&mut self, key: u64, idle: Idle, most: usize) -> Option<Idle> {
        let leaves = if self.count < most {
            self.count += 1;
            None
        } else {
            // Of anyone's the one that has rested for longest.
            let mut others = self.idle.values_mut();
            let others = others.find(|idle| !idle.is_empty());
            others.map(|idle| idle.remove(0))
        };
        self.idle.entry(key).or_default().push(idle);
        leaves
    }

    /// Returns those that have ended.
    fn tidy(&mut self, key: u64, now: Instant) -> Vec<Idle> {
        let Some(idle) = self.idle.get_mut(&key) else {
            return Vec::new();
        };
        let ended: Vec<Idle> = idle.extract_if(.., |idle| !idle.is_usable(now)).collect();
        if idle.is_empty() {
            self.idle.remove(&key);
        }
        self.count -= ended.len();
        ended
    }
}

impl Idle {
    fn is_usable(&mut self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until) && is_at_rest(&mut self.stream)
    }
}

/// Whether the server has neither closed the connection nor said anything that nobody asked for.
fn is_at_rest(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let read = pin!(unconstrained(stream.read(&mut byte)));
    let mut context = Context::from_waker(Waker::noop());
    read.poll(&mut context).is_pending()
}

/// Whether there is something to read, if only an end.
fn is_readable(connection: RawFd) -> bool {
    let mut asked = [pollfd {
        fd: connection,
        events: POLLIN,
        revents: 0,
    }];
    poll(&mut asked, Some(Duration::ZERO)).is_ok_and(|ready| ready > 0)
}

fn locked(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const KEY: u64 = 7;

    struct Server {
        listener: TcpListener,
        address: SocketAddr,
    }

    impl Server {
        fn place(&self, key: u64) -> Place {
            Place {
                key,
                address: self.address.clone(),
            }
        }
    }

    impl Server {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = SocketAddr::Inet(listener.local_addr().unwrap());
            Self { listener, address }
        }

        /// Our side of a connection, and the server's.
        async fn connect(&self) -> (Stream, TcpStream) {
            let address = self.listener.local_addr().unwrap();
            let stream = TcpStream::connect(address).await.unwrap();
            let stream: pingora_core::protocols::l4::stream::Stream = stream.into();
            (Box::new(stream), self.listener.accept().await.unwrap().0)
        }
    }

    /// Until what the server did has arrived.
    async fn until_gone(pool: &Pool, now: Instant) {
        let gone = async {
            while locked(&pool.parts[0]).count > 0 {
                pool.tidy(0, now);
                tokio::task::yield_now().await;
            }
        };
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_is_kept_for_one_request_with_its_key_and_address() {
        let (pool, now) = (Arc::new(Pool::new(1, 8)), Instant::now());
        let (server, other) = (Server::start().await, Server::start().await);
        let (stream, _servers) = server.connect().await;
        pool.put(server.place(KEY), stream, None);
        assert!(pool.take(&server.place(KEY + 1), now, false).is_none());
        assert!(pool.take(&server.place(KEY), now, false).is_some());
        assert!(pool.take(&server.place(KEY), now, false).is_none());
        // A key that two share leads nobody astray.
        let (stream, _servers) = server.connect().await;
        pool.put(server.place(KEY), stream, None);
        assert!(pool.take(&other.place(KEY), now, false).is_none());
    }

    #[tokio::test]
    async fn a_connection_that_rests_for_too_long_is_not_used() {
        let (pool, now) = (Arc::new(Pool::new(1, 8)), Instant::now());
        let server = Server::start().await;
        let (stream, _servers) = server.connect().await;
        let until = now + Duration::from_secs(1);
        pool.put(server.place(KEY), stream, Some(until));
        assert!(pool.take(&server.place(KEY), until, false).is_none());
        let (stream, _servers) = server.connect().await;
        pool.put(server.place(KEY), stream, Some(until));
        until_gone(&pool, until).await;
        assert!(locked(&pool.parts[0]).idle.is_empty());
    }

    #[tokio::test]
    async fn a_connection_that_its_server_closes_or_speaks_on_is_dropped() {
        let (pool, now) = (Arc::new(Pool::new(1, 8)), Instant::now());
        let server = Server::start().await;
        let (stream, servers) = server.connect().await;
        pool.put(server.place(KEY), stream, None);
        drop(servers);
        until_gone(&pool, now).await;
        let (stream, servers) = server.connect().await;
        pool.put(server.place(KEY), stream, None);
        drop(servers);
        // Before the runtime had the time to hear of it.
        assert!(pool.take(&server.place(KEY), now, true).is_none());
        let (stream, mut servers) = server.connect().await;
        pool.put(server.place(KEY), stream, None);
        servers.write_all(b"HTTP/1.1 408 \r\n\r\n").await.unwrap();
        until_gone(&pool, now).await;
    }

    #[tokio::test]
    async fn a_full_pool_drops_one_for_the_next() {
        let (pool, now) = (Arc::new(Pool::new(1, 2)), Instant::now());
        let server = Server::start().await;
        let mut servers = Vec::new();
        for key in 0..3 {
            let (stream, side) = server.connect().await;
            servers.push(side);
            pool.put(server.place(key), stream, None);
        }
        let left = (0..3).filter(|key| pool.take(&server.place(*key), now, false).is_some());
        assert_eq!(left.count(), 2);
        assert_eq!(locked(&pool.parts[0]).count, 0);
    }

    #[tokio::test]
    async fn a_thread_that_has_none_takes_anothers() {
        let (pool, now) = (Arc::new(Pool::new(2, 8)), Instant::now());
        let server = Server::start().await;
        let (stream, _servers) = server.connect().await;
        pool.put(server.place(KEY), stream, None);
        let place = server.place(KEY);
        let of = |part: usize| locked(&pool.parts[part]).take(&place, now, &mut Vec::new());
        // To the part of another thread.
        let (part, stream) = (0..2).find_map(|part| Some((1 - part, of(part)?))).unwrap();
        let idle = Idle {
            stream,
            address: server.address.clone(),
            until: None,
        };
        locked(&pool.parts[part]).put(KEY, idle, 8);
        assert!(pool.take(&server.place(KEY), now, false).is_some());
    }
}
