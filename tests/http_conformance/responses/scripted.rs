//! An origin that answers request `/N` with the bytes of case N.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use super::table::Case;
use crate::support::RawOrigin;

pub(crate) struct Scripted {
    origin: RawOrigin,
    dropped: Arc<Mutex<HashSet<usize>>>,
}

impl Scripted {
    pub(crate) fn start(cases: &[Case]) -> Self {
        let replies: Vec<_> = cases
            .iter()
            .map(|case| (case.bytes.clone(), case.then_closes))
            .collect();
        let dropped = Arc::<Mutex<HashSet<usize>>>::default();
        let shared = dropped.clone();
        let origin = RawOrigin::start(move |stream, _| {
            if let Some(last) = serve(stream, &replies) {
                shared.lock().unwrap().insert(last);
            }
        });
        Self { origin, dropped }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.origin.address()
    }

    /// Whether a connection has ended behind this case's response; asked once for each.
    pub(crate) fn is_dropped(&self, number: usize) -> bool {
        self.dropped.lock().unwrap().remove(&number)
    }
}

/// The last case of the connection, when it ended; none if that was another request.
fn serve(mut stream: &TcpStream, replies: &[(Vec<u8>, bool)]) -> Option<usize> {
    let (mut last, mut pending, mut buffer) = (None, Vec::new(), [0; 4096]);
    loop {
        let Ok(count @ 1..) = stream.read(&mut buffer) else {
            return last;
        };
        pending.extend_from_slice(&buffer[..count]);
        while let Some(end) = pending.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&pending[..end]).into_owned();
            pending.drain(..end + 4);
            let path = head.split(' ').nth(1).unwrap_or_default();
            last = path.trim_start_matches('/').parse().ok();
            let after = (
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nafter".to_vec(),
                false,
            );
            let (bytes, closes) = last.map_or(&after, |number: usize| &replies[number]);
            if stream.write_all(bytes).is_err() {
                return last;
            }
            if *closes {
                let _already_closed = stream.shutdown(Shutdown::Write);
            }
        }
    }
}
