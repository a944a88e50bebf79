use pingora::server::configuration::ServerConf;

use crate::config::Config;

/// What Pingora is set to.
pub(super) fn of_server(config: &Config) -> ServerConf {
    let threads = config.server.threads;
    ServerConf {
        threads,
        // Of requests to servers of HTTP/2. Our own rule decides; this is its upper bound (`retry.attempts` is at most 16),
        // and with the retries of stale connections a few more.
        max_retries: 20,
        upstream_keepalive_pool_size: KEPT_CONNECTIONS.div_ceil(threads),
        grace_period_seconds: Some(config.server.shutdown_grace.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        // From a second on, so that none of each request's is looked for in the tree of Pingora's own timers: with a minute of idle
        // time it has 6,000 places.
        fast_timeout_to_tokio_threshold_seconds: Some(0),
        ..ServerConf::default()
    }
}

/// Idle connections to servers that are kept, of HTTP/1 and of HTTP/2 so many each; Pingora's setting is per thread.
pub(super) const KEPT_CONNECTIONS: usize = 8192;
