use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Span, shortened};

/// Active checks of a group. Present with no field set: the defaults. Absent: no checks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthSpec {
    /// What is sent; default `http`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<CheckType>,
    /// The path that is asked for; default `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The whole request as raw bytes instead of `path`, as lua-resty-upstream-healthcheck's `http_req`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The Host header, and the authority of `grpc`; default the server's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The port that is probed; default the server's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Time between two probes, jittered by 10 %; default `2s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// The same while the server is down; default `interval`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_down: Option<Span>,
    /// The same while its results differ from what it is taken for, until they make a verdict; default the shorter of the
    /// two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_changing: Option<Span>,
    /// With `grpc`: the service that is asked for; default the whole server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The name that is asked for and verified in a TLS handshake; default what the group's `tls` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Time for the whole probe; default `1s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Failures in a row that make a server down; default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fall: Option<u32>,
    /// Passes in a row that make a server up; default 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rise: Option<u32>,
    /// Statuses that pass; default 200 and 302.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statuses: Option<Vec<StatusRange>>,
    /// What must occur in the first 64 KiB of the answer's body; default nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Probes of this group at a time; default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// What a new server is taken for; default `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<StartHealth>,
}

impl HealthSpec {
    /// Each field from here, or else from `other`, but for what does not go with what is said here: a path beside a
    /// request, and what the type has no use for.
    pub fn or(&self, other: &Self) -> Self {
        let (a, b) = (self.clone(), other.beside(self));
        Self {
            kind: a.kind.or(b.kind),
            path: a.path.or(b.path),
            request: a.request.or(b.request),
            host: a.host.or(b.host),
            port: a.port.or(b.port),
            interval: a.interval.or(b.interval),
            interval_down: a.interval_down.or(b.interval_down),
            interval_changing: a.interval_changing.or(b.interval_changing),
            service: a.service.or(b.service),
            sni: a.sni.or(b.sni),
            timeout: a.timeout.or(b.timeout),
            fall: a.fall.or(b.fall),
            rise: a.rise.or(b.rise),
            statuses: a.statuses.or(b.statuses),
            body: a.body.or(b.body),
            concurrency: a.concurrency.or(b.concurrency),
            start: a.start.or(b.start),
        }
    }

    /// What of this has a meaning for a group that says `own`.
    fn beside(&self, own: &Self) -> Self {
        let kept = |takes: fn(CheckType) -> bool| own.kind.is_none_or(takes);
        let of = |text: &Option<String>, is_kept: bool| text.clone().filter(|_| is_kept);
        let is_http = kept(CheckType::is_http);
        Self {
            path: of(&self.path, is_http && own.request.is_none()),
            request: of(&self.request, is_http && own.path.is_none()),
            statuses: self.statuses.clone().filter(|_| is_http),
            body: of(&self.body, is_http),
            host: of(&self.host, kept(CheckType::names_host)),
            service: of(&self.service, kept(CheckType::names_service)),
            sni: of(&self.sni, kept(CheckType::may_have_tls)),
            ..self.clone()
        }
    }
}

/// What a probe sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckType {
    /// A GET over HTTP/1.1, or the raw `request`; the status decides.
    Http,
    /// The same over TLS, verified as the group's `tls` says.
    Https,
    /// A call of grpc.health.v1's `Check`, over TLS where the group has it; `SERVING` passes.
    Grpc,
    /// A connection; that it opens decides.
    Tcp,
    /// No checks, where `defaults` would bring some.
    None,
}

impl CheckType {
    /// Whether it has a path or request, and an answer with a status and a body.
    pub(super) fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    pub(super) fn names_host(self) -> bool {
        self != Self::Tcp
    }

    pub(super) fn names_service(self) -> bool {
        self == Self::Grpc
    }

    pub(super) fn may_have_tls(self) -> bool {
        !matches!(self, Self::Http | Self::Tcp)
    }
}

/// What a server is taken for before its checks decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartHealth {
    /// Eligible only if nothing better is.
    #[default]
    Unknown,
    /// Eligible at once.
    Up,
    /// Not eligible, as nginx_upstream_check_module's `default_down=true`.
    Down,
}

/// One status (`200`) or a range (`"200-299"`, both ends included).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StatusText", into = "StatusText")]
pub struct StatusRange {
    first: u16,
    last: u16,
}

/// Why a text is not a range of statuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a status from 100 to 599 or a range such as \"200-299\"", shortened(.0))]
pub struct StatusError(String);

impl StatusRange {
    /// Exactly one status.
    pub const fn one(status: u16) -> Self {
        Self {
            first: status,
            last: status,
        }
    }

    /// From one status to another, both included.
    pub fn new(first: u16, last: u16) -> Result<Self, StatusError> {
        if 100 <= first && first <= last && last <= 599 {
            Ok(Self { first, last })
        } else {
            Err(StatusError(format!("{first}-{last}")))
        }
    }

    /// Whether the status is in the range.
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "write a status such as 200 or a range such as \"200-299\""
)]
enum StatusText {
    Number(u16),
    Text(String),
}

impl TryFrom<StatusText> for StatusRange {
    type Error = StatusError;
    fn try_from(text: StatusText) -> Result<Self, StatusError> {
        let range = match &text {
            StatusText::Number(status) => Some((*status, *status)),
            StatusText::Text(text) => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                first.trim().parse().ok().zip(last.trim().parse().ok())
            }
        };
        let range = range.and_then(|(first, last)| Self::new(first, last).ok());
        range.ok_or_else(|| {
            StatusError(match text {
                StatusText::Number(status) => status.to_string(),
                StatusText::Text(text) => text,
            })
        })
    }
}

impl From<StatusRange> for StatusText {
    fn from(range: StatusRange) -> Self {
        if range.first == range.last {
            Self::Number(range.first)
        } else {
            Self::Text(format!("{}-{}", range.first, range.last))
        }
    }
}
