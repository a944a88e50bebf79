//! Handshakes as fast as they can be made.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::client::TlsClient;
use crate::handshakes::Site;
use crate::support::read_head;

/// Where the flood goes to another process, it takes the machine's time but not our threads': what is left of that
/// beside a flood of our own is the share of those who are connected.
#[test]
fn a_flood_of_handshakes_leaves_established_connections_their_share() {
    let site = Site::new();
    let (edge, other) = (site.start(), site.start());
    let alone = asked(&site, edge.address());
    let (elsewhere, _) = beside_flood(&site, edge.address(), other.address());
    let (here, handshakes) = beside_flood(&site, edge.address(), edge.address());
    println!(
        "2,000 requests on one connection: {alone:.0} a second alone, {elsewhere:.0} beside a flood to another \
         process, {here:.0} beside {handshakes} handshakes with this one; 0 failed"
    );
    assert!(handshakes > 50);
}

/// Requests a second on one connection.
fn asked(site: &Site, edge: SocketAddr) -> f64 {
    let mut client = Established::new(&site.client(), edge);
    let began = Instant::now();
    (0..2_000).for_each(|_| client.get());
    2_000.0 / began.elapsed().as_secs_f64()
}

/// The same while handshakes are made with `target`, and how many.
fn beside_flood(site: &Site, edge: SocketAddr, target: SocketAddr) -> (f64, usize) {
    let is_over = AtomicBool::new(false);
    let flood = || {
        let mut count = 0;
        // A client of its own each time: nothing is resumed.
        while !is_over.load(Ordering::Relaxed) && count < 20_000 {
            site.client().visit(target).unwrap();
            count += 1;
        }
        count
    };
    thread::scope(|scope| {
        let floods: Vec<_> = (0..4).map(|_| scope.spawn(flood)).collect();
        let beside = asked(site, edge);
        is_over.store(true, Ordering::Relaxed);
        let count = floods.into_iter().map(|it| it.join().unwrap()).sum();
        (beside, count)
    })
}

/// One connection, asked one thing after the other.
struct Established(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Established {
    fn new(client: &TlsClient, address: SocketAddr) -> Self {
        let name = ServerName::try_from(client.name.clone()).unwrap();
        let session = ClientConnection::new(client.config(), name).unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        Self(BufReader::new(StreamOwned::new(session, socket)))
    }

    fn get(&mut self) {
        let ask = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        self.0.get_mut().write_all(ask).unwrap();
        let (head, headers) = read_head(&mut self.0).unwrap().unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length = headers.first("content-length").unwrap().parse().unwrap();
        self.0.read_exact(&mut vec![0; length]).unwrap();
    }
}
