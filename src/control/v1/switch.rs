use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::api::Api;
use super::super::content::{Content, Flat, refuse_keys};
use super::super::edit::{Edit, Segments};
use super::super::json::decode;
use super::super::outcome::OutcomeView;
use super::super::parameters::ChangeParameters;
use super::super::problem::{Code, Problem};
use super::{route_id, routes};
use crate::change::Change;
use crate::controller::Object;
use crate::spec::{HostPattern, RouteSpec, Target, shortened};

/// Where a route or a host shall go.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = Switch)]
pub(super) struct SwitchBody {
    /// The upstream or address; null deletes a route that a switch made.
    to: Option<Target>,
}

/// Point a route at another upstream or address.
#[utoipa::path(post, path = "/v1/routes/{id}/switch", tag = "switch",
    params(("id" = String, Path), ChangeParameters),
    request_body(content((SwitchBody = "application/json"), (SwitchBody = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "The route; the outcome for a dry run and when the route is gone",
        content((RouteSpec), (OutcomeView)))))]
pub(super) async fn route(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<String>,
    edit: Edit,
) -> Result<Response, Problem> {
    let id = route_id(&id)?;
    let change = Change::Switch {
        route: Some(id.clone()),
        host: None,
        to: target(&edit.content)?,
    };
    let (object, place) = (Object::Route(id.clone()), ["routes", id.as_str()]);
    let done = api.submit(&edit, change, &object, &place).await?;
    Ok(done.object(None, |snapshot| routes::find(snapshot, &id)))
}

/// Point a host at another upstream or address.
///
/// A host without a route of its own gets one, `host:<host>`: a copy of the route that answers `GET /`
/// for it. Conditions are about the route that answers for the host.
#[utoipa::path(post, path = "/v1/hosts/{host}/switch", tag = "switch",
    params(("host" = String, Path), ChangeParameters),
    request_body(content((SwitchBody = "application/json"), (SwitchBody = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "The host's route; the outcome for a dry run and when the route is gone",
        content((RouteSpec), (OutcomeView)))))]
pub(super) async fn host(
    State(api): State<Arc<Api>>,
    Segments(host): Segments<String>,
    edit: Edit,
) -> Result<Response, Problem> {
    let Ok(HostPattern::Exact(host)) = HostPattern::new(&host) else {
        let host = shortened(&host);
        let detail = format!("`{host}` is no host: write `www.example.org`");
        return Err(Problem::new(Code::InvalidRequest, detail));
    };
    let to = target(&edit.content)?;
    let is_back = to.is_none();
    let change = Change::Switch {
        route: None,
        host: Some(host.clone()),
        to,
    };
    let object = Object::RouteOfHost(host.clone());
    let done = api.submit(&edit, change, &object, &["routes", "0"]).await?;
    if is_back {
        return Ok(done.outcome());
    }
    Ok(done.object(None, |snapshot| {
        let route = snapshot.spec().route_of_host(&host)?;
        routes::find(snapshot, route.id.as_ref()?)
    }))
}

/// The target of the body. A forgotten `to` is not the same as `null`, which deletes.
fn target(content: &Content) -> Result<Option<Target>, Problem> {
    let nothing = Flat {
        numbers: &[],
        flags: &[],
    };
    let body = content.flat(&nothing)?;
    let Value::Object(fields) = &body else {
        return Err(Problem::field("", "expected an object with `to`"));
    };
    refuse_keys(fields, &["to"], &["steps", "hold", "abort_if"])?;
    if !fields.contains_key("to") {
        return Err(Problem::field("/to", "`to` is missing"));
    }
    let body: SwitchBody = decode(body, &["routes", "0"], "")?;
    Ok(body.to)
}
