use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::super::api::Api;
use super::super::edit::{Edit, Look, Segments};
use super::super::json::decode;
use super::super::outcome::OutcomeView;
use super::super::parameters::{ChangeParameters, CreateParameters, LookParameters};
use super::super::problem::{Code, Problem};
use super::super::read_only;
use super::super::view::Tagged;
use super::{new_name, route_id};
use crate::change::Change;
use crate::controller::Object;
use crate::domain::snapshot::Snapshot;
use crate::spec::{Name, RouteSpec};

/// Every route, in the order in which equals are tried.
#[utoipa::path(get, path = "/v1/routes", tag = "routes", params(LookParameters),
    responses((status = 200, body = Vec<RouteSpec>), (status = 304)))]
pub(super) async fn list(State(api): State<Arc<Api>>, look: Look) -> Result<Response, Problem> {
    api.show(&look, |snapshot| {
        Ok((snapshot.revision(), snapshot.spec().routes.clone()))
    })
    .await
}

/// One route.
#[utoipa::path(get, path = "/v1/routes/{id}", tag = "routes",
    params(("id" = String, Path), LookParameters),
    responses((status = 200, body = RouteSpec), (status = 304)))]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    look: Look,
) -> Result<Response, Problem> {
    let id = route_id(&id)?;
    api.show(&look, move |snapshot| {
        let found = find(snapshot, &id).ok_or_else(|| {
            Problem::new(Code::RouteNotFound, format!("there is no route `{id}`"))
        })?;
        Ok((found.tag, found.value))
    })
    .await
}

/// Create or replace a route.
#[utoipa::path(put, path = "/v1/routes/{id}", tag = "routes",
    params(("id" = String, Path), ChangeParameters, CreateParameters),
    request_body = RouteSpec,
    responses((status = 200, description = "Replaced; for a dry run the outcome", content(
        (RouteSpec), (OutcomeView))),
        (status = 201, body = RouteSpec, description = "Created")))]
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    edit: Edit,
) -> Result<Response, Problem> {
    let id = new_name(&id)?;
    let place = ["routes", id.as_str()];
    let mut body = edit.content.json()?;
    read_only::route(&mut body, &id, "")?;
    let change = Change::PutRoute {
        id: id.clone(),
        route: decode(body, &place, "")?,
    };
    let object = Object::Route(id.clone());
    let done = api.submit(&edit, change, &object, &place).await?;
    let made = done
        .is_new(&format!("/routes/{id}"))
        .then(|| format!("/v1/routes/{id}"));
    Ok(done.object(made, |snapshot| find(snapshot, &id)))
}

/// Edit a route by a JSON merge patch (RFC 7396).
#[utoipa::path(patch, path = "/v1/routes/{id}", tag = "routes",
    params(("id" = String, Path), ChangeParameters),
    request_body(content((RouteSpec = "application/merge-patch+json"), (RouteSpec = "application/json"))),
    responses((status = 200, content((RouteSpec), (OutcomeView)))))]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    edit: Edit,
) -> Result<Response, Problem> {
    let id = route_id(&id)?;
    let mut body = edit.content.json()?;
    read_only::route(&mut body, &id, "")?;
    let change = Change::PatchRoute {
        id: id.clone(),
        route: body,
    };
    let (object, place) = (Object::Route(id.clone()), ["routes", id.as_str()]);
    let done = api.submit(&edit, change, &object, &place).await?;
    Ok(done.object(None, |snapshot| find(snapshot, &id)))
}

/// Delete a route.
#[utoipa::path(delete, path = "/v1/routes/{id}", tag = "routes",
    params(("id" = String, Path), ChangeParameters),
    responses((status = 200, body = OutcomeView, description = "For a dry run"), (status = 204)))]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    edit: Edit,
) -> Result<Response, Problem> {
    let id = route_id(&id)?;
    edit.content.none(&[])?;
    let change = Change::DeleteRoute { id: id.clone() };
    let done = api.submit(&edit, change, &Object::Route(id), &[]).await?;
    Ok(done.deleted())
}

/// The route with its tag.
pub(super) fn find(snapshot: &Snapshot, id: &Name) -> Option<Tagged<Arc<RouteSpec>>> {
    let route = snapshot.spec().route(id)?.clone();
    Some(Tagged {
        tag: route.changed_at,
        value: route,
    })
}
