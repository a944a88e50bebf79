use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::{TcpStream, UnixStream};

use crate::config::{Config, ListenAddress};

/// Binds every address once and lets go: a busy port is found now, with its address, where Pingora
/// alone would try silently for half a minute.
pub(super) fn try_all(config: &Config) -> anyhow::Result<()> {
    let listeners = config.listeners.iter().map(|listener| &listener.address);
    for address in listeners.chain([&config.control.address]) {
        match address {
            ListenAddress::Tcp(place) => {
                drop(std::net::TcpListener::bind(place).with_context(|| cannot(address))?)
            }
            ListenAddress::Unix(path) => try_socket(path).with_context(|| cannot(address))?,
        }
    }
    Ok(())
}

fn cannot(address: &ListenAddress) -> String {
    format!("cannot listen on {address}")
}

/// A socket's file stays behind a process that was killed; it is in the way only if someone answers.
fn try_socket(path: &Path) -> anyhow::Result<()> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        bail!("another process listens there");
    }
    let directory = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
        bail!("the directory {} does not exist", directory.display());
    }
    Ok(())
}

/// Waits until every listener accepts.
pub(super) async fn wait_for_all(addresses: &[ListenAddress]) -> Result<(), String> {
    for address in addresses {
        let accepting = async {
            while !accepts(address).await {
                tokio::time::sleep(AGAIN).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, accepting).await;
        waited.map_err(|_| {
            format!("cannot listen on {address}: it does not accept connections after {PATIENCE:?}")
        })?;
    }
    Ok(())
}

const AGAIN: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(10);

async fn accepts(address: &ListenAddress) -> bool {
    match address {
        ListenAddress::Tcp(place) => TcpStream::connect(reachable(*place)).await.is_ok(),
        ListenAddress::Unix(path) => UnixStream::connect(path).await.is_ok(),
    }
}

/// A listener on every address is reached over loopback.
fn reachable(place: SocketAddr) -> SocketAddr {
    let ip = match place.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, place.port())
}
