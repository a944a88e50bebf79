//! The least that a Pingora proxy can do, to compare with: two servers in turn, no features.
//! `bare_proxy LISTEN SERVER SERVER`, addresses as `ip:port`; one worker thread. See benches/README.md.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pingora::apps::HttpServerOptions;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct RoundRobin {
    servers: Vec<String>,
    turn: AtomicUsize,
}

#[async_trait]
impl ProxyHttp for RoundRobin {
    type CTX = ();
    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.servers.len();
        let server = self.servers.get(turn).or_err(InternalError, "no server")?;
        Ok(Box::new(HttpPeer::new(server, false, String::new())))
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or_default();
    let (servers, turn) = (arguments.collect(), AtomicUsize::new(0));
    let conf = ServerConf {
        threads: 1,
        upstream_keepalive_pool_size: 8192, // as src/app.rs has it
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut proxy = http_proxy_service(&server.configuration, RoundRobin { servers, turn });
    proxy.add_tcp(&listen);
    // For tests/http_conformance; a listener that speaks HTTP/2 looks at the first bytes of each connection.
    if let Ok(listen) = std::env::var("BARE_PROXY_H2C") {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        if let Some(proxy) = proxy.app_logic_mut() {
            proxy.server_options = Some(options);
        }
        proxy.add_tcp(&listen);
    }
    server.add_service(proxy);
    server.run_forever();
}
