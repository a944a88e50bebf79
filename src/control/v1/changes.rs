use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::api::{Api, Plan};
use super::super::content::refuse_keys;
use super::super::edit::Edit;
use super::super::json::decode;
use super::super::outcome::OutcomeView;
use super::super::parameters::ChangeParameters;
use super::super::problem::Problem;
use super::super::{read_only, refusal};
use crate::change::Change;
use crate::controller::{Object, Refusal};
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
    if op == "switch" && value.get("to").is_none() {
        return Err(Problem::field(format!("{base}/to"), "`to` is missing"));
    }
    let key = match op.as_str() {
        "put_upstream" | "patch_upstream" => "upstream",
        "add_server" | "patch_server" => "server",
        "put_route" | "patch_route" => "route",
        "put_state" => "state",
        _ => "",
    };
    let base_of_object = format!("{base}/{key}");
    let at = base_of_object.as_str();
    if let Some(object) = value.get_mut(key) {
        match (op.as_str(), &name, &id, &address) {
            ("put_upstream" | "patch_upstream", Ok(name), ..) => {
                read_only::upstream(object, name, at)?;
            }
            ("put_route" | "patch_route", _, Ok(id), _) => read_only::route(object, id, at)?,
            ("patch_server", .., Ok(address)) => read_only::server(object, address, at)?,
            ("add_server", ..) => read_only::new_server(object),
            ("put_state", ..) => read_only::state(object, at)?,
            _ => {}
        }
        check(&op, object.clone(), &upstream, at)?;
    }
    decode(value, &["changes", "0"], base)
}

/// Reads an object that has to be whole; a patch is read when it is applied.
fn check(op: &str, object: Value, upstream: &str, base: &str) -> Result<(), Problem> {
    match op {
        "put_upstream" => {
            decode::<UpstreamSpec>(object, &["upstreams", "*"], base)?;
        }
        "add_server" => {
            decode::<ServerSpec>(object, &["upstreams", upstream, "servers", "0"], base)?;
        }
        "put_route" => {
            decode::<RouteSpec>(object, &["routes", "0"], base)?;
        }
        "put_state" => {
            decode::<Spec>(object, &[], base)?;
        }
        _ => {}
    }
    Ok(())
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
