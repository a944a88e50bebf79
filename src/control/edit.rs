use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::api::Api;
use super::caller::Caller;
use super::conditions::Conditions;
use super::content::Content;
use super::problem::{Code, Problem};
use super::query::Query;

/// A request for a change: who asks, on which conditions, with which body.
pub(super) struct Edit {
    pub(super) caller: Caller,
    pub(super) conditions: Conditions,
    /// Whether only the consequences are asked for.
    pub(super) dry_run: bool,
    /// Whether rails are passed.
    pub(super) force: bool,
    /// How long to wait until every live node serves the change, if at all.
    pub(super) wait: Option<Duration>,
    /// The operator's words; may be empty.
    pub(super) reason: String,
    pub(super) content: Content,
    /// `PUT /v1/upstreams/web`, for the log.
    pub(super) label: String,
}

impl FromRequest<Arc<Api>> for Edit {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Api>) -> Result<Self, Problem> {
        let query = Query::read(
            request.uri().query(),
            &["dry_run", "force", "wait", "timeout"],
        )?;
        let reason = reason(request.headers())?;
        let caller = request.extensions().get::<Caller>().cloned();
        Ok(Self {
            caller: caller
                .ok_or_else(|| Problem::new(Code::Internal, "the caller is not known"))?,
            conditions: Conditions::read(request.headers())?,
            dry_run: query.flag("dry_run")?,
            force: query.flag("force")?,
            wait: wait(&query)?,
            reason,
            label: format!("{} {}", request.method(), request.uri().path()),
            content: Content::read(request).await?,
        })
    }
}

impl Edit {
    /// Refuses a change by force without a reason. The body may bring the reason, so this is asked last.
    pub(super) fn check_reason(&self) -> Result<(), Problem> {
        if self.force && self.reason.trim().is_empty() {
            let detail = "a change by force needs a reason: send the header `Pointsman-Reason`";
            return Err(Problem::new(Code::ReasonNeeded, detail));
        }
        Ok(())
    }

    /// Takes the reason that the body gives.
    pub(super) fn set_reason(&mut self, reason: String) -> Result<(), Problem> {
        if !self.reason.is_empty() {
            let detail = "give the reason once: in the body or as `Pointsman-Reason`";
            return Err(Problem::field("/reason", detail));
        }
        if reason.len() > LONGEST_REASON || reason.chars().any(char::is_control) {
            return Err(Problem::field("/reason", RULE));
        }
        self.reason = reason;
        Ok(())
    }
}

/// In bytes; a sentence or two.
const LONGEST_REASON: usize = 1024;
const RULE: &str = "a reason is one line of at most 1024 bytes";

/// `?wait=fleet`, and `&timeout=5s` with it.
fn wait(query: &Query) -> Result<Option<Duration>, Problem> {
    let timeout = query.span("timeout", LONGEST_WAIT)?;
    match (query.word("wait", &["fleet"])?, timeout) {
        (Some(_), limit) => Ok(Some(limit.unwrap_or(WAIT))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Problem::new(
            Code::InvalidParameter,
            "the query parameter `timeout` goes with `wait=fleet`",
        )),
    }
}

/// Unless the caller says otherwise.
const WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

fn reason(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all("pointsman-reason").iter();
    let (value, more) = (values.next(), values.next());
    let Some(value) = value else {
        return Ok(String::new());
    };
    let text = std::str::from_utf8(value.as_bytes()).ok();
    text.map(str::trim)
        .filter(|text| more.is_none() && text.len() <= LONGEST_REASON)
        .map(str::to_owned)
        .ok_or_else(|| {
            Problem::new(
                Code::InvalidRequest,
                format!("Pointsman-Reason: {RULE}, in UTF-8"),
            )
        })
}

/// A request to look: its query and what the caller has already.
pub(super) struct Look {
    pub(super) conditions: Conditions,
    pub(super) query: Query,
}

/// A GET that takes no parameters.
impl FromRequestParts<Arc<Api>> for Look {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        Self::read(parts, &[])
    }
}

impl Look {
    pub(super) fn read(parts: &Parts, known: &[&str]) -> Result<Self, Problem> {
        Ok(Self {
            conditions: Conditions::read(&parts.headers)?,
            query: Query::read(parts.uri.query(), known)?,
        })
    }
}

/// The variable segments of the path, percent-decoded.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Api>> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        axum::extract::Path::<T>::from_request_parts(parts, api)
            .await
            .map(|path| Self(path.0))
            .map_err(|rejection| Problem::new(Code::InvalidRequest, rejection))
    }
}
