use axum::http::StatusCode;

use super::super::api::Api;
use super::super::caller::Caller;
use super::super::problem::Problem;
use super::super::refusal;
use super::super::settings::Role;
use super::arguments::Arguments;
use crate::change::Change;
use crate::clock;
use crate::controller::{Object, Outcome, Precondition, Refusal, Submission, Wanted};
use crate::domain::snapshot::Snapshot;
use crate::ports::legacy::{Interface, LegacyAnswer, LegacyRequest};
use crate::spec::{Meta, Name};

/// One call: what was sent, by whom, and where it came in.
pub(super) struct Call {
    pub(super) request: LegacyRequest,
    pub(super) query: Arguments,
    pub(super) entrance: Entrance,
    interface: Interface,
    caller: Caller,
}

/// Where a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entrance {
    /// The control endpoint.
    Control,
    /// A data listener.
    Listener,
}

/// Why a change did not happen.
pub(super) struct Refused {
    /// What `/v1` would answer with.
    pub(super) status: StatusCode,
    /// One line.
    pub(super) detail: String,
    /// Whether a rail stands in the way.
    pub(super) is_on_rails: bool,
}

impl Refused {
    /// A call that cannot be read.
    pub(super) fn bad(detail: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            detail: one_line(detail),
            is_on_rails: false,
        }
    }

    /// The status for scripts that answer 200 to whatever they know; the rest is said as it is.
    pub(super) fn legacy_status(&self) -> StatusCode {
        let is_told = self.is_later() || self.status == StatusCode::FORBIDDEN;
        if is_told { self.status } else { StatusCode::OK }
    }

    /// Whether the same call may succeed later.
    pub(super) fn is_later(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }
}

impl Call {
    pub(super) fn new(
        interface: Interface,
        request: LegacyRequest,
        caller: Caller,
        entrance: Entrance,
    ) -> Self {
        let query = request.query.as_deref().unwrap_or_default();
        Self {
            query: Arguments::parse(query.as_bytes()),
            request,
            entrance,
            interface,
            caller,
        }
    }

    /// Where it came from, for the log.
    pub(super) fn source(&self) -> &str {
        &self.caller.source
    }

    /// Submits the edits that `changes` finds for a state. They are found again when what they rest on
    /// is gone, or when the caller's rights depend on the state, and the state has changed meanwhile.
    pub(super) async fn submit(
        &self,
        api: &Api,
        changes: impl Fn(&Snapshot) -> Vec<Change>,
    ) -> Result<Outcome, Refused> {
        self.submit_as(api, &Terms::default(), changes).await
    }

    /// The same for edits that rest on what this group is, or on that there is none.
    pub(super) async fn submit_upon(
        &self,
        api: &Api,
        group: &Name,
        changes: impl Fn(&Snapshot) -> Vec<Change>,
    ) -> Result<Outcome, Refused> {
        let terms = Terms {
            rests_on: Some(group),
            ..Terms::default()
        };
        self.submit_as(api, &terms, changes).await
    }

    /// The same; routes may lead to groups that are gone then.
    pub(super) async fn submit_leniently(
        &self,
        api: &Api,
        changes: impl Fn(&Snapshot) -> Vec<Change>,
    ) -> Result<Outcome, Refused> {
        let terms = Terms {
            is_lenient: true,
            ..Terms::default()
        };
        self.submit_as(api, &terms, changes).await
    }

    async fn submit_as(
        &self,
        api: &Api,
        terms: &Terms<'_>,
        changes: impl Fn(&Snapshot) -> Vec<Change>,
    ) -> Result<Outcome, Refused> {
        let mut last = Refusal::Busy;
        for _ in 0..MOST_RACES {
            let snapshot = api.snapshot();
            let changes = changes(&snapshot);
            let caller = &self.caller;
            caller.may(Role::Operate, &changes, snapshot.spec())?;
            let submission = Submission {
                precondition: terms.precondition(&snapshot),
                found_for: caller.is_limited().then(|| snapshot.revision()),
                lenient: terms.is_lenient,
                ..Submission::new(changes, self.meta())
            };
            match api.controller.submit(submission).await {
                Err(Refusal::Outdated | Refusal::Precondition(_)) => last = Refusal::Busy,
                Err(refusal @ Refusal::Change { .. })
                    if api.snapshot().revision() != snapshot.revision() =>
                {
                    last = refusal;
                }
                result => return result.map(|done| self.logged(done)).map_err(Refused::from),
            }
        }
        Err(last.into())
    }

    /// In the history the interface is the author, and with a token its bearer too.
    fn meta(&self) -> Meta {
        let label = self.interface.label();
        let token = self.caller.token.as_ref();
        Meta {
            time: clock::unix_ms(),
            author: token.map_or_else(
                || label.to_owned(),
                |token| format!("{label}:{}", token.name),
            ),
            source: self.caller.source.clone(),
            ..Meta::default()
        }
    }

    fn logged(&self, outcome: Outcome) -> Outcome {
        if outcome.is_new {
            let (author, source) = (self.meta().author, &self.caller.source);
            let (method, path) = (&self.request.method, &self.request.path);
            let number = outcome.revision;
            log::info!("revision {number}: {method} {path:?} by {author} from {source}");
        }
        outcome
    }
}

/// On which terms a change is made.
#[derive(Default)]
struct Terms<'a> {
    /// Whether routes may lead to groups that are gone then.
    is_lenient: bool,
    /// The group that must still be what it was.
    rests_on: Option<&'a Name>,
}

impl Terms<'_> {
    fn precondition(&self, snapshot: &Snapshot) -> Option<Precondition> {
        let name = self.rests_on?;
        let wanted = match snapshot.upstream(name) {
            Some(group) => Wanted::ChangedIn(vec![group.spec().changed_at]),
            None => Wanted::Absent,
        };
        Some(Precondition {
            object: Object::Upstream(name.clone()),
            wanted,
        })
    }
}

/// Lost races with other changes before the caller is told to try again.
const MOST_RACES: usize = 8;

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        let (status, detail) = problem.told();
        Self {
            status,
            detail: one_line(&detail),
            is_on_rails: false,
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let is_on_rails = matches!(refusal, Refusal::Rails(_));
        Self {
            is_on_rails,
            ..refusal::problem(refusal, &[]).into()
        }
    }
}

/// A text without anything that could end a line, cut where it stops saying more.
pub(super) fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).take(LONGEST_LINE).collect()
}

const LONGEST_LINE: usize = 512;

/// An answer of plain text.
pub(super) fn text(status: StatusCode, body: String) -> LegacyAnswer {
    LegacyAnswer {
        status,
        content_type: Some("text/plain"),
        body: body.into(),
    }
}
