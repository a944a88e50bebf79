use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::{Proxy, RequestCtx, forward, key, sticky};
use crate::clock;
use crate::domain::balancer::Pick;
use crate::domain::queue::Waiter;
use crate::domain::server::{InFlight, ServerId};
use crate::domain::sticky::Bound;
use crate::domain::upstream::{NobodyLeft, Upstream};
use crate::ports::telemetry::Reason;

impl Proxy {
    /// Finds the route and the group, and picks the first server. What cannot be served is said at
    /// once, while the connection can still be kept.
    pub(super) fn route(&self, session: &Session, ctx: &mut RequestCtx) -> Result<Next, Reason> {
        let head = session.req_header();
        let snapshot = self.snapshot.load();
        ctx.revision = snapshot.revision();
        let host = forward::received_host(head);
        let route = snapshot
            .routes()
            .find(host, head.uri.path())
            .ok_or(Reason::NoRoute)?;
        ctx.route = Some(route.clone());
        let upstream = snapshot
            .serving(route, host)
            .ok_or(Reason::UpstreamMissing)?;
        // Named in the log even when none of its servers can be picked.
        ctx.upstream = Some(upstream.clone());
        upstream.count_request();
        let pick = first(upstream, head, ctx);
        let begun = match upstream.has_line() {
            false => begin(upstream, ctx.bound.as_ref(), &pick),
            // Behind those who came before.
            true => Err(NobodyLeft::Full),
        };
        match begun {
            Ok(begun) => ctx.begin(begun),
            Err(NobodyLeft::Full) if upstream.queue_size() > 0 => {
                return Ok(Next::Waits(Waiter {
                    upstream: upstream.clone(),
                    tried: Vec::new(),
                    bound: ctx.bound,
                    pick,
                    goes_first: false,
                }));
            }
            Err(nobody) => return Err(reason(nobody)),
        }
        Ok(Next::Begins)
    }
}

/// How a request goes on that has a route and a group.
pub(super) enum Next {
    /// It has its server.
    Begins,
    /// Every server that it may go to is full.
    Waits(Waiter),
}

/// Why there is no server.
pub(super) fn reason(nobody: NobodyLeft) -> Reason {
    match nobody {
        NobodyLeft::NoServer => Reason::NoServer,
        NobodyLeft::Unresolved => Reason::NameUnresolved,
        NobodyLeft::Full => Reason::ServersFull,
    }
}

/// What the request's first pick needs to know; its key is kept for later ones.
fn first(upstream: &Upstream, head: &RequestHeader, ctx: &mut RequestCtx) -> Pick<'static> {
    if let Some(key) = upstream.request_key() {
        ctx.key = key::hash(key, head, ctx.client.address);
    }
    if let Some(sticky) = upstream.sticky() {
        ctx.bound = sticky::bound(sticky, head);
    }
    pick(&[], ctx.key, clock::monotonic_at(ctx.started))
}

/// Counts an attempt in flight at the server that the client had before, or else at one that is picked.
pub(super) fn begin(
    upstream: &Upstream,
    bound: Option<&Bound>,
    pick: &Pick<'_>,
) -> Result<InFlight, NobodyLeft> {
    let had = bound.and_then(|bound| upstream.begin_at(bound, pick));
    had.map_or_else(|| upstream.begin(pick), Ok)
}

/// What a pick needs to know of a request with this key; without one chance is its key.
pub(super) fn pick(tried: &[ServerId], key: Option<u64>, now: u64) -> Pick<'_> {
    let mut pick = Pick::new(tried, fastrand::u64(..));
    pick.now = now;
    if let Some(key) = key {
        pick.key = key;
    }
    pick
}
