use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::api::Api;
use super::super::edit::Look;
use super::super::outcome::json;
use super::super::problem::Problem;
use crate::fleet::{Disagreement, Node};
use crate::spec::{Address, Name};

/// The nodes that serve this state.
#[derive(Serialize, ToSchema)]
#[schema(as = Fleet)]
struct FleetView {
    /// Who answers.
    node: String,
    /// The newest revision that a live node serves.
    newest: u64,
    /// How long ago the store told this. More than some seconds: it is away, and so may be what is said here.
    age_seconds: f64,
    nodes: Vec<NodeView>,
    /// The servers that some live nodes see down and others do not. Each node goes by what it sees itself.
    disagreements: Vec<DisagreementView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
struct NodeView {
    id: String,
    /// Where its control API listens.
    address: String,
    version: String,
    /// `live`; `behind`: it does not serve a revision of two seconds ago; `diverged`: it serves another state than the
    /// store leads to; `lost`: nothing was heard of it for five seconds; `left`: it was told to end.
    #[schema(value_type = String, example = "live")]
    state: &'static str,
    /// The revision that it serves.
    applied: u64,
    /// How many revisions that is behind `newest`.
    lag: u64,
    /// How long before `age_seconds` it last signed, by the store's clock.
    contact_seconds: f64,
    /// How far its clock is before the store's; below 0: behind it.
    clock_difference_seconds: f64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Disagreement)]
pub(super) struct DisagreementView {
    upstream: Name,
    server: Address,
    /// The nodes whose checks say that it is down.
    down_on: Vec<String>,
    /// The nodes whose checks do not.
    not_down_on: Vec<String>,
}

/// The nodes, what each serves, and where they see servers differently.
#[utoipa::path(get, path = "/v1/fleet", tag = "status",
    responses((status = 200, body = FleetView)))]
pub(super) async fn get(State(api): State<Arc<Api>>, _: Look) -> Result<Response, Problem> {
    let (roster, age) = api.fleet.roster();
    let view = FleetView {
        node: api.fleet.node().to_owned(),
        newest: roster.newest,
        age_seconds: age.as_secs_f64(),
        nodes: roster.nodes.iter().map(NodeView::new).collect(),
        disagreements: roster
            .disagreements()
            .into_iter()
            .map(DisagreementView::from)
            .collect(),
    };
    Ok(json(StatusCode::OK, &view))
}

impl NodeView {
    fn new(node: &Node) -> Self {
        let record = &node.record;
        Self {
            id: record.id.clone(),
            address: record.address.clone(),
            version: record.version.clone(),
            state: node.state.as_str(),
            applied: record.applied,
            lag: node.lag,
            contact_seconds: node.contact.as_secs_f64(),
            clock_difference_seconds: std::time::Duration::from_millis(
                node.clock_ms.unsigned_abs(),
            )
            .as_secs_f64()
            .copysign(if node.clock_ms < 0 { -1.0 } else { 1.0 }),
        }
    }
}

impl From<Disagreement> for DisagreementView {
    fn from(found: Disagreement) -> Self {
        Self {
            upstream: found.upstream,
            server: found.server,
            down_on: found.down_on,
            not_down_on: found.not_down_on,
        }
    }
}
