use pingora_core::Result;
use pingora_core::upstreams::peer::HttpPeer;

use super::TUNNEL_IDLE;
use crate::domain::server::Server;
use crate::domain::upstream::Upstream;
use crate::spec::Address;

/// How to connect to a server. Pingora's own defaults have no time limits at all.
pub(super) fn to(server: &Server, upstream: &Upstream, is_tunnel: bool) -> Result<Box<HttpPeer>> {
    let mut peer = match server.address() {
        Address::Ip(address) => HttpPeer::new(address, false, String::new()),
        Address::Unix(path) => HttpPeer::new_uds(path, false, String::new())?,
    };
    let timeouts = upstream.timeouts();
    let options = &mut peer.options;
    options.connection_timeout = timeouts.connect;
    options.total_connection_timeout = timeouts.connect;
    options.read_timeout = if is_tunnel {
        Some(TUNNEL_IDLE)
    } else {
        timeouts.any_read()
    };
    options.write_timeout = if is_tunnel {
        Some(TUNNEL_IDLE)
    } else {
        timeouts.write
    };
    options.idle_timeout = timeouts.idle;
    Ok(Box::new(peer))
}
