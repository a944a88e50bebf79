use std::future::{Future, ready};
use std::pin::Pin;

use bytes::Bytes;
use http::StatusCode;
use pingora_core::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{Proxy, RequestCtx, forward, http2, sticky, strictness, tunnel};

/// What a hook that waits for nothing returns.
///
/// As `async` it would be a future with its arguments, of a size that nothing else here has: the allocator would take a new page
/// for it with each request and give it back, at a hundredth of the whole request.
pub(super) type AtOnce<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

pub(super) fn at_once<'a>(done: Result<()>) -> AtOnce<'a> {
    Box::pin(ready(done))
}

impl Proxy {
    /// The head of a server's answer, which may still be dropped for a retry.
    pub(super) fn answered(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            return tunnel::agree(session, response, ctx);
        }
        strictness::check_response(response, ctx)?;
        if response.status.is_informational() {
            return Ok(());
        }
        ctx.answered(response.status.as_u16());
        self.note_answer(ctx, response.status.as_u16());
        self.retry_status(session, response.status.as_u16(), ctx)
    }

    /// A part of the request's body, as it goes to the server.
    pub(super) fn body_came(
        &self,
        session: &Session,
        body: &mut Option<Bytes>,
        is_end: bool,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        if session.is_http2() {
            strictness::body_fits(ctx, body.as_ref(), self.settings.limits.body_size)?;
        }
        ctx.body_moved(body);
        if is_end {
            // As a chunk, nothing is the end of the body, and Pingora would add another (its issue
            // 935): the server would take it for the beginning of the next request.
            body.take_if(|last| last.is_empty());
            ctx.request_ended();
        }
        Ok(())
    }

    /// The head of the answer that the client gets.
    pub(super) fn pass_on(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        forward::response(session, response);
        sticky::bind(response, ctx, session.req_header(), self.settings.scheme)?;
        if ctx.speaks_http2() {
            http2::receive(session, response)?;
        }
        self.close_if_stopping(session);
        Ok(())
    }
}
