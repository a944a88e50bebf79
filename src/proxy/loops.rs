use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use pingora_core::OrErr;
use pingora_core::{ErrorType::InternalError, Result};
use pingora_http::RequestHeader;

use super::RequestCtx;
use crate::domain::server::Server;
use crate::spec::Address;

const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// Ends a request that comes back: a route that leads to a listener of ours, directly or over other proxies, would
/// multiply it until nothing is left to take it with.
///
/// RFC 8586 has each proxy add its name to `CDN-Loop`. Only a server that may be a listener of ours is told ours: no
/// request to any other server need carry it.
#[derive(Debug, Clone)]
pub struct LoopGuard {
    /// Of this process alone: another proxy of this program is another place.
    name: Arc<str>,
    listeners: Arc<[Address]>,
}

impl LoopGuard {
    /// For a process that listens there. An unspecified IP address stands for every one.
    pub fn new(listeners: impl IntoIterator<Item = Address>) -> Self {
        Self {
            name: format!("pointsman-{:016x}", fastrand::u64(..)).into(),
            listeners: listeners.into_iter().collect(),
        }
    }

    /// Whether this request has been here and would go to a listener of ours again.
    pub(super) fn closes(&self, head: &RequestHeader, server: &Server) -> bool {
        self.knows(head) && self.may_be_ours(server.address())
    }

    /// Notes in a request that it was here, if the server of its attempt may be a listener of ours.
    pub(super) fn mark(&self, request: &mut RequestHeader, ctx: &RequestCtx) -> Result<()> {
        let is_ours = ctx
            .server()
            .is_some_and(|server| self.may_be_ours(server.address()));
        if is_ours {
            let name = HeaderValue::from_str(&self.name).or_err(InternalError, "name")?;
            request.append_header("CDN-Loop", name)?;
        }
        Ok(())
    }

    fn may_be_ours(&self, server: &Address) -> bool {
        self.listeners.iter().any(|own| match (own, server) {
            (Address::Ip(own), Address::Ip(server)) => {
                own.port() == server.port()
                    && (own.ip().is_unspecified() || own.ip() == server.ip())
            }
            (Address::Unix(own), Address::Unix(server)) => own == server || are_one(own, server),
            (own, server) => own == server,
        })
    }

    fn knows(&self, head: &RequestHeader) -> bool {
        let lines = head.headers.get_all(CDN_LOOP).iter();
        let mut names = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','));
        names.any(|name| name.trim() == &*self.name)
    }
}

/// Whether two paths are one socket, whatever links and dots lead to it. Nobody asks who has not Unix sockets on both sides.
fn are_one(a: &str, b: &str) -> bool {
    let file = |path: &str| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    matches!((file(a), file(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_socket_is_ours_by_whatever_path_it_is_reached() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let address = |name: &str| Address::Unix(path(name).to_str().unwrap().into());
        let _sockets = ["a", "b"].map(|name| UnixListener::bind(path(name)).unwrap());
        std::os::unix::fs::symlink(path("a"), path("link")).unwrap();
        let guard = LoopGuard::new([address("a")]);
        fs::create_dir(path("d")).unwrap();
        for name in ["a", "./a", "d/../a", "link"] {
            assert!(guard.may_be_ours(&address(name)), "{name}");
        }
        for name in ["b", "none"] {
            assert!(!guard.may_be_ours(&address(name)), "{name}");
        }
    }

    #[test]
    fn a_server_may_be_ours_if_a_listener_has_its_address_or_its_port_on_all() {
        let address = |text: &str| match text.strip_prefix("unix:") {
            Some(path) => Address::Unix(path.into()),
            None => Address::Ip(text.parse().unwrap()),
        };
        let ours = ["127.0.0.1:1", "0.0.0.0:2", "[::]:3", "unix:/a"].map(address);
        let guard = LoopGuard::new(ours);
        for server in ["127.0.0.1:1", "192.0.2.1:2", "127.0.0.1:3", "unix:/a"] {
            assert!(guard.may_be_ours(&address(server)), "{server}");
        }
        for server in ["127.0.0.2:1", "127.0.0.1:4", "unix:/b"] {
            assert!(!guard.may_be_ours(&address(server)), "{server}");
        }
    }

    #[test]
    fn a_request_is_known_by_the_name_of_this_process_alone() {
        let (guard, other) = (LoopGuard::new([]), LoopGuard::new([]));
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        assert!(!guard.knows(&request));
        let names = format!("cdn.example; x=1, {}", guard.name);
        request.append_header("CDN-Loop", names).unwrap();
        assert!(guard.knows(&request) && !other.knows(&request));
    }
}
