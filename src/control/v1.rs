//! The resources below `/v1`.

mod changes;
mod fleet;
mod revisions;
mod routes;
mod server_actions;
mod servers;
mod state;
mod status;
mod switch;
mod upstreams;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::Api;
use super::problem::{Code, Problem};
use crate::spec::{Address, Name};

/// Every path below `/v1` with its methods.
pub(super) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(state::get, state::put))
        .routes(routes!(upstreams::list))
        .routes(routes!(
            upstreams::get,
            upstreams::put,
            upstreams::patch,
            upstreams::delete
        ))
        .routes(routes!(servers::list, servers::add))
        .routes(routes!(servers::get, servers::patch, servers::remove))
        .routes(routes!(server_actions::up))
        .routes(routes!(server_actions::drain))
        .routes(routes!(server_actions::down))
        .routes(routes!(routes::list))
        .routes(routes!(
            routes::get,
            routes::put,
            routes::patch,
            routes::delete
        ))
        .routes(routes!(switch::route))
        .routes(routes!(switch::host))
        .routes(routes!(changes::submit))
        .routes(routes!(revisions::list))
        .routes(routes!(revisions::get))
        .routes(routes!(revisions::diff))
        .routes(routes!(revisions::restore))
        .routes(routes!(status::get))
        .routes(routes!(fleet::get))
}

/// The name of a group that should be there. What cannot be a name is nobody's.
fn upstream_name(text: &str) -> Result<Name, Problem> {
    Name::new(text).map_err(|error| Problem::new(Code::UpstreamNotFound, error))
}

fn no_upstream(name: &Name) -> Problem {
    Problem::new(
        Code::UpstreamNotFound,
        format!("there is no upstream `{name}`"),
    )
}

/// The address of a server that should be there.
fn server_address(text: &str) -> Result<Address, Problem> {
    Address::new(text).map_err(|error| Problem::new(Code::ServerNotFound, error))
}

/// The id of a route that should be there.
fn route_id(text: &str) -> Result<Name, Problem> {
    Name::new(text).map_err(|error| Problem::new(Code::RouteNotFound, error))
}

/// The name of an object that is to be made.
fn new_name(text: &str) -> Result<Name, Problem> {
    Name::new(text).map_err(|error| Problem::new(Code::InvalidRequest, error))
}
