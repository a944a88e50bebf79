//! Legacy interfaces: the paths of older tools that scripts still call, one file for each. They submit
//! to the same controller as `/v1` and so share its rails, its history and its store.
//!
//! A call comes in on the control endpoint (`serve`, behind its protection) or over the port that data
//! listeners have ([`LegacyHandler`], behind their `legacy_allow`).

mod arguments;
mod call;
mod cjson;
mod dyups;
mod healthcheck;
mod page;
mod servers;
mod switch;
mod ups;
mod ups_api;
mod upsync;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HOST, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::ext::ReasonPhrase;

use super::api::Api;
use super::caller::Caller;
use super::problem::{Code, Problem};
use super::protection::{Connection, check_referer};
use crate::nginx::LONGEST_TEXT;
use crate::ports::legacy::{
    Interface, LONGEST_BODY, LegacyAnswer, LegacyHandler, LegacyRequest, normal_path,
};
use call::{Call, Entrance};

/// The interfaces that one listener has mounted.
pub(super) struct Compat {
    api: Arc<Api>,
    mounted: Vec<Interface>,
}

impl Compat {
    pub(super) fn new(api: Arc<Api>, mounted: &[Interface]) -> Self {
        Self {
            api,
            mounted: mounted.to_vec(),
        }
    }

    fn find(&self, path: &str) -> Option<Interface> {
        let has_it = |interface: &&Interface| claims(**interface, path);
        self.mounted.iter().find(has_it).copied()
    }
}

/// Whether an interface answers at this path.
fn claims(interface: Interface, path: &str) -> bool {
    match interface {
        Interface::Switch => switch::claims(path),
        Interface::Ups => ups::claims(path),
        Interface::UpsApi => ups_api::claims(path) || healthcheck::claims(path),
        Interface::Dyups => dyups::claims(path),
        Interface::Upsync => upsync::claims(path),
    }
}

async fn answer(interface: Interface, api: &Api, call: &Call) -> LegacyAnswer {
    match interface {
        Interface::Switch => switch::answer(api, call).await,
        Interface::Ups => ups::answer(api, call).await,
        Interface::UpsApi if ups_api::claims(&call.request.path) => {
            ups_api::answer(api, call).await
        }
        Interface::UpsApi => healthcheck::answer(api, call).await,
        Interface::Dyups => dyups::answer(api, call).await,
        Interface::Upsync => upsync::answer(api, call).await,
    }
}

/// Answers calls on the control endpoint; every other request goes on.
pub(super) async fn serve(
    State(compat): State<Arc<Compat>>,
    request: Request,
    next: Next,
) -> Response {
    let path = normal_path(request.uri().path()).map(|path| path.into_owned());
    let found = path.and_then(|path| Some((compat.find(&path)?, path)));
    let Some((interface, path)) = found else {
        return next.run(request).await;
    };
    match call_on_control(interface, path, request).await {
        Ok(call) => response(answer(interface, &compat.api, &call).await),
        Err(problem) => problem.into_response(),
    }
}

async fn call_on_control(
    interface: Interface,
    path: String,
    request: Request,
) -> Result<Call, Problem> {
    let (parts, body) = request.into_parts();
    let (caller, connection) = (parts.extensions.get(), parts.extensions.get());
    let (Some(caller), Some(connection)) = (caller, connection) else {
        return Err(Problem::new(Code::Internal, "the caller is not known"));
    };
    let (caller, connection): (Caller, Connection) = (Caller::clone(caller), *connection);
    check_referer(&parts.headers, &connection)?;
    let longest = match interface {
        Interface::Dyups => LONGEST_TEXT,
        _ => LONGEST_BODY,
    };
    let reading = tokio::time::timeout(PATIENCE, to_bytes(body, longest));
    let body = reading
        .await
        .map_err(|_| Problem::new(Code::RequestTimeout, "the body took longer than 30 s"))?
        .map_err(|_| {
            let detail = format!("here a body has at most {} KiB", longest / 1024);
            Problem::new(Code::BodyTooLarge, detail)
        })?;
    let text = |name| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
    let request = LegacyRequest {
        path,
        query: parts.uri.query().map(str::to_owned),
        host: text(HOST).unwrap_or_default(),
        content_type: text(CONTENT_TYPE),
        method: parts.method,
        body,
        source: connection.source,
    };
    Ok(Call::new(interface, request, caller, Entrance::Control))
}

/// For the whole body.
const PATIENCE: Duration = Duration::from_secs(30);

fn response(answer: LegacyAnswer) -> Response {
    let body = Body::from(answer.body);
    let mut response = (answer.status, body).into_response();
    if let Some(content_type) = answer.content_type {
        let content_type = HeaderValue::from_static(content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    if answer.status == StatusCode::METHOD_NOT_ALLOWED {
        // nginx's words for it.
        let reason = ReasonPhrase::from_static(b"Not Allowed");
        response.extensions_mut().insert(reason);
    }
    response
}

#[async_trait]
impl LegacyHandler for Compat {
    fn interface(&self, path: &str) -> Option<Interface> {
        self.find(path)
    }

    /// Away from the threads that serve: looking for a server among many groups takes its time. A panic
    /// costs this answer and nothing else, and a change is seen through although its caller went away.
    async fn answer(&self, request: LegacyRequest) -> LegacyAnswer {
        let Some(interface) = self.find(&request.path) else {
            return call::text(StatusCode::NOT_FOUND, String::new());
        };
        let source = request.source.map(|source: IpAddr| source.to_string());
        let caller = Caller {
            token: None,
            source: source.unwrap_or_default(),
        };
        let api = self.api.clone();
        let call = Call::new(interface, request, caller, Entrance::Listener);
        let runtime = tokio::runtime::Handle::current();
        let answering = move || runtime.block_on(answer(interface, &api, &call));
        let answered = tokio::task::spawn_blocking(answering).await;
        answered.unwrap_or_else(|error| {
            log::error!("{}: a call failed: {error}", interface.label());
            let text = "a fault in Pointsman; its log has more\n".to_owned();
            call::text(StatusCode::INTERNAL_SERVER_ERROR, text)
        })
    }
}
