use std::fmt::Display;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::revision::RevisionView;
use crate::spec::shortened;

/// Why a request was refused, on its way to become an answer by RFC 9457.
#[derive(Debug)]
pub(super) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    conflict: Option<RevisionView>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Display) -> Self {
        Self(Box::new(Parts {
            code,
            detail: limited(detail.to_string()),
            errors: Vec::new(),
            conflict: None,
            headers: Vec::new(),
        }))
    }

    /// One field of the body is wrong.
    pub(super) fn field(pointer: impl Into<String>, message: impl Display) -> Self {
        let error = FieldError {
            pointer: pointer.into(),
            message: message.to_string(),
        };
        let error = error.limited();
        let detail = match error.pointer.as_str() {
            "" => error.message.clone(),
            pointer => format!("{pointer}: {}", error.message),
        };
        Self::new(Code::InvalidField, detail).with_errors([error])
    }

    pub(super) fn with_errors(mut self, errors: impl IntoIterator<Item = FieldError>) -> Self {
        let room = MOST_ERRORS.saturating_sub(self.0.errors.len());
        let errors = errors.into_iter().take(room).map(FieldError::limited);
        self.0.errors.extend(errors);
        self
    }

    /// The revision that is in the way.
    pub(super) fn with_conflict(mut self, conflict: Option<RevisionView>) -> Self {
        self.0.conflict = conflict;
        self
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// When to try again, in seconds.
    pub(super) fn retry_after(self, seconds: u16) -> Self {
        self.with_header(RETRY_AFTER, seconds.into())
    }

    /// The status and the words, for an answer of another form.
    pub(super) fn told(self) -> (StatusCode, String) {
        (self.0.code.meaning().0, self.0.detail)
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> Code {
        self.0.code
    }
}

/// More than anyone reads at once; the rest shows after the first are fixed.
const MOST_ERRORS: usize = 100;

/// An answer about an input is no second copy of it: what quotes it shortens it, and this holds for
/// what is forgotten. In characters.
const LONGEST_TEXT: usize = 2000;

fn limited(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST_TEXT) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl FieldError {
    /// The keys of a body are as long as whoever wrote it likes.
    fn limited(self) -> Self {
        let segments: Vec<_> = self.pointer.split('/').map(shortened).collect();
        Self {
            pointer: limited(segments.join("/")),
            message: limited(self.message),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts {
            code,
            detail,
            errors,
            conflict,
            headers,
        } = *self.0;
        let (status, title) = code.meaning();
        let document = ProblemDocument {
            kind: format!("urn:pointsman:problem:{}", code.word()),
            title,
            status: status.as_u16(),
            detail,
            code,
            errors,
            conflict,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, [(CONTENT_TYPE, CONTENT)], body).into_response();
        response.headers_mut().extend(headers);
        response
    }
}

const CONTENT: &str = "application/problem+json";

/// An error by RFC 9457.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument {
    /// Names the kind of problem; as stable as `code`.
    #[serde(rename = "type")]
    #[schema(example = "urn:pointsman:problem:rail_last_server")]
    kind: String,
    /// The kind in words.
    #[schema(value_type = String)]
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What happened this time.
    detail: String,
    code: Code,
    /// Each field that is wrong, or each rail in the way.
    errors: Vec<FieldError>,
    /// With 412: the revision that changed the object since.
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict: Option<RevisionView>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// A JSON pointer (RFC 6901): into the body with 400, into the resulting state with 409 and 422.
    #[schema(example = "/servers/0/weight")]
    pub(super) pointer: String,
    /// The rule that is broken.
    pub(super) message: String,
}

/// The stable word for a kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    /// A header or the path cannot be read.
    InvalidRequest,
    /// The body is not JSON, or a key stands twice in one object.
    InvalidJson,
    /// A body is needed.
    EmptyBody,
    /// A field of the body is unknown or has a value that it does not take.
    InvalidField,
    /// The query has a parameter that this call does not know, or the same one twice.
    UnknownParameter,
    /// A parameter has a value that it does not take.
    InvalidParameter,
    /// Documented, but not built yet.
    NotSupported,
    /// A change by force needs a reason.
    ReasonNeeded,
    /// A token is needed, or the one given is not known.
    Unauthorized,
    /// This address, host, origin or token may not do this.
    Forbidden,
    /// Nothing is at this path.
    NotFound,
    /// No upstream of this name.
    UpstreamNotFound,
    /// The upstream has no such server.
    ServerNotFound,
    /// No such route.
    RouteNotFound,
    /// The history does not have this revision, or no longer.
    RevisionNotFound,
    /// The path is known, but not with this method; `Allow` says with which.
    MethodNotAllowed,
    /// The body did not come in time.
    RequestTimeout,
    /// The upstream has this server already.
    ServerExists,
    /// A route leads to this upstream.
    UpstreamInUse,
    /// The upstream's source says which servers it has.
    ServersFromSource,
    /// Only a route that a switch made can be switched to nothing.
    NotASwitch,
    /// The change would leave an upstream without a usable server.
    RailLastServer,
    /// The change would leave an upstream with fewer usable servers than `min_healthy`.
    RailMinHealthy,
    /// The object changed since, or exists already.
    PreconditionFailed,
    /// A body has at most 8 MiB.
    BodyTooLarge,
    /// The body's content type is not one that this call takes.
    UnsupportedMediaType,
    /// The state that the change leads to breaks a rule.
    InvalidState,
    /// A route would lead to an upstream that does not exist.
    UpstreamMissing,
    /// Too many changes are waiting.
    Busy,
    /// Too many wrong tokens came from this address.
    TooManyAttempts,
    /// A fault in Pointsman itself; its log has more.
    Internal,
    /// The store does not answer or refuses.
    StoreUnavailable,
    /// The process is ending.
    Draining,
    /// The listeners do not accept yet, or no longer.
    NotReady,
}

impl Code {
    /// The status and the title.
    pub(super) fn meaning(self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidRequest => (S::BAD_REQUEST, "The request cannot be read"),
            Self::InvalidJson => (S::BAD_REQUEST, "The body is not valid JSON"),
            Self::EmptyBody => (S::BAD_REQUEST, "A body is needed"),
            Self::InvalidField => (S::BAD_REQUEST, "A field is not valid"),
            Self::UnknownParameter => (S::BAD_REQUEST, "Unknown query parameter"),
            Self::InvalidParameter => (S::BAD_REQUEST, "A query parameter is not valid"),
            Self::NotSupported => (S::BAD_REQUEST, "Not supported yet"),
            Self::ReasonNeeded => (S::BAD_REQUEST, "A reason is needed"),
            Self::Unauthorized => (S::UNAUTHORIZED, "A valid token is needed"),
            Self::Forbidden => (S::FORBIDDEN, "Not allowed"),
            Self::NotFound => (S::NOT_FOUND, "Nothing is here"),
            Self::UpstreamNotFound => (S::NOT_FOUND, "No such upstream"),
            Self::ServerNotFound => (S::NOT_FOUND, "No such server"),
            Self::RouteNotFound => (S::NOT_FOUND, "No such route"),
            Self::RevisionNotFound => (S::NOT_FOUND, "No such revision"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "Not with this method"),
            Self::RequestTimeout => (S::REQUEST_TIMEOUT, "The body did not come in time"),
            Self::ServerExists => (S::CONFLICT, "The server exists already"),
            Self::UpstreamInUse => (S::CONFLICT, "The upstream is in use"),
            Self::ServersFromSource => (S::CONFLICT, "The servers come from a source"),
            Self::NotASwitch => (S::CONFLICT, "The route was not made by a switch"),
            Self::RailLastServer => (S::CONFLICT, "The last usable server stays"),
            Self::RailMinHealthy => (S::CONFLICT, "Too few usable servers would stay"),
            Self::PreconditionFailed => (S::PRECONDITION_FAILED, "It changed since"),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, "Unsupported content type"),
            Self::InvalidState => (S::UNPROCESSABLE_ENTITY, "The resulting state is not valid"),
            Self::UpstreamMissing => (S::UNPROCESSABLE_ENTITY, "A route would lead nowhere"),
            Self::Busy => (S::TOO_MANY_REQUESTS, "Too many changes are waiting"),
            Self::TooManyAttempts => (S::TOO_MANY_REQUESTS, "Too many wrong tokens"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "A fault in Pointsman"),
            Self::StoreUnavailable => (S::SERVICE_UNAVAILABLE, "The store is away"),
            Self::Draining => (S::SERVICE_UNAVAILABLE, "This node is stopping"),
            Self::NotReady => (S::SERVICE_UNAVAILABLE, "This node is not ready"),
        }
    }

    /// The word itself.
    pub(super) fn word(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|word| Some(word.as_str()?.to_owned()))
            .unwrap_or_default()
    }
}
