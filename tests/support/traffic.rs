//! Requests without a pause, beside what a test does.

use super::Client;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// A client that asks again and again until it is stopped.
pub struct Traffic {
    is_over: Arc<AtomicBool>,
    asking: Option<JoinHandle<(usize, Vec<String>)>>,
}

impl Traffic {
    pub fn to(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let asking = thread::spawn(move || ask(address, &over));
        Self {
            is_over,
            asking: Some(asking),
        }
    }

    /// Fails the test if any request did; answers how many there were.
    pub fn assert_flawless(mut self) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        let (count, failures) = self.asking.take().unwrap().join().unwrap();
        assert!(count > 0, "nothing was asked");
        assert!(
            failures.is_empty(),
            "{} of {count} failed: {:?}",
            failures.len(),
            failures.first()
        );
        println!("{count} requests, 0 failed");
        count
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

fn ask(address: SocketAddr, is_over: &AtomicBool) -> (usize, Vec<String>) {
    let (mut count, mut failures) = (0, Vec::new());
    let mut client = Client::connect(address);
    while !is_over.load(Ordering::SeqCst) {
        count += 1;
        match client.try_get("/", &[]) {
            // `keepalive_requests` ends a connection after 10,000.
            Ok(response) if response.status == 200 => {
                if !response.headers.keeps_connection("HTTP/1.1") {
                    client = Client::connect(address);
                }
            }
            Ok(response) => failures.push(response.text()),
            Err(error) => {
                failures.push(error.to_string());
                client = Client::connect(address);
            }
        }
    }
    (count, failures)
}
