use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::super::api::Api;
use super::super::edit::{Edit, Segments};
use super::super::outcome::OutcomeView;
use super::super::parameters::ChangeParameters;
use super::super::problem::Problem;
use super::super::view::ServerView;
use super::servers::submit;
use super::{server_address, upstream_name};
use crate::change::Change;
use crate::spec::Admin;

/// Let a member take requests.
#[utoipa::path(post, path = "/v1/upstreams/{name}/servers/{address}/up", tag = "servers",
    params(("name" = String, Path), ("address" = String, Path), ChangeParameters),
    responses((status = 200, content((ServerView), (OutcomeView)))))]
pub(super) async fn up(
    State(api): State<Arc<Api>>,
    Segments(server): Segments<(String, String)>,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.content.none(&[])?;
    set(&api, &edit, server, Admin::Up).await
}

/// Let a member finish what it has; it takes nothing new.
#[utoipa::path(post, path = "/v1/upstreams/{name}/servers/{address}/drain", tag = "servers",
    params(("name" = String, Path), ("address" = String, Path), ChangeParameters),
    responses((status = 200, content((ServerView), (OutcomeView)))))]
pub(super) async fn drain(
    State(api): State<Arc<Api>>,
    Segments(server): Segments<(String, String)>,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.content.none(&["deadline", "then"])?;
    set(&api, &edit, server, Admin::Drain).await
}

/// Take a member out at once.
#[utoipa::path(post, path = "/v1/upstreams/{name}/servers/{address}/down", tag = "servers",
    params(("name" = String, Path), ("address" = String, Path), ChangeParameters),
    responses((status = 200, content((ServerView), (OutcomeView)))))]
pub(super) async fn down(
    State(api): State<Arc<Api>>,
    Segments(server): Segments<(String, String)>,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.content.none(&[])?;
    set(&api, &edit, server, Admin::Down).await
}

async fn set(
    api: &Api,
    edit: &Edit,
    (name, address): (String, String),
    admin: Admin,
) -> Result<Response, Problem> {
    let (name, address) = (upstream_name(&name)?, server_address(&address)?);
    let change = Change::PatchServer {
        upstream: name.clone(),
        address: address.clone(),
        server: json!({ "admin": admin }),
    };
    let done = submit(api, edit, &name, change).await?;
    Ok(done.object(None, |snapshot| ServerView::find(snapshot, &name, &address)))
}
