use std::sync::Arc;

use super::Upstream;
use super::stick::goes_on;
use crate::domain::balancer::Pick;
use crate::domain::server::{InFlight, Server};
use crate::spec::WhenAllDown;

impl Upstream {
    /// Picks a server and counts the attempt in flight, so that no server works on more than it may.
    pub fn begin(&self, pick: &Pick<'_>) -> Result<InFlight, NobodyLeft> {
        for _ in 0..RACES {
            let Some(server) = self.pick(pick) else {
                break;
            };
            if let Some(begun) = InFlight::try_begin(server.clone(), pick.now) {
                return Ok(begun);
            }
        }
        Err(match self.is_full_at_last(pick) {
            true => NobodyLeft::Full,
            false if self.waits_for_a_name() => NobodyLeft::Unresolved,
            false => NobodyLeft::NoServer,
        })
    }

    /// The same when nothing was found, not even among the servers that are ejected, nor among the unhealthy where those
    /// are tried: their limit is what keeps it from them too.
    fn is_full_at_last(&self, pick: &Pick<'_>) -> bool {
        let any = self.when_all_down == WhenAllDown::TryAny && self.is_all_down();
        let may = |server: &Server| server.is_usable() || any && server.is_let();
        let mut servers = self.servers.iter();
        servers.any(|server| may(server) && is_limited(server, pick))
    }

    /// Whether a server could take this request but for its limit. Looks at all, where nothing was found: one
    /// that is usable and was not found had no room, even if it has some by now.
    pub(super) fn is_full_for(&self, pick: &Pick<'_>) -> bool {
        let is_full = |server: &Arc<Server>| {
            server.is_usable()
                && is_limited(server, pick)
                && !server.shared().ejection().is_out(pick.now)
        };
        self.servers.iter().any(is_full)
    }
}

/// Whom the room at a server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Whoever was not tried there.
    ForAll,
    /// Those who are bound to it: it drains.
    ForItsOwn,
    /// Those who have no other server to wait for.
    AtLast,
    /// Nobody.
    None,
}

impl Upstream {
    /// Whom room at this server of the group is for, at `now`.
    pub fn room(&self, server: &Server, now: u64) -> Room {
        let is_out = server.shared().ejection().is_out(now);
        let tries_any = self.when_all_down == WhenAllDown::TryAny;
        if server.is_usable() && !is_out {
            Room::ForAll
        } else if server.is_usable() || tries_any && server.is_let() {
            Room::AtLast
        } else if self.sticky.is_some() && goes_on(server, now) {
            Room::ForItsOwn
        } else {
            Room::None
        }
    }
}

fn is_limited(server: &Server, pick: &Pick<'_>) -> bool {
    server.limit().is_some() && !pick.tried.contains(&server.id())
}

/// Picks that may lose the last place at a server to another request. Each loss is another's gain.
const RACES: usize = 64;

/// Why no server can be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NobodyLeft {
    /// None is up, or those that are were tried.
    NoServer,
    /// Those that could be picked work on as many requests as they may.
    Full,
    /// It has none yet: DNS has not answered for its names.
    Unresolved,
}
