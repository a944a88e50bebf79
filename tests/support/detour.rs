//! A way to a server that a test can make slow, or swallow everything.

use super::pause;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Forwards TCP connections to a server until it is dropped.
pub struct Detour {
    address: SocketAddr,
    way: Arc<Way>,
}

struct Way {
    to: SocketAddr,
    /// For each piece in either direction, in milliseconds; [`SWALLOW`]: nothing arrives.
    delay: AtomicU64,
    is_over: AtomicBool,
    /// Both ends of what is open.
    open: Mutex<Vec<TcpStream>>,
}

const SWALLOW: u64 = u64::MAX;

impl Detour {
    pub fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(Way {
            to,
            delay: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&way);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.is_over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(server) = TcpStream::connect(accepting.to) {
                    accepting.join(client, server);
                }
            }
        });
        Self { address, way }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    pub fn delay(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).unwrap();
        self.way.delay.store(milliseconds, Ordering::SeqCst);
    }

    /// Ends every connection that is open; new ones are let through.
    pub fn cut(&self) {
        for end in self.way.open.lock().unwrap().drain(..) {
            let _already_gone = end.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Connections stay, and new ones are accepted, but nothing arrives at either end: half open.
    pub fn swallow(&self) {
        self.way.delay.store(SWALLOW, Ordering::SeqCst);
    }
}

impl Way {
    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let both = [&client, &server].map(|end| end.try_clone().unwrap());
        self.open.lock().unwrap().extend(both);
        let ends = [(&client, &server), (&server, &client)];
        for (from, to) in ends {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let way = Arc::clone(self);
            thread::spawn(move || way.forward(from, to));
        }
    }

    fn forward(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            self.hold_up();
            if self.is_over.load(Ordering::SeqCst) || to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _already_gone = to.shutdown(std::net::Shutdown::Both);
    }

    fn hold_up(&self) {
        let mut waited = 0;
        while waited < self.delay.load(Ordering::SeqCst) && !self.is_over.load(Ordering::SeqCst) {
            pause(Duration::from_millis(5));
            waited += 5;
        }
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.way.is_over.store(true, Ordering::SeqCst);
        // Wakes who accepts.
        let _gone = TcpStream::connect(self.address);
    }
}
