//! The desired state as it is sent on the wire and kept in the store.
//!
//! Each field by itself is well formed (its type refuses the rest when it is read); whether the
//! whole makes sense is decided by `domain::snapshot`, which builds a routing state from it or refuses.

mod address;
mod explain;
mod forbidden;
mod health;
mod name;
mod name_pattern;
mod revision;
mod route;
mod rules;
mod schema;
mod server;
mod shape;
mod target;
mod units;
mod unsupported;
mod upstream;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use address::{Address, AddressError};
pub use explain::{explain, nearest};
pub use forbidden::ForbiddenAddresses;
pub use health::{CheckType, HealthSpec, StartHealth, StatusRange};
pub use name::{Name, NameError};
pub use name_pattern::NamePattern;
pub use revision::{DiffEntry, Digest, Meta, Revision};
pub use route::{CreatedBy, HostPattern, PathPattern, RouteSpec, normal_host};
pub use rules::{
    Broken, broken_rules, broken_rules_among_routes, broken_rules_of_defaults,
    broken_rules_of_route, broken_rules_of_upstream, unknown_targets,
};
pub use server::{Admin, ServerSpec};
pub use shape::list_for_object;
pub use target::Target;
pub use units::Span;
pub use unsupported::is_planned;
pub use upstream::{
    BalanceSpec, HostHeader, Protocol, RetryCause, RetrySpec, TimeoutsSpec, UpstreamSpec,
    WhenAllDown,
};

/// The whole desired state.
///
/// Objects are shared (`Arc`), so that a changed copy costs one object and the pointer tables.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = State)]
pub struct Spec {
    /// Any key of an upstream, applied to every upstream that does not set it.
    #[schema(value_type = UpstreamSpec)]
    pub defaults: Arc<UpstreamSpec>,
    /// The groups by name.
    #[schema(value_type = BTreeMap<String, UpstreamSpec>)]
    pub upstreams: BTreeMap<Name, Arc<UpstreamSpec>>,
    /// The routes in file order; ids are unique.
    #[schema(value_type = Vec<RouteSpec>)]
    pub routes: Vec<Arc<RouteSpec>>,
}

impl Spec {
    /// The route with this id.
    pub fn route(&self, id: &Name) -> Option<&Arc<RouteSpec>> {
        self.routes
            .iter()
            .find(|route| route.id.as_ref() == Some(id))
    }

    /// Whether both have the very same routes in the same order.
    pub fn has_same_routes(&self, other: &Spec) -> bool {
        let pairs = self.routes.iter().zip(&other.routes);
        self.routes.len() == other.routes.len() && pairs.into_iter().all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Whether both have groups of the same names.
    pub fn has_same_names(&self, other: &Spec) -> bool {
        self.upstreams.len() == other.upstreams.len()
            && self.upstreams.keys().eq(other.upstreams.keys())
    }

    /// The names of groups that are not one and the same object here and in `before`: changed, added
    /// or removed. One walk over both, so that a change costs little in a state of many groups.
    pub fn changed_upstreams(&self, before: &Spec) -> Vec<Name> {
        let (mut old, mut new) = (
            before.upstreams.iter().peekable(),
            self.upstreams.iter().peekable(),
        );
        let mut changed = Vec::new();
        loop {
            let (name, is_same) = match (old.peek(), new.peek()) {
                (None, None) => return changed,
                (Some((name, a)), Some((other, b))) if name == other => (*name, Arc::ptr_eq(a, b)),
                (Some((name, _)), Some((other, _))) if name < other => (*name, false),
                (Some((name, _)), None) | (_, Some((name, _))) => (*name, false),
            };
            if !is_same {
                changed.push(name.clone());
            }
            old.next_if(|(other, _)| *other == name);
            new.next_if(|(other, _)| *other == name);
        }
    }

    /// Whether two states want the same, whatever revision each object was last changed in.
    pub fn says_the_same(&self, other: &Spec) -> bool {
        self.defaults.says_the_same(&other.defaults)
            && self.upstreams.len() == other.upstreams.len()
            && self.routes.len() == other.routes.len()
            && self
                .upstreams
                .iter()
                .zip(&other.upstreams)
                .all(|((name, mine), (theirs, other))| {
                    name.as_str() == theirs.as_str() && mine.says_the_same(other)
                })
            && self
                .routes
                .iter()
                .zip(&other.routes)
                .all(|(mine, other)| mine.says_the_same(other))
    }
}
