//! Ports: small parts shared by the services, so that no service imports another.

pub mod access_log;
pub mod client_connection;
pub mod host_keys;
pub mod legacy;
pub mod pem;
pub mod proxy_header;
pub mod secret;
pub mod server_tls;
pub mod sources;
pub mod telemetry;

mod shard;
