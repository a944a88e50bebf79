//! What stands beside `/v1`: for probes, for Prometheus, for clients and for people.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::Api;
use super::edit::Look;
use super::problem::{Code, Problem};
use super::series::Series;
use crate::ports::telemetry::Metrics;

/// Every path beside `/v1`.
pub(super) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(alive))
        .routes(routes!(ready))
        .routes(routes!(metrics))
        .routes(routes!(description))
        .routes(routes!(index))
}

/// Whether the process runs. Needs no token.
#[utoipa::path(get, path = "/healthz", tag = "probes",
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn alive(_: Look) -> &'static str {
    "ok\n"
}

/// Whether a state is published and every listener accepts. Needs no token.
#[utoipa::path(get, path = "/readyz", tag = "probes",
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn ready(State(api): State<Arc<Api>>, _: Look) -> Result<&'static str, Problem> {
    if *api.ready.borrow() {
        return Ok("ready\n");
    }
    let detail = "the listeners do not accept yet, or no longer";
    Err(Problem::new(Code::NotReady, detail).retry_after(1))
}

/// Counters and gauges as OpenMetrics text.
#[utoipa::path(get, path = "/metrics", tag = "probes",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(api): State<Arc<Api>>, _: Look) -> Result<Response, Problem> {
    let (metrics, series) = (api.metrics.clone(), Series::of(&api));
    let text = tokio::task::spawn_blocking(move || metrics.encode_with(series))
        .await
        .map_err(|_| Problem::new(Code::Internal, "writing the metrics failed"))?;
    Ok(([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], text).into_response())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "probes",
    responses((status = 200, body = Object, content_type = "application/json")))]
async fn description(State(api): State<Arc<Api>>, _: Look) -> Response {
    let json = [(CONTENT_TYPE, "application/json")];
    (json, api.description.clone()).into_response()
}

/// Where to go from here.
#[utoipa::path(get, path = "/", tag = "probes",
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn index(State(api): State<Arc<Api>>, _: Look) -> String {
    let (node, revision) = (&api.settings.node, api.snapshot().revision());
    format!(
        "pointsman {} on {node}, revision {revision}\n\n\
         /v1/status     the live picture\n\
         /v1/upstreams  the groups\n\
         /v1/routes     the routes\n\
         /v1/revisions  the history\n\
         /v1/state      everything that is stored\n\
         /metrics       for Prometheus\n\
         /openapi.json  every call\n",
        env!("CARGO_PKG_VERSION")
    )
}
