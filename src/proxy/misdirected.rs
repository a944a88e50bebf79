use pingora_proxy::Session;

use super::{RequestCtx, forward};
use crate::ports::client_connection::is_misdirected;
use crate::ports::telemetry::Reason;

/// A host whose certificate the client has not seen on this connection must not be reached over it (RFC 9110 section 7.4).
/// A trusted proxy may ask for all hosts over one connection: it answers for its clients.
pub(super) fn reason(session: &Session, ctx: &RequestCtx) -> Option<Reason> {
    let digest = session.digest()?.proxy_digest.as_deref()?;
    let host = forward::received_host(session.req_header());
    let is_wrong = !ctx.client.is_trusted && is_misdirected(digest.user_data.as_deref()?, host);
    is_wrong.then_some(Reason::MisdirectedRequest)
}
