//! Servers as scripts name them and as pages show them.

use serde_json::json;

use crate::change::Change;
use crate::domain::server::{Health, Server};
use crate::domain::upstream::Upstream;
use crate::spec::{Address, Admin, Name, Span};

/// A member of a group with what nginx says about one.
pub(super) struct Shown<'a> {
    pub(super) label: &'a str,
    pub(super) weight: u16,
    pub(super) max_fails: u32,
    /// In seconds.
    pub(super) fail_timeout: u128,
    pub(super) is_backup: bool,
    /// Whether it takes no new requests: taken out by the operator or by its checks.
    pub(super) is_down: bool,
}

/// The members of a group in its own order.
pub(super) fn shown(upstream: &Upstream) -> impl Iterator<Item = Shown<'_>> {
    upstream.servers().iter().map(|server| Shown {
        label: server.label(),
        weight: server.weight(),
        max_fails: server.spec().max_fails,
        fail_timeout: whole_seconds(server.spec().fail_timeout),
        is_backup: server.is_backup(),
        is_down: is_down(server),
    })
}

/// nginx knows whole seconds, and 0 would say another thing than a part of one.
pub(super) fn whole_seconds(span: Span) -> u128 {
    span.duration().as_millis().div_ceil(1000)
}

fn is_down(server: &Server) -> bool {
    server.admin() != Admin::Up || server.health() == Health::Down
}

/// The edit that puts a server in or takes it out.
pub(super) fn set(upstream: &Name, address: &Address, is_up: bool) -> Change {
    let admin = if is_up { Admin::Up } else { Admin::Down };
    Change::PatchServer {
        upstream: upstream.clone(),
        address: address.clone(),
        server: json!({ "admin": admin }),
    }
}
