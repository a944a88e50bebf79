use std::sync::Arc;
use std::time::Duration;

use pingora_core::Result;
use pingora_core::upstreams::peer::{H1UpgradePolicy, HttpPeer};

use super::tunnel_connection::TunnelConnector;
use crate::domain::server::Server;
use crate::domain::upstream::Upstream;
use crate::spec::Address;

/// How to connect to a server. Pingora's own defaults have no time limits at all.
pub(super) fn to(
    server: &Server,
    upstream: &Upstream,
    tunnel: Option<(Arc<TunnelConnector>, Option<Duration>)>,
) -> Result<Box<HttpPeer>> {
    let mut peer = match server.address() {
        Address::Ip(address) => HttpPeer::new(address, false, String::new()),
        Address::Unix(path) => HttpPeer::new_uds(path, false, String::new())?,
    };
    let timeouts = upstream.timeouts();
    let options = &mut peer.options;
    options.connection_timeout = timeouts.connect;
    options.total_connection_timeout = timeouts.connect;
    match tunnel {
        None => {
            options.http_upstream_request_policy.h1_upgrade = H1UpgradePolicy::Deny;
            options.read_timeout = timeouts.any_read();
            options.write_timeout = timeouts.write;
            options.idle_timeout = timeouts.idle;
        }
        Some((connector, idle)) => {
            options.read_timeout = idle;
            options.write_timeout = idle;
            // A connection of its own, which nobody gets after it: one that another request has used
            // would not wait for the end of this one.
            options.custom_l4 = Some(connector);
            options.idle_timeout = Some(Duration::ZERO);
            peer.group_key = fastrand::u64(1..);
        }
    }
    Ok(Box::new(peer))
}
