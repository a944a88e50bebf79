//! A port of this machine that stays ours while nobody listens on it.

use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A free port of 127.0.0.1, held by a socket that is bound but never listens: connections to it are refused, the kernel gives it to nobody
/// else, and a listener with SO_REUSEADDR (std's, Pingora's) can come and go on it. Linux only; elsewhere it is merely free when chosen.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _held: Option<Socket>,
}

impl Port {
    pub fn reserve() -> Self {
        Self::hold((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
    }

    /// The same at this address, if it is free.
    pub fn hold(address: SocketAddr) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        let address = socket.local_addr()?.as_socket().unwrap();
        Ok(Self {
            address,
            _held: cfg!(target_os = "linux").then_some(socket),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn number(&self) -> u16 {
        self.address.port()
    }

    pub fn listen(&self) -> TcpListener {
        super::until(&format!("{} can be listened on", self.address), || {
            TcpListener::bind(self.address).ok()
        })
    }
}
