use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;
use utoipa_axum::router::OpenApiRouter;

use super::api::Api;
use super::compat::{self, Compat};
use super::content::LONGEST_BODY;
use super::outcome::REVISION;
use super::problem::{Code, Problem};
use super::settings::ControlSettings;
use super::{description, probes, protection, v1};
use crate::controller::Controller;
use crate::fleet::Fleet;
use crate::ports::telemetry::Metrics;
use crate::spec::shortened;

/// Every path, behind the legacy ones, behind the protection, behind what all answers have in common.
pub(super) fn router(
    settings: ControlSettings,
    controller: Controller,
    fleet: Fleet,
    metrics: Metrics,
    ready: watch::Receiver<bool>,
) -> (Router, Arc<Api>) {
    let (router, document) = OpenApiRouter::with_openapi(description::base())
        .merge(v1::router())
        .merge(probes::router())
        .split_for_parts();
    let document = description::completed(document);
    let text = document.to_json().unwrap_or_default();
    let mounted = settings.legacy.clone();
    let api = Arc::new(Api::new(
        settings,
        controller,
        fleet,
        metrics,
        ready,
        text.into(),
    ));
    let compat = Arc::new(Compat::new(api.clone(), &mounted));
    let router = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn_with_state(compat, compat::serve))
        .layer(from_fn_with_state(api.clone(), protection::admit))
        .layer(from_fn_with_state(api.clone(), finish))
        .with_state(api.clone());
    (router, api)
}

async fn not_found(OriginalUri(uri): OriginalUri) -> Problem {
    let detail = format!(
        "nothing is at `{}`; /openapi.json lists every path",
        shortened(uri.path())
    );
    Problem::new(Code::NotFound, detail)
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "`{}` does not take {}",
        shortened(uri.path()),
        shortened(method.as_str())
    );
    Problem::new(Code::MethodNotAllowed, detail)
}

/// Adds the headers that every answer has.
async fn finish(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let mut response = isolated(request, next).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(REVISION)
        .or_insert_with(|| api.snapshot().revision().into());
    response
}

/// Runs the call as a task of its own: a panic in it costs this answer and nothing else, and a change
/// is seen through although its caller went away.
pub(super) async fn isolated(request: Request, next: Next) -> Response {
    let answer = tokio::spawn(next.run(request)).await;
    answer.unwrap_or_else(|error| {
        log::error!("control: a call failed: {error}");
        Problem::new(Code::Internal, "the log has more").into_response()
    })
}
