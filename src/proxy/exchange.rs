mod head;
mod pool;
mod relay;

use std::time::Instant;

use pingora_core::protocols::UniqueID;
use pingora_core::protocols::http::v1::client::HttpSession as ServerSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;
use tokio::time::timeout_at;

use super::{Proxy, RequestCtx, failure, upstream_connection};
use crate::ports::server_tls::CONNECTOR;
use crate::ports::telemetry::Reason;
use pool::Place;
use relay::{Ended, Relay};

pub use pool::Pool;

impl Proxy {
    /// Makes attempts at servers of HTTP/1 until the client has its answer: `true`. `false`: the next attempt is at a server of
    /// HTTP/2, and Pingora's.
    ///
    /// Pingora has an exchange of its own for HTTP/1, in two halves with a channel each way. It holds up to nine parts of 64 KiB
    /// of a response that the client does not take.
    ///
    /// # Errors
    /// Why there is no answer, or none to its end.
    pub(super) async fn exchange(
        &self,
        session: &mut Session,
        ctx: &mut RequestCtx,
    ) -> Result<bool> {
        // The rule's `attempts` bound it, and the few retries of connections that were closed.
        loop {
            self.wait_again(session, ctx).await?;
            if ctx.speaks_http2() {
                return Ok(false);
            }
            match self.attempt(session, ctx).await {
                Err(error) if error.retry() => {}
                ended => return ended.map(|()| true),
            }
        }
    }

    /// Waits for the server of the next attempt, if that has none yet.
    pub(super) async fn wait_again(
        &self,
        session: &mut Session,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        if let Some(waiter) = ctx.waiter.take()
            && let Err(reason) = Box::pin(self.wait(*waiter, session, ctx)).await?
        {
            ctx.reason = Some(reason);
            return Error::e_explain(ErrorType::ConnectError, "no server has room");
        }
        Ok(())
    }

    /// Where the next attempt goes, and how; it begins.
    pub(super) fn peer(&self, session: &Session, ctx: &mut RequestCtx) -> Result<Box<HttpPeer>> {
        let is_tunnel = ctx.asks_for_tunnel;
        let deadline = ctx.deadline();
        let (ahead, is_stale) = (ctx.ahead, ctx.stale > 0);
        let Some((upstream, server)) = ctx.next_attempt() else {
            // Every retry picks its server when it is decided: an attempt without one does not come here.
            return Error::e_explain(ErrorType::InternalError, "an attempt without a server");
        };
        if self.settings.loops.closes(session.req_header(), server) {
            ctx.reason = Some(Reason::LoopDetected);
            return Error::e_explain(ErrorType::ConnectError, "the request was here before");
        }
        let found = upstream_connection::to(server, upstream, session, is_stale, ahead, is_tunnel);
        let found = found.map(|mut peer| {
            upstream_connection::keep_apart(&mut peer, upstream, &session.req_header().method);
            upstream_connection::end_by(&mut peer, deadline);
            peer
        });
        found.inspect_err(|error| ctx.failed(failure::reason(error).as_str(), true))
    }

    async fn attempt(&self, session: &mut Session, ctx: &mut RequestCtx) -> Result<()> {
        let peer = self.peer(session, ctx)?;
        let place = Place::of(&peer);
        // Where one was closed, those that rested beside it may be.
        let is_kept = upstream_connection::is_kept(&peer) && ctx.stale == 0;
        let is_sure = !session.req_header().method.is_idempotent();
        let kept = is_kept.then(|| self.pool.take(&place, Instant::now(), is_sure));
        let kept = kept.flatten();
        let is_reused = kept.is_some();
        let connected = match kept {
            Some(stream) => Ok(stream),
            // Boxed: every request would carry what a handshake needs.
            None => Box::pin(CONNECTOR.new_stream(&*peer)).await,
        };
        let stream = connected
            .map_err(|error| self.retry_connect(session, ctx, error.into_up()).into_up())?;
        let mut server = ServerSession::new_with_options(stream, &*peer);
        server.read_timeout = peer.options.read_timeout;
        server.write_timeout = peer.options.write_timeout;
        ctx.connected(server.id());
        ctx.expect_body(session, self.settings.limits.pace());
        let end = ctx.deadline();
        let relay = Relay::new(self, session, ctx, &mut server);
        let ended = match end {
            Some(end) => timeout_at(end.into(), relay.run())
                .await
                .unwrap_or_else(|_| {
                    let error =
                        Error::explain(ErrorType::ReadTimedout, "longer than timeouts.total");
                    Err(error.into_up())
                }),
            None => relay.run().await,
        };
        match ended {
            Ok(Ended::Whole) => self.keep(server, &peer, place).await,
            Ok(Ended::Broken) => {}
            Ok(Ended::Tunnel) => ctx.tunnel = Some(server.into_inner()),
            Err(error) => return Err(self.retry_broken(session, ctx, error, is_reused)),
        }
        Ok(())
    }

    /// Gives the connection to the requests that come, unless its server ends it.
    async fn keep(&self, mut server: ServerSession, peer: &HttpPeer, place: Place) {
        if upstream_connection::is_kept(peer) {
            server.respect_keepalive();
        }
        if let Some(stream) = server.reuse().await {
            let idle = peer.options.idle_timeout;
            let until = idle.and_then(|idle| Instant::now().checked_add(idle));
            self.pool.put(place, stream, until);
        }
    }
}
