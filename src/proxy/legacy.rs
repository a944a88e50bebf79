use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use ipnet::IpNet;
use pingora_core::{Error, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use tokio::time::timeout;

use super::{Proxy, RequestCtx, forward};
use crate::ports::legacy::{
    Interface, LONGEST_BODY, LegacyAnswer, LegacyHandler, LegacyRequest, normal_path,
};
use crate::ports::telemetry::Reason;
use crate::strict::Rule;

/// The legacy interfaces of one listener: who answers, and whom.
#[derive(Clone)]
pub struct LegacyMount {
    /// Answers.
    pub handler: Arc<dyn LegacyHandler>,
    /// Who may call, by the connection's address.
    pub allow: Vec<IpNet>,
}

/// A request that is no server's business.
pub(super) struct Found {
    interface: Interface,
    path: String,
}

impl LegacyMount {
    /// The interface that the request is for, if it is for one.
    pub(super) fn find(&self, session: &Session) -> Option<Found> {
        let path = normal_path(session.req_header().uri.path())?;
        let interface = self.handler.interface(&path)?;
        let path = path.into_owned();
        Some(Found { interface, path })
    }

    fn allows(&self, sender: Option<IpAddr>) -> bool {
        sender.is_some_and(|sender| self.allow.iter().any(|network| network.contains(&sender)))
    }
}

impl Proxy {
    /// Answers a request for a legacy path; the request is over.
    pub(super) async fn answer_legacy(
        &self,
        mount: &LegacyMount,
        found: Found,
        session: &mut Session,
        ctx: &mut RequestCtx,
    ) -> Result<bool> {
        ctx.legacy = Some(found.interface.label());
        if !mount.allows(ctx.client.sender) {
            return self.refuse(Reason::LegacyForbidden, session, ctx).await;
        }
        // The edge keeps the time over HTTP/1.
        let limit = self.settings.limits.body_timeout;
        let limit = limit
            .filter(|_| session.is_http2())
            .unwrap_or(Duration::MAX);
        let Ok(read) = timeout(limit, body(session)).await else {
            return self.refuse(Rule::BodyTimeout.into(), session, ctx).await;
        };
        // What fails here is the client's connection.
        let Some(body) = read.map_err(Error::into_down)? else {
            return self.refuse(Reason::BodyTooLarge, session, ctx).await;
        };
        let request = request(session, found.path, body, ctx.client.sender);
        let answer = mount.handler.answer(request).await;
        ctx.revision = self.snapshot.load().revision();
        self.close_if_stopping(session);
        respond(session, answer).await?;
        Ok(true)
    }
}

fn request(session: &Session, path: String, body: Bytes, source: Option<IpAddr>) -> LegacyRequest {
    let head = session.req_header();
    let content_type = head.headers.get(CONTENT_TYPE);
    LegacyRequest {
        method: head.method.clone(),
        path,
        query: head.uri.query().map(str::to_owned),
        host: forward::received_host(head).to_owned(),
        content_type: content_type.and_then(|value| Some(value.to_str().ok()?.to_owned())),
        body,
        source,
    }
}

/// The whole body; none if it is too long.
async fn body(session: &mut Session) -> Result<Option<Bytes>> {
    let headers = &session.req_header().headers;
    let announced = headers.get(CONTENT_LENGTH).and_then(length);
    let expects = headers.get(EXPECT).is_some_and(is_continue);
    if announced.is_some_and(|length| length > LONGEST_BODY) {
        return Ok(None);
    }
    if expects {
        session
            .as_downstream_mut()
            .write_continue_response()
            .await?;
    }
    let mut body = BytesMut::new();
    while let Some(part) = session.as_downstream_mut().read_request_body().await? {
        if body.len() + part.len() > LONGEST_BODY {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(body.freeze()))
}

fn length(value: &HeaderValue) -> Option<usize> {
    value.to_str().ok()?.parse().ok()
}

fn is_continue(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(b"100-continue")
}

/// The request's body was read: the connection can be kept.
async fn respond(session: &mut Session, answer: LegacyAnswer) -> Result<()> {
    let LegacyAnswer {
        status,
        content_type,
        body,
    } = answer;
    let mut head = ResponseHeader::build(status, Some(4))?;
    if let Some(content_type) = content_type {
        head.insert_header(CONTENT_TYPE, content_type)?;
    }
    if status != StatusCode::NO_CONTENT {
        head.insert_header(CONTENT_LENGTH, body.len())?;
    }
    head.insert_header(CACHE_CONTROL, "no-store")?;
    head.insert_header(NO_SNIFF, "nosniff")?;
    let has_body = session.req_header().method != Method::HEAD && !body.is_empty();
    session
        .write_response_header(Box::new(head), !has_body)
        .await?;
    if has_body {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
