use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use pingora_core::protocols::http::v1::client::HttpSession as ServerSession;
use pingora_core::protocols::http::{HttpTask, ServerSession as ClientSession};
use pingora_core::{BError, Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use tokio::time::{timeout, timeout_at};

use super::super::{Proxy, RequestCtx};
use super::head;
use crate::domain::upstream::Timeouts;

/// One attempt's two ways: the request to its server, and the response to the client.
///
/// One of them waits for the other where its reader is slow, so that no more than one part of either is held.
pub(super) struct Relay<'a> {
    proxy: &'a Proxy,
    session: &'a mut Session,
    ctx: &'a mut RequestCtx,
    server: &'a mut ServerSession,
    /// Whether more of the request is to come.
    is_asking: bool,
    /// Why the server takes no more of the request. What it says of it may still come.
    refusal: Option<BError>,
    /// Whether the response's own head has come, behind interim ones.
    has_head: bool,
    is_answered: bool,
    is_tunnel: bool,
    /// Until when the server may take for its head, once it has all of the request.
    head_by: Option<Instant>,
}

/// How a response ended that was passed on.
pub(super) enum Ended {
    /// Both messages are whole: the connection may serve another request.
    Whole,
    /// The server has not taken all of the request.
    Broken,
    /// The server agrees to a tunnel: what comes next is not HTTP.
    Tunnel,
}

/// What came from the server.
enum Said<'s> {
    Head(Box<ResponseHeader>, bool),
    /// None at the end of a response whose end is the connection's.
    Part(Option<&'s [u8]>),
}

impl<'a> Relay<'a> {
    pub(super) fn new(
        proxy: &'a Proxy,
        session: &'a mut Session,
        ctx: &'a mut RequestCtx,
        server: &'a mut ServerSession,
    ) -> Self {
        let is_asking = !session.as_mut().is_body_done();
        Self {
            proxy,
            session,
            ctx,
            server,
            is_asking,
            refusal: None,
            has_head: false,
            is_answered: false,
            is_tunnel: false,
            head_by: None,
        }
    }

    /// # Errors
    /// Why the response is not whole, with the side that is to blame for it.
    pub(super) async fn run(mut self) -> Result<Ended> {
        let head = head::of_request(self.proxy, self.session, self.ctx)?;
        let sent = self.server.write_request_header(head).await;
        sent.map_err(|error| error.into_up())?;
        let client = self.session.as_mut();
        client.enable_retry_buffering();
        // What an attempt before this one has read.
        let kept = client.get_retry_buffer();
        if kept.is_some() || client.is_body_empty() {
            self.send(kept, !self.is_asking).await?;
        }
        while !self.is_answered || self.is_asking {
            let watches_client = !self.is_asking || self.refusal.is_none();
            if self.is_answered && !watches_client {
                break;
            }
            tokio::select! {
                part = self.session.as_mut().read_body_or_idle(!self.is_asking), if watches_client => {
                    let part = part.map_err(|error| error.into_down())?;
                    let is_end = self.session.as_mut().is_body_done();
                    self.send(part, is_end).await?;
                }
                said = hear(self.server, self.has_head, self.head_by), if !self.is_answered => match said {
                    Ok(Said::Head(head, is_end)) => self.answer(head, is_end).await?,
                    Ok(Said::Part(part)) => {
                        let part = part.unwrap_or_default();
                        let last = if part.len() < PIECE {
                            let parts = BytesMut::from(part);
                            pass_on_small(self.session, self.server, parts).await?
                        } else {
                            pass_on(self.session, part).await?
                        };
                        self.is_answered = self.server.is_body_done();
                        tell(self.session, HttpTask::Body(last, self.is_answered)).await?;
                    }
                    Err(error) => return Err(self.refusal.take().unwrap_or(error).into_up()),
                },
            }
        }
        Ok(match self.refusal {
            _ if self.is_tunnel => Ended::Tunnel,
            None => Ended::Whole,
            Some(_) => Ended::Broken,
        })
    }

    /// Sends a part of the request's body.
    async fn send(&mut self, mut part: Option<Bytes>, is_end: bool) -> Result<()> {
        let is_end = is_end || part.is_none();
        self.proxy
            .body_came(self.session, &mut part, is_end, self.ctx)?;
        self.is_asking = !is_end;
        if is_end && !self.has_head {
            self.server.read_timeout = None;
            let limit = self.timeouts().and_then(|timeouts| timeouts.first_byte);
            self.head_by = limit.and_then(|limit| Instant::now().checked_add(limit));
        }
        let sent = write(self.server, part, is_end);
        let sent = if is_end {
            // Nothing else is to come from a client that has not left.
            tokio::select! {
                biased;
                sent = sent => sent,
                left = self.session.as_mut().read_body_or_idle(true) => {
                    return left.map(drop).map_err(|error| error.into_down());
                }
            }
        } else {
            sent.await
        };
        self.refusal = sent.err();
        Ok(())
    }

    fn timeouts(&self) -> Option<&Timeouts> {
        self.ctx
            .upstream
            .as_ref()
            .map(|upstream| upstream.timeouts())
    }

    /// Passes a head on.
    async fn answer(&mut self, mut head: Box<ResponseHeader>, is_end: bool) -> Result<()> {
        self.proxy.answered(self.session, &mut head, self.ctx)?;
        head::frame(self.session, &mut head, is_end)?;
        self.proxy.pass_on(self.session, &mut head, self.ctx)?;
        self.has_head = !head.status.is_informational();
        if self.has_head {
            self.server.read_timeout = self.timeouts().and_then(|timeouts| timeouts.read);
        }
        self.is_answered = self.has_head && is_end;
        self.is_tunnel = head.status == StatusCode::SWITCHING_PROTOCOLS;
        tell(self.session, HttpTask::Header(head, is_end)).await?;
        if self.is_tunnel {
            self.is_answered = true;
            self.pass_on_early().await?;
        }
        Ok(())
    }

    /// Passes on what the server has sent right behind its agreement, which was read with it.
    async fn pass_on_early(&mut self) -> Result<()> {
        let Some(early) = at_hand(self.server) else {
            return Ok(());
        };
        let early = early.map_err(|error| error.into_up())?;
        let early = early.map(Bytes::copy_from_slice);
        tell(self.session, HttpTask::UpgradedBody(early, false)).await
    }
}

/// What the server says next.
async fn hear(
    server: &mut ServerSession,
    has_head: bool,
    head_by: Option<Instant>,
) -> Result<Said<'_>> {
    if has_head {
        return server.read_body_ref().await.map(Said::Part);
    }
    let head = server.read_resp_header_parts();
    let late = || Error::e_explain(ErrorType::ReadTimedout, "longer than timeouts.first_byte");
    let head = match head_by {
        Some(end) => timeout_at(end.into(), head)
            .await
            .unwrap_or_else(|_| late()),
        None => head.await,
    }?;
    let is_end = server.is_body_done();
    Ok(Said::Head(head, is_end))
}

/// Passes a large part of a response's body on, but for a last piece that must say whether it is the end.
async fn pass_on(session: &mut Session, part: &[u8]) -> Result<Option<Bytes>> {
    if let ClientSession::H1(client) = session.as_downstream_mut() {
        // Without a copy.
        let passed = client.write_body(part).await;
        return passed.map(|_| None).map_err(|error| error.into_down());
    }
    let mut pieces = part.chunks(PIECE);
    let last = pieces.next_back();
    for piece in pieces {
        let piece = Bytes::copy_from_slice(piece);
        tell(session, HttpTask::Body(Some(piece), false)).await?;
    }
    Ok(last.map(Bytes::copy_from_slice))
}

/// Collects small parts that have come already: servers send chunks many at a time, and each would be written by itself.
async fn pass_on_small(
    session: &mut Session,
    server: &mut ServerSession,
    mut parts: BytesMut,
) -> Result<Option<Bytes>> {
    while !server.is_body_done() {
        let part = match at_hand(server) {
            None => break,
            Some(Ok(part)) => part.unwrap_or_default(),
            Some(Err(error)) => {
                tell(session, HttpTask::Body(Some(parts.freeze()), false)).await?;
                return Err(error.into_up());
            }
        };
        if parts.len() + part.len() > PIECE {
            tell(session, HttpTask::Body(Some(parts.freeze()), false)).await?;
            return pass_on(session, part).await;
        }
        parts.extend_from_slice(part);
    }
    Ok(Some(parts.freeze()))
}

/// What has come of a body, if something has.
fn at_hand(server: &mut ServerSession) -> Option<Result<Option<&[u8]>>> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(server.read_body_ref()).poll(&mut context) {
        Poll::Ready(part) => Some(part),
        Poll::Pending => None,
    }
}

/// As much as a frame of HTTP/2 holds, if its reader does not ask for more (RFC 9113 section 6.5.2).
const PIECE: usize = 16 * 1024;

async fn tell(session: &mut Session, task: HttpTask) -> Result<()> {
    let told = session.as_mut().response_duplex_vec(vec![task]).await;
    told.map(drop)
}

/// Writes a part of the request's body, or its end.
async fn write(server: &mut ServerSession, part: Option<Bytes>, is_end: bool) -> Result<()> {
    if let Some(part) = part.filter(|part| !part.is_empty()) {
        server.write_body(&part).await?;
    }
    if is_end {
        // Pingora has no limit for the last chunk.
        let late = || Error::e_explain(ErrorType::WriteTimedout, "the end of the body");
        match server
            .write_timeout
            .filter(|_| server.body_bytes_sent() > 0)
        {
            Some(limit) => {
                let ended = timeout(limit, server.finish_body()).await;
                ended.unwrap_or_else(|_| late())?;
            }
            None => drop(server.finish_body().await?),
        }
    }
    Ok(())
}
