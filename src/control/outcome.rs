use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::refusal::rail_upstream;
use super::view::Tagged;
use crate::controller::Outcome;
use crate::domain::snapshot::Snapshot;
use crate::fleet::Waited;
use crate::spec::DiffEntry;

/// The state's number, on every answer.
pub(super) const REVISION: HeaderName = HeaderName::from_static("pointsman-revision");
/// One for each warning, where the body is the changed object.
const WARNING: HeaderName = HeaderName::from_static("pointsman-warning");

/// A change that happened, or would happen; on its way to become an answer.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) dry_run: bool,
    /// What came of `?wait=fleet`.
    pub(super) waited: Option<Waited>,
}

/// What a change did, or would do.
#[derive(Serialize, ToSchema)]
#[schema(as = Outcome)]
pub(super) struct OutcomeView {
    /// The state's number now; null for a dry run.
    revision: Option<u64>,
    diff: Vec<DiffEntry>,
    /// What the operator should know.
    warnings: Vec<String>,
    /// The rails that a dry run hits, or that force passed.
    rails: Vec<RailView>,
    /// With `?wait=fleet`: the live nodes that are not known to serve the revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<String>>,
}

/// A rail that a change runs into.
#[derive(Serialize, ToSchema)]
#[schema(as = Rail)]
struct RailView {
    #[schema(value_type = String, example = "rail_last_server")]
    code: &'static str,
    upstream: String,
    message: String,
}

impl Done {
    /// Answers with the changed object and its tag; for a dry run, when the object is gone, and when
    /// nodes are missing (202), with the outcome. `created_at` is the object's path in the API if this call creates it.
    pub(super) fn object<T: Serialize>(
        self,
        created_at: Option<String>,
        find: impl FnOnce(&Snapshot) -> Option<Tagged<T>>,
    ) -> Response {
        let found = if self.dry_run || self.is_awaited() {
            None
        } else {
            find(&self.outcome.snapshot)
        };
        let Some(Tagged { tag, value }) = found else {
            return self.outcome();
        };
        let status = match &created_at {
            Some(_) => StatusCode::CREATED,
            None => StatusCode::OK,
        };
        let mut response = self.with_headers(json(status, &value));
        response.headers_mut().insert(ETAG, etag(tag));
        if let Some(location) = created_at.and_then(|path| HeaderValue::try_from(path).ok()) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }

    /// Whether nodes that the caller waited for may not serve the change yet.
    fn is_awaited(&self) -> bool {
        self.waited
            .as_ref()
            .is_some_and(|waited| !waited.is_everywhere())
    }

    /// Answers that the object is gone.
    pub(super) fn deleted(self) -> Response {
        if self.dry_run || self.is_awaited() {
            return self.outcome();
        }
        let response = StatusCode::NO_CONTENT.into_response();
        self.with_headers(response)
    }

    /// Answers with what changed.
    pub(super) fn outcome(self) -> Response {
        let outcome = &self.outcome;
        let view = OutcomeView {
            revision: (!self.dry_run).then_some(outcome.revision),
            diff: outcome.diff.clone(),
            warnings: self.warnings(),
            rails: outcome.rails.iter().map(RailView::new).collect(),
            missing: self.waited.as_ref().map(|waited| waited.missing.clone()),
        };
        let status = match self.is_awaited() {
            true => StatusCode::ACCEPTED,
            false => StatusCode::OK,
        };
        let mut response = json(status, &view);
        response
            .headers_mut()
            .insert(REVISION, outcome.revision.into());
        response
    }

    /// Whether the change made the object at this path of the state.
    pub(super) fn is_new(&self, path: &str) -> bool {
        let made =
            |entry: &DiffEntry| entry.before.is_null() && entry.path.eq_ignore_ascii_case(path);
        self.outcome.diff.iter().any(made)
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.outcome.warnings.clone();
        match &self.waited {
            Some(waited) if !waited.is_certain => warnings.push(
                "the change is stored and this node serves it; the store did not tell in time who else does"
                    .into(),
            ),
            Some(waited) if !waited.missing.is_empty() => warnings.push(format!(
                "the change is stored and this node serves it; not known to serve it in time: {}",
                waited.missing.join(", ")
            )),
            _ => {}
        }
        warnings
    }

    fn with_headers(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.insert(REVISION, self.outcome.revision.into());
        for warning in &self.outcome.warnings {
            if let Ok(warning) = HeaderValue::from_str(warning) {
                headers.append(WARNING, warning);
            }
        }
        response
    }
}

impl RailView {
    fn new(rail: &crate::domain::rails::Rail) -> Self {
        Self {
            code: rail.code(),
            upstream: rail_upstream(rail).to_string(),
            message: rail.to_string(),
        }
    }
}

/// A strong tag for a revision's number.
pub(super) fn etag(number: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{number}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// A value as JSON. What we show always can be written.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => (status, [(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => {
            log::error!("an answer cannot be written as JSON: {error}");
            super::problem::Problem::new(
                super::problem::Code::Internal,
                "the answer cannot be written",
            )
            .into_response()
        }
    }
}
