use pingora_http::RequestHeader;

use super::{RequestCtx, key};
use crate::clock;
use crate::domain::balancer::Pick;
use crate::domain::server::ServerId;
use crate::domain::upstream::Upstream;

/// What the request's first pick needs to know; its key is kept for later ones.
pub(super) fn first(
    upstream: &Upstream,
    head: &RequestHeader,
    ctx: &mut RequestCtx,
) -> Pick<'static> {
    if let Some(key) = upstream.request_key() {
        ctx.key = key::hash(key, head, ctx.client.address);
    }
    pick(&[], ctx.key, clock::monotonic_at(ctx.started))
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
