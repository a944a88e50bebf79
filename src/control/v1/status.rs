use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::api::Api;
use super::super::edit::Look;
use super::super::host_keys::HostKeysView;
use super::super::problem::Problem;
use super::super::source::SourceView;
use super::super::view::{self, ServerView};
use crate::controller::StoreStatus;
use crate::domain::snapshot::Snapshot;
use crate::domain::upstream::Upstream;
use crate::fleet::{Fleet, Node, NodeState};
use crate::spec::Name;

/// The live picture of this node.
#[derive(Serialize, ToSchema)]
#[schema(as = Status)]
pub(super) struct StatusView {
    /// The state's number.
    revision: u64,
    node: String,
    #[schema(value_type = String)]
    version: &'static str,
    /// Since the process started.
    #[schema(example = "3h25m7s")]
    uptime: String,
    uptime_seconds: u64,
    /// Whether every listener accepts.
    ready: bool,
    /// Whether the configuration file and the state differ, in one line.
    #[schema(value_type = String)]
    file: &'static str,
    store: StoreView,
    /// The keys of hosts in Redis, if keys switch hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_keys: Option<HostKeysView>,
    /// What needs somebody's attention.
    problems: Vec<String>,
    upstreams: Vec<UpstreamStatus>,
}

/// How the node stands to its store.
#[derive(Serialize, ToSchema)]
#[schema(as = StoreStatus)]
struct StoreView {
    /// Whether the store answers and holds what is served.
    in_step: bool,
    /// Whether it holds a state that the one served does not lead to: nothing of it is taken over without force.
    diverged: bool,
    /// How long ago it was last known that the store holds what is served.
    stale_seconds: f64,
    /// Why they are not in step.
    #[schema(nullable)]
    reason: Option<String>,
}

impl From<StoreStatus> for StoreView {
    fn from(status: StoreStatus) -> Self {
        Self {
            in_step: status.trouble.is_none(),
            diverged: status.is_diverged,
            stale_seconds: status.stale.as_secs_f64(),
            reason: status.trouble,
        }
    }
}

/// The live picture of a group.
#[derive(Serialize, ToSchema)]
struct UpstreamStatus {
    name: Name,
    /// Servers that could take requests: admin up and health not down. Of a name each that it stands for.
    usable: usize,
    /// Servers in all, counted so too.
    total: usize,
    /// Whether there are servers and none could take a request.
    all_down: bool,
    /// What was last heard from the group's source, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SourceView>,
    servers: Vec<ServerView>,
}

/// The live picture: every server with its state, health and counters.
#[utoipa::path(get, path = "/v1/status", tag = "status",
    responses((status = 200, body = StatusView)))]
pub(super) async fn get(State(api): State<Arc<Api>>, look: Look) -> Result<Response, Problem> {
    let shown = api.clone();
    api.show(&look, move |snapshot| {
        Ok((snapshot.revision(), StatusView::new(&shown, snapshot)))
    })
    .await
}

impl StatusView {
    fn new(api: &Api, snapshot: &Snapshot) -> Self {
        let uptime = api.started.elapsed();
        let upstreams: Vec<UpstreamStatus> = snapshot
            .upstreams()
            .map(|upstream| UpstreamStatus::new(api, upstream))
            .collect();
        let store = StoreView::from(api.controller.standing().status());
        let of_store = store.reason.iter().map(|reason| format!("store: {reason}"));
        let of_groups = upstreams.iter().flat_map(UpstreamStatus::problems);
        let of_fleet = of_fleet(&api.fleet);
        let host_keys = HostKeysView::of(&api.metrics);
        let of_keys = host_keys.iter().flat_map(HostKeysView::problems);
        let problems = of_store
            .chain(of_keys)
            .chain(of_groups)
            .chain(of_fleet)
            .collect();
        Self {
            revision: snapshot.revision(),
            node: api.settings.node.clone(),
            version: env!("CARGO_PKG_VERSION"),
            uptime: in_words(uptime),
            uptime_seconds: uptime.as_secs(),
            ready: *api.ready.borrow(),
            file: match snapshot.spec().is_as_written_in(&api.settings.file) {
                true => "the state is as the file has it",
                false => {
                    "the state differs from the file: `pointsman ctl apply -f FILE` shows and installs the file's"
                }
            },
            store,
            host_keys,
            problems,
            upstreams,
        }
    }
}

/// Nodes that need somebody's attention, and servers that nodes see differently.
fn of_fleet(fleet: &Fleet) -> Vec<String> {
    let (roster, own) = (fleet.roster().0, fleet.node());
    let ailing = |node: &&Node| {
        let is_ailing = !matches!(node.state, NodeState::Live | NodeState::Left);
        is_ailing && node.record.id != own
    };
    let of_nodes = roster.nodes.iter().filter(ailing).map(|node| {
        let (id, applied) = (&node.record.id, node.record.applied);
        format!(
            "node {id} is {}; it served revision {applied}",
            node.state.as_str()
        )
    });
    let disagreements = roster.disagreements();
    let of_servers = disagreements.iter().map(|found| found.told_by(own));
    of_nodes.chain(of_servers.take(MOST_TOLD)).collect()
}

/// Servers that nodes see differently; /v1/fleet has them all.
const MOST_TOLD: usize = 20;

impl UpstreamStatus {
    fn new(api: &Api, upstream: &Upstream) -> Self {
        let usable = upstream.usable_servers();
        Self {
            name: upstream.name().clone(),
            usable,
            total: upstream.servers().len(),
            all_down: upstream.is_outage(),
            source: SourceView::of(api, upstream),
            servers: view::servers(upstream),
        }
    }

    fn problems(&self) -> Vec<String> {
        let name = &self.name;
        let unresolved = self.servers.iter().filter_map(ServerView::unresolved);
        let mut problems: Vec<String> = unresolved
            .map(|(address, resolution)| {
                format!("upstream `{name}`: `{address}` {}", resolution.trouble())
            })
            .collect();
        let source = self.source.as_ref().and_then(SourceView::trouble);
        problems.extend(source.map(|trouble| format!("upstream `{name}` {trouble}")));
        match (self.usable, self.total) {
            (0, 0) if self.servers.is_empty() => {
                problems.push(format!("upstream `{name}` has no servers"));
            }
            (0, total) if total > 0 => {
                problems.push(format!("upstream `{name}`: all {total} servers are down"));
            }
            _ => {}
        }
        problems
    }
}

/// `3h25m7s`; whole seconds.
fn in_words(length: Duration) -> String {
    let seconds = length.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let words = parts
        .iter()
        .skip_while(|(count, unit)| *count == 0 && *unit != "s");
    words
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect()
}
