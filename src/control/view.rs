//! How objects of the state are shown: what is stored, and beside it what was observed.

use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::resolution::Resolution;
use crate::clock::{self, Timestamp};
use crate::domain::server::{Health, LastCheck, Server, State};
use crate::domain::snapshot::Snapshot;
use crate::domain::upstream::Upstream;
use crate::domain::upstream::members::Member;
use crate::spec::{Address, Admin, Labels, Name, ServerSpec, Span, UpstreamSpec};

/// A group of servers.
#[derive(Serialize, ToSchema)]
#[schema(as = Upstream)]
pub(super) struct UpstreamView {
    #[schema(read_only)]
    name: Name,
    /// The revision that changed it last; its ETag.
    #[schema(read_only)]
    changed_at: u64,
    #[serde(flatten)]
    #[schema(value_type = UpstreamSpec)]
    settings: Settings,
    servers: Vec<ServerView>,
}

/// What is stored of a group, without its servers.
struct Settings(UpstreamSpec);

/// One member of a group.
#[derive(Serialize, ToSchema)]
#[schema(as = Server)]
pub(super) struct ServerView {
    #[serde(flatten)]
    #[schema(value_type = ServerSpec)]
    settings: ServerSettings,
    #[schema(read_only)]
    status: MemberStatus,
}

/// What was observed of a member: of a name what its servers are together, and beside it each of them.
#[derive(Serialize, ToSchema)]
struct MemberStatus {
    #[serde(flatten)]
    live: ServerStatus,
    /// Of a name only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    resolution: Option<Resolution>,
}

/// A whole [`ServerSpec`]: stored ones leave out what is at its default.
#[derive(Serialize)]
struct ServerSettings {
    address: Address,
    weight: u16,
    admin: Admin,
    backup: bool,
    tier: u16,
    labels: Labels,
    max_connections: u32,
    max_fails: u32,
    fail_timeout: Span,
    slow_start: Span,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    down_at_source: bool,
}

/// What was observed of a server on this node.
#[derive(Serialize, ToSchema)]
pub(super) struct ServerStatus {
    /// `up`, `full` (at `max_connections`), `slow_start` (its share grows), `unknown` (checked, no verdict yet), `draining`, `down` (by the operator or the group's source) or
    /// `unhealthy` (by its checks).
    #[schema(value_type = String, example = "up")]
    state: &'static str,
    /// What checks observed: `unknown`, `up` or `down`.
    #[schema(value_type = String, example = "unknown")]
    health: &'static str,
    /// When the health changed last; null if never.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// Why it is in this state.
    reason: String,
    /// Requests that it works on now.
    in_flight: u32,
    /// Attempts sent to it since it became a member or this process started.
    requests: u64,
    /// Attempts of these that failed.
    failures: u64,
    last_check: Option<LastCheckView>,
    /// The last 20 probes, the newest first. Left out before the first one, and in the list of all groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    last_checks: Vec<LastCheckView>,
}

/// How a probe went.
#[derive(Serialize, ToSchema)]
#[schema(as = LastCheck)]
struct LastCheckView {
    #[schema(format = DateTime)]
    at: String,
    ok: bool,
    duration_ms: u32,
    detail: String,
}

/// Something with the revision that changed it last.
pub(super) struct Tagged<T> {
    pub(super) tag: u64,
    pub(super) value: T,
}

impl UpstreamView {
    pub(super) fn new(upstream: &Upstream) -> Self {
        let spec = upstream.spec();
        Self {
            name: upstream.name().clone(),
            changed_at: spec.changed_at,
            settings: Settings(UpstreamSpec {
                servers: Vec::new(),
                ..UpstreamSpec::clone(spec)
            }),
            servers: servers(upstream),
        }
    }

    /// Without the last probes of its servers: they are ten times the rest, for each group of many.
    pub(super) fn in_brief(self) -> Self {
        let mut brief = self;
        for server in &mut brief.servers {
            server.status.live.forget_checks();
            if let Some(resolution) = &mut server.status.resolution {
                resolution.forget_checks();
            }
        }
        brief
    }

    pub(super) fn find(snapshot: &Snapshot, name: &Name) -> Option<Tagged<Self>> {
        let upstream = snapshot.upstream(name)?;
        Some(Tagged {
            tag: upstream.spec().changed_at,
            value: Self::new(upstream),
        })
    }
}

impl ServerView {
    fn new(member: &Member<'_>) -> Self {
        let resolution = Resolution::new(member);
        Self {
            settings: ServerSettings::new(member.spec().clone()),
            status: MemberStatus {
                live: match (member.server(), &resolution) {
                    (Some(server), _) => ServerStatus::new(server),
                    (None, resolution) => ServerStatus::of_name(member, resolution.as_ref()),
                },
                resolution,
            },
        }
    }

    /// Whether it is a name whose last answer was of no use, and why.
    pub(super) fn unresolved(&self) -> Option<(&Address, &Resolution)> {
        let failing = |resolution: &&Resolution| !resolution.is_sound();
        let resolution = self.status.resolution.as_ref().filter(failing)?;
        Some((&self.settings.address, resolution))
    }

    /// With the tag of its group, whose part it is.
    pub(super) fn find(
        snapshot: &Snapshot,
        upstream: &Name,
        address: &Address,
    ) -> Option<Tagged<Self>> {
        let upstream = snapshot.upstream(upstream)?;
        Some(Tagged {
            tag: upstream.spec().changed_at,
            value: Self::new(&upstream.member(address)?),
        })
    }
}

impl ServerSettings {
    fn new(spec: ServerSpec) -> Self {
        Self {
            address: spec.address,
            weight: spec.weight,
            admin: spec.admin,
            backup: spec.backup,
            tier: spec.tier,
            labels: spec.labels,
            max_connections: spec.max_connections,
            max_fails: spec.max_fails,
            fail_timeout: spec.fail_timeout,
            slow_start: spec.slow_start,
            down_at_source: spec.down_at_source,
        }
    }
}

/// Every member of a group.
pub(super) fn servers(upstream: &Upstream) -> Vec<ServerView> {
    let members = upstream.members();
    members.map(|member| ServerView::new(&member)).collect()
}

impl ServerStatus {
    /// Of a name: the best of its servers, and the sums.
    fn of_name(member: &Member<'_>, resolution: Option<&Resolution>) -> Self {
        let servers = member.servers();
        let is_any = |health| servers.iter().any(|server| server.health() == health);
        let health = match (is_any(Health::Up), is_any(Health::Unknown)) {
            (true, _) => Health::Up,
            (false, false) if !servers.is_empty() => Health::Down,
            _ => Health::Unknown,
        };
        let states = servers.iter().map(|server| server.shared());
        Self {
            state: member.state(clock::monotonic_ms()).as_str(),
            health: health.as_str(),
            since: None,
            reason: resolution.map(|it| it.reason(member)).unwrap_or_default(),
            in_flight: states.clone().map(|state| state.in_flight()).sum(),
            requests: states.clone().map(|state| state.requests()).sum(),
            failures: states.map(|state| state.failures()).sum(),
            last_check: None,
            last_checks: Vec::new(),
        }
    }

    /// Leaves out how the last probes went, but for the last one.
    pub(super) fn forget_checks(&mut self) {
        self.last_checks.clear();
    }

    pub(super) fn new(server: &Server) -> Self {
        let shared = server.shared();
        let now = clock::monotonic_ms();
        let last_check = shared.last_check();
        let last_checks = shared.last_checks().into_iter();
        let since = Some(shared.health_since()).filter(|&since| since > 0);
        Self {
            state: server.state(now).as_str(),
            health: server.health().as_str(),
            since: since.map(|since| Timestamp::from_unix_ms(since).to_string()),
            reason: reason(server, last_check.as_ref(), now),
            in_flight: shared.in_flight(),
            requests: shared.requests(),
            failures: shared.failures(),
            last_check: last_check.map(LastCheckView::new),
            last_checks: last_checks.map(LastCheckView::new).collect(),
        }
    }
}

/// One place says it for people; the state itself is decided by [`Server::state`].
fn reason(server: &Server, last_check: Option<&LastCheck>, now: u64) -> String {
    let seen = |text: &str| match last_check {
        Some(check) => format!("{text}: {}", check.detail),
        None => text.to_owned(),
    };
    match server.state(now) {
        State::Down if server.spec().down_at_source => "its source has it down".into(),
        State::Down => "taken out by an operator".into(),
        State::Draining => "drained by an operator: finishes what it has".into(),
        State::Full => "works on as many requests as `max_connections` allows".into(),
        State::SlowStart => "its share grows since it takes requests again".into(),
        State::Unhealthy if last_check.is_some_and(|check| check.ok) => {
            seen("checks pass again, not often enough yet")
        }
        State::Unhealthy => seen("checks fail"),
        State::Ejected => {
            let left = server.shared().ejection().until().saturating_sub(now);
            format!("requests failed: tried again in {} s", left.div_ceil(1000))
        }
        State::Up | State::Unknown if server.weight() == 0 => "weight 0: takes no requests".into(),
        State::Unknown => "no verdict of its checks yet".into(),
        State::Up if server.health() == Health::Up => seen("checks pass"),
        State::Up => "no checks".into(),
    }
}

impl LastCheckView {
    fn new(check: LastCheck) -> Self {
        Self {
            at: Timestamp::from_unix_ms(check.at).to_string(),
            ok: check.ok,
            duration_ms: check.duration_ms,
            detail: check.detail.to_string(),
        }
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = serde_json::to_value(&self.0).map_err(serde::ser::Error::custom)?;
        if let Value::Object(fields) = &mut value {
            fields.remove("servers");
            fields.remove("changed_at");
        }
        value.serialize(serializer)
    }
}
