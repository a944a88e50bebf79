use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::super::api::Api;
use super::super::content::Flat;
use super::super::edit::{Edit, Look, Segments};
use super::super::json::decode;
use super::super::outcome::OutcomeView;
use super::super::parameters::{ChangeParameters, LookParameters};
use super::super::problem::{Code, Problem};
use super::super::read_only;
use super::super::view::{self, ServerView};
use super::{no_upstream, server_address, upstream_name};
use crate::change::Change;
use crate::controller::Object;
use crate::spec::{Address, Name, ServerSpec};

/// The members of a group, in their order. Their tag is the group's.
#[utoipa::path(get, path = "/v1/upstreams/{name}/servers", tag = "servers",
    params(("name" = String, Path), LookParameters),
    responses((status = 200, body = Vec<ServerView>), (status = 304)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Segments(name): Segments<String>,
    look: Look,
) -> Result<Response, Problem> {
    let name = upstream_name(&name)?;
    api.show(&look, move |snapshot| {
        let upstream = snapshot.upstream(&name).ok_or_else(|| no_upstream(&name))?;
        Ok((upstream.spec().changed_at, view::servers(upstream)))
    })
    .await
}

/// Add a member.
#[utoipa::path(post, path = "/v1/upstreams/{name}/servers", tag = "servers",
    params(("name" = String, Path), ChangeParameters),
    request_body(content((ServerSpec = "application/json"), (ServerSpec = "application/x-www-form-urlencoded"))),
    responses((status = 200, body = OutcomeView, description = "For a dry run"),
        (status = 201, body = ServerView)))]
pub(super) async fn add(
    State(api): State<Arc<Api>>,
    Segments(name): Segments<String>,
    edit: Edit,
) -> Result<Response, Problem> {
    let name = upstream_name(&name)?;
    let mut body = edit.content.flat(&FIELDS)?;
    read_only::new_server(&mut body);
    let server: ServerSpec = decode(body, &["upstreams", name.as_str(), "servers", "0"], "")?;
    let address = server.address.clone();
    let change = Change::AddServer {
        upstream: name.clone(),
        server,
    };
    let done = submit(&api, &edit, &name, change).await?;
    let made = Some(path(&name, &address));
    Ok(done.object(made, |snapshot| ServerView::find(snapshot, &name, &address)))
}

/// One member.
#[utoipa::path(get, path = "/v1/upstreams/{name}/servers/{address}", tag = "servers",
    params(("name" = String, Path), ("address" = String, Path), LookParameters),
    responses((status = 200, body = ServerView), (status = 304)))]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Segments((name, address)): Segments<(String, String)>,
    look: Look,
) -> Result<Response, Problem> {
    let (name, address) = (upstream_name(&name)?, server_address(&address)?);
    api.show(&look, move |snapshot| {
        let upstream = snapshot.upstream(&name).ok_or_else(|| no_upstream(&name))?;
        let found = ServerView::find(snapshot, upstream.name(), &address);
        let found = found.ok_or_else(|| {
            let detail = format!("upstream `{name}` has no server `{address}`");
            Problem::new(Code::ServerNotFound, detail)
        })?;
        Ok((found.tag, found.value))
    })
    .await
}

/// Edit a member by a JSON merge patch (RFC 7396).
#[utoipa::path(patch, path = "/v1/upstreams/{name}/servers/{address}", tag = "servers",
    params(("name" = String, Path), ("address" = String, Path), ChangeParameters),
    request_body(content((ServerSpec = "application/merge-patch+json"), (ServerSpec = "application/json"),
        (ServerSpec = "application/x-www-form-urlencoded"))),
    responses((status = 200, content((ServerView), (OutcomeView)))))]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Segments((name, address)): Segments<(String, String)>,
    edit: Edit,
) -> Result<Response, Problem> {
    let (name, address) = (upstream_name(&name)?, server_address(&address)?);
    let mut body = edit.content.flat(&FIELDS)?;
    read_only::server(&mut body, &address, "")?;
    let change = Change::PatchServer {
        upstream: name.clone(),
        address: address.clone(),
        server: body,
    };
    let done = submit(&api, &edit, &name, change).await?;
    Ok(done.object(None, |snapshot| ServerView::find(snapshot, &name, &address)))
}

/// Remove a member.
#[utoipa::path(delete, path = "/v1/upstreams/{name}/servers/{address}", tag = "servers",
    params(("name" = String, Path), ("address" = String, Path), ChangeParameters),
    responses((status = 200, body = OutcomeView, description = "For a dry run"), (status = 204)))]
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Segments((name, address)): Segments<(String, String)>,
    edit: Edit,
) -> Result<Response, Problem> {
    let (name, address) = (upstream_name(&name)?, server_address(&address)?);
    edit.content.none(&[])?;
    let change = Change::RemoveServer {
        upstream: name.clone(),
        address,
    };
    Ok(submit(&api, &edit, &name, change).await?.deleted())
}

/// Submits an edit of a member: its conditions are about its group.
pub(super) async fn submit(
    api: &Api,
    edit: &Edit,
    upstream: &Name,
    change: Change,
) -> Result<super::super::outcome::Done, Problem> {
    let place = ["upstreams", upstream.as_str(), "servers", "0"];
    let object = Object::Upstream(upstream.clone());
    api.submit(edit, change, &object, &place).await
}

const FIELDS: Flat = Flat {
    numbers: &["weight", "max_connections", "max_fails"],
    flags: &["backup"],
};

fn path(upstream: &Name, address: &Address) -> String {
    let address = address.to_string().replace('%', "%25").replace('/', "%2F");
    format!("/v1/upstreams/{upstream}/servers/{address}")
}
