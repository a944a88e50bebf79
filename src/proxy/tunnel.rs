mod ways;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::UPGRADE;
use http::{StatusCode, Version};
use pingora_core::protocols::Stream;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use self::ways::{End, Ways};
use super::log::{Answered, Journal};
use super::{Proxy, RequestCtx, strictness};
use crate::ports::client_connection::{self, Verdict};
use crate::ports::telemetry::Reason;

/// The server switches protocols: that is for a WebSocket that was asked for, and nothing else.
pub(super) fn agree(
    session: &Session,
    response: &ResponseHeader,
    ctx: &mut RequestCtx,
) -> Result<()> {
    let protocol = response.headers.get(UPGRADE);
    let is_websocket = protocol.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let is_current = response.version == Version::HTTP_11;
    if !ctx.asks_for_tunnel || !is_websocket || !is_current {
        let error = Error::explain(ErrorType::InvalidHTTPHeader, "101 that nobody asked for");
        return Err(error.into_up());
    }
    ctx.answered(StatusCode::SWITCHING_PROTOCOLS.as_u16());
    if let Some(connection) = strictness::connection(session) {
        connection.decide(Verdict::Tunnel);
    }
    Ok(())
}

/// Whether the request goes on as a tunnel, which takes its record with it.
pub(super) fn open(
    proxy: &Proxy,
    session: &Session,
    error: Option<&Error>,
    ctx: &mut RequestCtx,
) -> bool {
    let connection = strictness::connection(session).filter(|_| error.is_none());
    let (Some(connection), Some(server)) = (connection, ctx.tunnel.take()) else {
        return false;
    };
    connection.open(Box::new(Tunnel {
        server,
        idle: proxy.settings.limits.websocket_idle,
        head: Box::new(session.req_header().clone()),
        sent: session.body_bytes_sent() as u64,
        ctx: std::mem::replace(ctx, RequestCtx::new()),
        journal: proxy.journal.clone(),
    }));
    true
}

/// A WebSocket that the server has agreed to, from the end of the exchange in HTTP on. The request is over, counted and logged
/// when one side leaves, or when neither has sent a byte for too long.
struct Tunnel {
    server: Stream,
    /// How long neither side may send anything.
    idle: Option<Duration>,
    head: Box<RequestHeader>,
    /// Bytes that the client got of it while it was an answer in HTTP.
    sent: u64,
    ctx: RequestCtx,
    journal: Arc<Journal>,
}

impl client_connection::Tunnel for Tunnel {
    fn join(self: Box<Self>, client: Stream) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.last(client))
    }
}

impl Tunnel {
    async fn last(self: Box<Self>, mut client: Stream) {
        let Self {
            mut server,
            mut ctx,
            ..
        } = *self;
        let mut ways = Ways::default();
        let end = ways.last(&mut client, &mut server, self.idle).await;
        ctx.reason = match end {
            End::Left => None,
            End::Client => Some(Reason::ClientAborted),
            End::Slow => Some(Reason::ClientSlow),
            End::Server => Some(Reason::UpstreamReset),
            End::Idle => Some(Reason::UpstreamTimeout),
        };
        if let Some(reason) = ctx.reason {
            // Its two sides end it as they please, also by falling silent: no server is blamed for that.
            ctx.failed(reason.as_str(), false);
        }
        let answered = Answered {
            status: Some(StatusCode::SWITCHING_PROTOCOLS.as_u16()),
            body_bytes: self.sent + ways.down.moved,
        };
        self.journal.log(&self.head, &answered, &ctx);
        drop(ctx);
        if end != End::Left {
            // TLS has a last word to write.
            let _already_gone = timeout(LAST_WORD, AsyncWriteExt::shutdown(&mut client)).await;
        }
        // The edge sees to it that the client gets what is on its way.
        drop(client);
        let _in_time = timeout(LINGER, linger(&mut server)).await;
    }
}

/// Closes for writing, and throws away what the server still sends: it would lose what it was sent last otherwise, if that met
/// a closed socket (RFC 9112 section 9.6).
async fn linger(server: &mut Stream) {
    let _already_gone = AsyncWriteExt::shutdown(server).await;
    let mut bytes = vec![0; 1024];
    while matches!(server.read(&mut bytes).await, Ok(1..)) {}
}

const LINGER: Duration = Duration::from_secs(2);

/// For the end of TLS to a client that takes nothing.
const LAST_WORD: Duration = Duration::from_secs(1);
