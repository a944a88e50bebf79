use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    HashSpec, HealthSpec, OutlierSpec, Percent, QueueSpec, ServerSpec, SourceSpec, Span,
    StickySpec, TlsSpec,
};

/// A group of servers as it is asked for. A field that is not set comes from the state's `defaults`
/// and then from the product's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamSpec {
    /// How a server is picked; default `round_robin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<BalanceSpec>,
    /// With `balance: hash`: what of a request decides where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashSpec>,
    /// A cookie that leads a client to the server that it had before; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<StickySpec>,
    /// The Host header sent on; default `received`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostHeader>,
    /// The members, in file order; addresses are unique.
    #[schema(value_type = Vec<super::schema::ServerForms>)]
    pub servers: Vec<ServerSpec>,
    /// Who says which servers these are; absent: the state does. A group that gets a source keeps its servers until the
    /// source has said something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceSpec>,
    /// HTTPS to the servers; absent: plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// The protocol spoken to the servers; default `http/1.1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// How long each step towards a server may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<TimeoutsSpec>,
    /// Idle connections kept; 0 opens one for each request. Default 512.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<u32>,
    /// When a request is tried on another server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
    /// The PROXY header that begins each connection to a server and says who the client is; default `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_proxy_protocol: Option<SendProxyProtocol>,
    /// Active checks; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthSpec>,
    /// When the share of its failures ejects a server; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier: Option<OutlierSpec>,
    /// The largest share of the servers that failures may eject at a time, one at least, the last usable one never;
    /// default `50%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ejected: Option<Percent>,
    /// What happens when every server is down; default `fail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_all_down: Option<WhenAllDown>,
    /// A change that leaves fewer usable servers is refused; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_healthy: Option<u32>,
    /// Whether requests wait for a server that is at its `max_connections`; default: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueSpec>,
    /// The revision that changed this group last; the group's ETag. Set by the one writer.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(read_only)]
    pub changed_at: u64,
}

impl UpstreamSpec {
    /// Each field from here, or else from `defaults`; `tls`, `timeouts`, `retry` and `health` field by field.
    /// Servers and their source are a group's own.
    pub fn or(&self, defaults: &Self) -> Self {
        let (a, b) = (self.clone(), defaults.clone());
        Self {
            balance: a.balance.or(b.balance),
            hash: merged(a.hash, b.hash, |a, b| HashSpec {
                key: a.key.or(b.key),
            }),
            sticky: a.sticky.or(b.sticky),
            host: a.host.or(b.host),
            servers: a.servers,
            source: a.source,
            tls: merged(a.tls, b.tls, TlsSpec::or),
            protocol: a.protocol.or(b.protocol),
            timeouts: merged(a.timeouts, b.timeouts, TimeoutsSpec::or),
            keepalive: a.keepalive.or(b.keepalive),
            retry: merged(a.retry, b.retry, RetrySpec::or),
            send_proxy_protocol: a.send_proxy_protocol.or(b.send_proxy_protocol),
            health: merged(a.health, b.health, |a, b| a.or(&b)),
            outlier: merged(a.outlier, b.outlier, OutlierSpec::or),
            max_ejected: a.max_ejected.or(b.max_ejected),
            when_all_down: a.when_all_down.or(b.when_all_down),
            min_healthy: a.min_healthy.or(b.min_healthy),
            queue: merged(a.queue, b.queue, QueueSpec::or),
            changed_at: a.changed_at,
        }
    }

    /// Equal but for the revision of the last change.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let Self { changed_at, .. } = *other;
        *other
            == Self {
                changed_at,
                ..self.clone()
            }
    }
}

fn merged<T>(a: Option<T>, b: Option<T>, or: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(or(a, b)),
        (a, b) => a.or(b),
    }
}

pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How a server is picked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BalanceSpec {
    /// nginx's smooth weighted round robin.
    #[default]
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// The fewest requests in flight for its weight.
    LeastConnections,
    /// The less loaded of two, drawn by weight.
    RandomTwo,
    /// The shortest time to the first byte times requests in flight, for its weight.
    LeastTime,
    /// By the client's network (nginx's `ip_hash`).
    IpHash,
    /// By a key of the request, see `hash`.
    Hash,
}

/// The Host header that a server sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum HostHeader {
    /// As the client sent it, lower-cased, port kept.
    #[default]
    Received,
    /// As the client sent it, lower-cased, without its port (nginx's `$host`).
    WithoutPort,
    /// Always this one.
    Fixed(String),
}

impl From<String> for HostHeader {
    fn from(text: String) -> Self {
        match text.as_str() {
            "received" => Self::Received,
            "without_port" => Self::WithoutPort,
            _ => Self::Fixed(text),
        }
    }
}

impl From<HostHeader> for String {
    fn from(host: HostHeader) -> Self {
        match host {
            HostHeader::Received => "received".into(),
            HostHeader::WithoutPort => "without_port".into(),
            HostHeader::Fixed(name) => name,
        }
    }
}

/// The protocol spoken to the servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Protocol {
    /// HTTP/1.1 over pooled connections.
    #[default]
    #[serde(rename = "http/1.1")]
    Http1,
    /// HTTP/2: with TLS agreed on by ALPN, without it by prior knowledge.
    #[serde(rename = "h2")]
    Http2,
}

/// The PROXY header that begins each connection to a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SendProxyProtocol {
    /// None.
    #[default]
    Off,
    /// Version 1: a line of text.
    V1,
    /// Version 2: binary.
    V2,
}

/// How long each step towards a server may take; `0s` means no limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsSpec {
    /// Until the connection stands; default `2s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Span>,
    /// From the request's end to the response's first byte; default `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Span>,
    /// Between two reads; default `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Span>,
    /// Between two writes; default `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<Span>,
    /// How long an unused connection is kept; default `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Span>,
    /// The whole request with all its attempts, the response's last byte included; default `0s`, no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Span>,
}

impl TimeoutsSpec {
    fn or(self, other: Self) -> Self {
        Self {
            connect: self.connect.or(other.connect),
            first_byte: self.first_byte.or(other.first_byte),
            read: self.read.or(other.read),
            write: self.write.or(other.write),
            idle: self.idle.or(other.idle),
            total: self.total.or(other.total),
        }
    }
}

/// When a request is tried on another server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySpec {
    /// Attempts in all, 1 to 16; 1 never retries. Default 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u8>,
    /// The failures after which another server is tried; default all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<RetryCause>>,
    /// Whether a request that may have been processed is sent again although its method is not
    /// idempotent (RFC 9110 section 9.2.2); default no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_idempotent: Option<bool>,
    /// Retries as a share of the requests, over ten seconds or so; three a second are always allowed. `100%` is no limit.
    /// Default `10%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Percent>,
    /// Whether a request whose method is not idempotent gets a connection of its own, so that none can be lost to a
    /// server that closes an idle one at that moment; default no: it gets one that was idle for at most a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh_post: Option<bool>,
}

impl RetrySpec {
    fn or(self, other: Self) -> Self {
        Self {
            attempts: self.attempts.or(other.attempts),
            on: self.on.or(other.on),
            non_idempotent: self.non_idempotent.or(other.non_idempotent),
            budget: self.budget.or(other.budget),
            fresh_post: self.fresh_post.or(other.fresh_post),
        }
    }
}

/// A failure after which another server may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum RetryCause {
    /// No connection; nothing was sent.
    #[serde(rename = "connect")]
    Connect,
    /// The connection broke before the response.
    #[serde(rename = "reset")]
    Reset,
    /// No response in time.
    #[serde(rename = "timeout")]
    Timeout,
    /// The server answered 502.
    #[serde(rename = "502")]
    Status502,
    /// The server answered 503.
    #[serde(rename = "503")]
    Status503,
    /// The server answered 504.
    #[serde(rename = "504")]
    Status504,
}

/// What happens when every server of a group is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenAllDown {
    /// 503 with the reason.
    #[default]
    Fail,
    /// They are tried as if they were up.
    TryAny,
}
