//! An origin below HTTP: the test serves each connection itself, byte by byte.

use super::Port;
use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Listens until dropped; each connection has a thread of its own and ends when its function returns.
pub struct RawOrigin {
    port: Port,
    connections: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl RawOrigin {
    /// `serve` gets the connection and its number, from 1.
    pub fn start(serve: impl Fn(&TcpStream, usize) + Send + Sync + 'static) -> Self {
        let port = Port::reserve();
        let (connections, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (listener, serve) = (port.listen(), Arc::new(serve));
        let (counted, over) = (Arc::clone(&connections), Arc::clone(&is_over));
        let listening = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(&stream, number));
            }
        });
        Self {
            port,
            connections,
            is_over,
            listening: Some(listening),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // The accept that is under way needs one more connection to notice.
        let woken = TcpStream::connect(self.address());
        if let Some(listening) = self.listening.take() {
            let _a_failed_test_says_more = listening.join();
        }
        drop(woken);
    }
}
