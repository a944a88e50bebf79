use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::api::{Api, Plan};
use super::super::conditions::Object;
use super::super::content::refuse_keys;
use super::super::edit::Edit;
use super::super::json::decode;
use super::super::outcome::OutcomeView;
use super::super::parameters::ChangeParameters;
use super::super::problem::Problem;
use super::super::{read_only, refusal};
use crate::change::Change;
use crate::controller::Refusal;
use crate::spec::{Address, Name, RouteSpec, ServerSpec, Spec, UpstreamSpec};

/// Several edits.
#[derive(ToSchema)]
#[schema(as = Changes)]
#[allow(
    dead_code,
    reason = "the fields are the document; the body is read edit by edit"
)]
pub(super) struct ChangesBody {
    /// At most 1000, in order.
    changes: Vec<Change>,
    /// Why; instead of the header `Pointsman-Reason`.
    reason: Option<String>,
}

/// Several edits, all or nothing, as one revision.
///
/// Conditions are about the state.
#[utoipa::path(post, path = "/v1/changes", tag = "state", params(ChangeParameters),
    request_body = ChangesBody, responses((status = 200, body = OutcomeView)))]
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    mut edit: Edit,
) -> Result<Response, Problem> {
    let Value::Object(mut fields) = edit.content.json()? else {
        return Err(Problem::field("", "expected an object with `changes`"));
    };
    refuse_keys(&fields, &["changes", "reason"], &[])?;
    if let Some(reason) = fields.remove("reason") {
        edit.set_reason(decode(reason, &[], "/reason")?)?;
    }
    let changes = match fields.remove("changes") {
        Some(Value::Array(changes)) if changes.len() <= MOST_CHANGES => changes,
        Some(Value::Array(_)) => return Err(Problem::field("/changes", TOO_MANY)),
        Some(_) => return Err(Problem::field("/changes", "expected a list")),
        None => return Err(Problem::field("/changes", "`changes` is missing")),
    };
    let changes = changes.into_iter().enumerate();
    let changes = changes.map(|(index, value)| read(value, &format!("/changes/{index}")));
    let changes = changes.collect::<Result<Vec<Change>, Problem>>()?;
    let plan = Plan {
        edit: &edit,
        object: &Object::State,
        reverts: None,
        is_lenient: false,
    };
    match api.change(&plan, |_| changes.clone()).await? {
        Ok(done) => Ok(done.outcome()),
        Err(Refusal::Change { index, error }) => {
            let (key, place) = changes.get(index).map(object).unwrap_or_default();
            let place: Vec<&str> = place.iter().map(String::as_str).collect();
            let is_field = matches!(error, crate::change::ChangeError::Field { .. });
            let base = match is_field && !key.is_empty() {
                true => format!("/changes/{index}/{key}"),
                false => format!("/changes/{index}"),
            };
            Err(refusal::change(error, &place, &base))
        }
        Err(refusal) => Err(api.explained(refusal, &Object::State, &[]).await),
    }
}

/// Each edit of a group copies its list of servers, so that thousands of them in one transaction
/// would hold up every other change.
const MOST_CHANGES: usize = 1000;
const TOO_MANY: &str = "at most 1000 changes at a time; PUT /v1/state replaces everything";

/// Reads one edit. Its object is read by itself first: an error then tells its place.
fn read(mut value: Value, base: &str) -> Result<Change, Problem> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let op = text("op").to_owned();
    let (name, id) = (Name::new(text("name")), Name::new(text("id")));
    let (upstream, address) = (text("upstream").to_owned(), Address::new(text("address")));
    let at = |key: &str| format!("{base}/{key}");
    if op == "switch" && value.get("to").is_none() {
        return Err(Problem::field(at("to"), "`to` is missing"));
    }
    match (op.as_str(), name, id, address) {
        ("put_upstream" | "patch_upstream", Ok(name), ..) => {
            if let Some(inner) = value.get_mut("upstream") {
                read_only::upstream(inner, &name, &at("upstream"))?;
                if op == "put_upstream" {
                    let place = ["upstreams", name.as_str()];
                    decode::<UpstreamSpec>(inner.clone(), &place, &at("upstream"))?;
                }
            }
        }
        ("add_server", ..) => {
            if let Some(inner) = value.get_mut("server") {
                read_only::new_server(inner);
                let place = ["upstreams", &upstream, "servers", "0"];
                decode::<ServerSpec>(inner.clone(), &place, &at("server"))?;
            }
        }
        ("patch_server", .., Ok(address)) => {
            if let Some(inner) = value.get_mut("server") {
                read_only::server(inner, &address, &at("server"))?;
            }
        }
        ("put_route" | "patch_route", _, Ok(id), _) => {
            if let Some(inner) = value.get_mut("route") {
                read_only::route(inner, &id, &at("route"))?;
                if op == "put_route" {
                    let place = ["routes", id.as_str()];
                    decode::<RouteSpec>(inner.clone(), &place, &at("route"))?;
                }
            }
        }
        ("put_state", ..) => {
            if let Some(inner) = value.get_mut("state") {
                read_only::state(inner, &at("state"))?;
                decode::<Spec>(inner.clone(), &[], &at("state"))?;
            }
        }
        _ => {}
    }
    decode(value, &["changes", "0"], base)
}

/// The key under which an edit has its object, and where that stands in the state.
fn object(change: &Change) -> (&'static str, Vec<String>) {
    let place = |segments: &[&str]| segments.iter().map(|&text| text.to_owned()).collect();
    match change {
        Change::PatchUpstream { name, .. } => ("upstream", place(&["upstreams", name.as_str()])),
        Change::PatchServer { upstream, .. } => {
            let segments = ["upstreams", upstream.as_str(), "servers", "0"];
            ("server", place(&segments))
        }
        Change::PatchRoute { id, .. } => ("route", place(&["routes", id.as_str()])),
        _ => ("", Vec::new()),
    }
}
