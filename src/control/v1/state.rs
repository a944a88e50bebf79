use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::super::api::Api;
use super::super::edit::{Edit, Look};
use super::super::json::decode;
use super::super::outcome::OutcomeView;
use super::super::parameters::{ChangeParameters, LookParameters};
use super::super::problem::Problem;
use super::super::read_only;
use super::super::view::Tagged;
use crate::change::Change;
use crate::controller::Object;
use crate::domain::snapshot::Snapshot;
use crate::spec::Spec;

/// The whole state.
///
/// What is stored, without what was observed. Its tag is the state's number.
#[utoipa::path(get, path = "/v1/state", tag = "state", params(LookParameters),
    responses((status = 200, body = Spec), (status = 304)))]
pub(super) async fn get(State(api): State<Arc<Api>>, look: Look) -> Result<Response, Problem> {
    api.show(&look, |snapshot| {
        Ok((snapshot.revision(), snapshot.spec().clone()))
    })
    .await
}

/// Replace the whole state, all or nothing.
#[utoipa::path(put, path = "/v1/state", tag = "state", params(ChangeParameters),
    request_body = Spec,
    responses((status = 200, description = "The new state; for a dry run the outcome", content(
        (Spec), (OutcomeView)))))]
pub(super) async fn put(State(api): State<Arc<Api>>, edit: Edit) -> Result<Response, Problem> {
    let body = edit.content.json()?;
    read_only::state(&body, "")?;
    let change = Change::PutState {
        state: decode(body, &[], "")?,
    };
    let done = api.submit(&edit, change, &Object::State, &[]).await?;
    Ok(done.object(None, tagged))
}

fn tagged(snapshot: &Snapshot) -> Option<Tagged<Arc<Spec>>> {
    Some(Tagged {
        tag: snapshot.revision(),
        value: snapshot.spec().clone(),
    })
}
