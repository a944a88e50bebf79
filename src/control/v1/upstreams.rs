use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::super::api::Api;
use super::super::edit::{Edit, Look, Segments};
use super::super::json::decode;
use super::super::outcome::OutcomeView;
use super::super::parameters::{ChangeParameters, CreateParameters, LookParameters};
use super::super::problem::Problem;
use super::super::read_only;
use super::super::view::UpstreamView;
use super::{new_name, no_upstream, upstream_name};
use crate::change::Change;
use crate::controller::Object;
use crate::spec::UpstreamSpec;

/// Every group, in the order of their names, without `last_checks`: those are in `/v1/status` and with one group.
#[utoipa::path(get, path = "/v1/upstreams", tag = "upstreams", params(LookParameters),
    responses((status = 200, body = Vec<UpstreamView>), (status = 304)))]
pub(super) async fn list(State(api): State<Arc<Api>>, look: Look) -> Result<Response, Problem> {
    api.show(&look, |snapshot| {
        let all = snapshot
            .upstreams()
            .map(|upstream| UpstreamView::new(upstream).in_brief());
        Ok((snapshot.revision(), all.collect::<Vec<_>>()))
    })
    .await
}

/// One group with its servers.
#[utoipa::path(get, path = "/v1/upstreams/{name}", tag = "upstreams",
    params(("name" = String, Path), LookParameters),
    responses((status = 200, body = UpstreamView), (status = 304)))]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Segments(name): Segments<String>,
    look: Look,
) -> Result<Response, Problem> {
    let name = upstream_name(&name)?;
    api.show(&look, move |snapshot| {
        let found = UpstreamView::find(snapshot, &name).ok_or_else(|| no_upstream(&name))?;
        Ok((found.tag, found.value))
    })
    .await
}

/// Create or replace a group.
#[utoipa::path(put, path = "/v1/upstreams/{name}", tag = "upstreams",
    params(("name" = String, Path), ChangeParameters, CreateParameters),
    request_body = UpstreamSpec,
    responses((status = 200, description = "Replaced; for a dry run the outcome", content(
        (UpstreamView), (OutcomeView))),
        (status = 201, body = UpstreamView, description = "Created")))]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    Segments(name): Segments<String>,
    edit: Edit,
) -> Result<Response, Problem> {
    let name = new_name(&name)?;
    let place = ["upstreams", name.as_str()];
    let mut body = edit.content.json()?;
    read_only::upstream(&mut body, &name, "")?;
    let change = Change::PutUpstream {
        name: name.clone(),
        upstream: decode(body, &place, "")?,
    };
    let object = Object::Upstream(name.clone());
    let done = api.submit(&edit, change, &object, &place).await?;
    let made = done
        .is_new(&format!("/upstreams/{name}"))
        .then(|| format!("/v1/upstreams/{name}"));
    Ok(done.object(made, |snapshot| UpstreamView::find(snapshot, &name)))
}

/// Edit a group by a JSON merge patch (RFC 7396).
#[utoipa::path(patch, path = "/v1/upstreams/{name}", tag = "upstreams",
    params(("name" = String, Path), ChangeParameters),
    request_body(content((UpstreamSpec = "application/merge-patch+json"), (UpstreamSpec = "application/json"))),
    responses((status = 200, content((UpstreamView), (OutcomeView)))))]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Segments(name): Segments<String>,
    edit: Edit,
) -> Result<Response, Problem> {
    let name = upstream_name(&name)?;
    let mut body = edit.content.json()?;
    read_only::upstream(&mut body, &name, "")?;
    let change = Change::PatchUpstream {
        name: name.clone(),
        upstream: body,
    };
    let (object, place) = (Object::Upstream(name.clone()), ["upstreams", name.as_str()]);
    let done = api.submit(&edit, change, &object, &place).await?;
    Ok(done.object(None, |snapshot| UpstreamView::find(snapshot, &name)))
}

/// Delete a group; refused while a route leads to it.
#[utoipa::path(delete, path = "/v1/upstreams/{name}", tag = "upstreams",
    params(("name" = String, Path), ChangeParameters),
    responses((status = 200, body = OutcomeView, description = "For a dry run"), (status = 204)))]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Segments(name): Segments<String>,
    edit: Edit,
) -> Result<Response, Problem> {
    let name = upstream_name(&name)?;
    edit.content.none(&[])?;
    let change = Change::DeleteUpstream { name: name.clone() };
    let done = api
        .submit(&edit, change, &Object::Upstream(name), &[])
        .await?;
    Ok(done.deleted())
}
