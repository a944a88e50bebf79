use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::ETAG;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::api::{Api, Plan};
use super::super::edit::{Edit, Look, Segments};
use super::super::outcome::{OutcomeView, etag};
use super::super::parameters::{ChangeParameters, LookParameters};
use super::super::problem::{Code, Problem};
use super::super::revision::RevisionView;
use crate::change::{self, diff as edits};
use crate::controller::Object;
use crate::spec::{DiffEntry, Spec};

/// What differs between two revisions.
#[derive(Serialize, ToSchema)]
#[schema(as = Difference)]
pub(super) struct DifferenceView {
    from: u64,
    to: u64,
    diff: Vec<DiffEntry>,
}

/// The last revisions, the newest first.
#[utoipa::path(get, path = "/v1/revisions", tag = "revisions",
    params(("limit" = Option<u64>, Query, description = "At most so many, 1 to 1000; default 50"),
        ("before" = Option<u64>, Query, description = "Only those with smaller numbers"), LookParameters),
    responses((status = 200, body = Vec<RevisionView>), (status = 304)))]
pub(super) async fn list(State(api): State<Arc<Api>>, parts: Parts) -> Result<Response, Problem> {
    let look = Look::read(&parts, &["limit", "before"])?;
    let limit = look.query.number("limit")?.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MOST).contains(&limit) {
        let detail = "the query parameter `limit` is a number from 1 to 1000";
        return Err(Problem::new(Code::InvalidParameter, detail));
    }
    let before: Option<u64> = look.query.number("before")?;
    let found = api.read(move |store| store.history(before, limit)).await?;
    let views: Vec<RevisionView> = found.into_iter().map(RevisionView::new).collect();
    Ok(Json(views).into_response())
}

const DEFAULT_LIMIT: usize = 50;
const MOST: usize = 1000;

/// One revision.
#[utoipa::path(get, path = "/v1/revisions/{n}", tag = "revisions",
    params(("n" = u64, Path)),
    responses((status = 200, body = RevisionView)))]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Segments(number): Segments<u64>,
    _: Look,
) -> Result<Response, Problem> {
    let found = api.read(move |store| store.revision(number)).await?;
    let revision = found.ok_or_else(|| not_kept(number))?;
    let tag: HeaderMap = [(ETAG, etag(number))].into_iter().collect();
    Ok((tag, Json(RevisionView::new(revision))).into_response())
}

/// What differs between the states of two revisions.
#[utoipa::path(get, path = "/v1/revisions/{a}/diff/{b}", tag = "revisions",
    params(("a" = u64, Path), ("b" = u64, Path)),
    responses((status = 200, body = DifferenceView)))]
pub(super) async fn diff(
    State(api): State<Arc<Api>>,
    Segments((from, to)): Segments<(u64, u64)>,
    _: Look,
) -> Result<Response, Problem> {
    let found = api.read(move |store| {
        let state = |number| Ok(store.state_at(number)?.ok_or(number));
        Ok(match (state(from)?, state(to)?) {
            (Ok(before), Ok(after)) => Ok(change::entries(&before.spec, &after.spec)),
            (Err(missing), _) | (_, Err(missing)) => Err(missing),
        })
    });
    let diff = found.await?.map_err(not_kept)?;
    Ok(Json(DifferenceView { from, to, diff }).into_response())
}

/// Make the state what it was, as a new revision. Rails apply.
#[utoipa::path(post, path = "/v1/revisions/{n}/restore", tag = "revisions",
    params(("n" = u64, Path), ChangeParameters),
    responses((status = 200, body = OutcomeView)))]
pub(super) async fn restore(
    State(api): State<Arc<Api>>,
    Segments(number): Segments<u64>,
    edit: Edit,
) -> Result<Response, Problem> {
    edit.content.none(&[])?;
    let found = api.read(move |store| store.state_at(number)).await?;
    let wanted: Arc<Spec> = found.ok_or_else(|| not_kept(number))?.spec;
    let plan = Plan {
        edit: &edit,
        object: &Object::State,
        reverts: Some(number),
        is_lenient: true,
    };
    // Only what differs: a revision then costs what it changes.
    match api
        .change(&plan, |now| {
            edits(now.spec(), &wanted.with_members_of(now.spec()))
        })
        .await?
    {
        Ok(done) => Ok(done.outcome()),
        Err(refusal) => Err(api.explained(refusal, &Object::State, &[]).await),
    }
}

fn not_kept(number: u64) -> Problem {
    let detail = format!("the history has no revision {number}, or no longer");
    Problem::new(Code::RevisionNotFound, detail)
}
