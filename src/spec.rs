//! The desired state as it is sent on the wire and kept in the store.
//!
//! Each field by itself is well formed (its type refuses the rest when it is read); whether the
//! whole makes sense is decided by `domain::snapshot`, which builds a routing state from it or refuses.

mod address;
mod dns_name;
mod explain;
mod forbidden;
mod hash;
mod health;
mod health_rules;
mod merged_rules;
mod name;
mod name_pattern;
mod outlier;
mod percent;
mod queue;
mod revision;
mod route;
mod rules;
mod schema;
mod server;
mod shape;
mod shared_list;
mod shared_map;
mod shortened;
mod source;
mod sticky;
mod target;
mod tls;
mod units;
mod unsupported;
mod upstream;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use address::{Address, AddressError};
pub use dns_name::DnsName;
pub use explain::{explain, nearest};
pub use forbidden::ForbiddenAddresses;
pub use hash::{HashKey, HashKeyError, HashSpec};
pub use health::{CheckType, HealthSpec, StartHealth, StatusRange};
pub use merged_rules::broken_rules_of_merged;
pub use name::{AsName, Name, NameError};
pub use name_pattern::NamePattern;
pub use outlier::OutlierSpec;
pub use percent::{Percent, PercentError};
pub use queue::QueueSpec;
pub use revision::{DiffEntry, Digest, Meta, Revision};
pub use route::{CreatedBy, HostPattern, PathPattern, RouteSpec, normal_host};
pub use rules::{
    Broken, broken_rules, broken_rules_among_routes, broken_rules_of_defaults,
    broken_rules_of_route, broken_rules_of_upstream, unknown_targets,
};
pub use server::{Admin, Labels, ServerSpec};
pub use shape::list_for_object;
pub use shared_list::{Difference, SharedList};
pub use shared_map::{Changed, SharedMap};
pub use shortened::shortened;
pub use source::{ConsulUrl, Listing, SourceSpec, TokenVariable};
pub use sticky::StickySpec;
pub use target::Target;
pub use tls::{ServerName, TlsSpec};
pub use units::Span;
pub use unsupported::is_planned;
pub use upstream::{
    BalanceSpec, HostHeader, Protocol, RetryCause, RetrySpec, SendProxyProtocol, TimeoutsSpec,
    UpstreamSpec, WhenAllDown,
};

/// The whole desired state.
///
/// Objects are shared (`Arc`) and so are the tables that hold them, so that a changed copy costs one
/// object and a part of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = State)]
pub struct Spec {
    /// Any key of an upstream, applied to every upstream that does not set it.
    #[schema(value_type = UpstreamSpec)]
    pub defaults: Arc<UpstreamSpec>,
    /// The groups by name.
    #[schema(value_type = std::collections::BTreeMap<String, UpstreamSpec>)]
    pub upstreams: SharedMap<Name, Arc<UpstreamSpec>>,
    /// The routes in file order; ids are unique.
    #[schema(value_type = Vec<RouteSpec>)]
    pub routes: SharedList<Arc<RouteSpec>>,
}

impl Spec {
    /// The route with this id.
    pub fn route(&self, id: &Name) -> Option<&Arc<RouteSpec>> {
        self.routes
            .iter()
            .find(|route| route.id.as_ref() == Some(id))
    }

    /// The place of the route with this id.
    pub fn place_of_route(&self, id: &Name) -> Option<usize> {
        let has_it = |route: &Arc<RouteSpec>| route.id.as_ref() == Some(id);
        self.routes.into_iter().position(has_it)
    }

    /// The routes that are not one and the same object here and in `before`, nor at the same place.
    pub fn changed_routes<'a>(&'a self, before: &'a Spec) -> Difference<'a, Arc<RouteSpec>> {
        self.routes.difference(&before.routes, Arc::ptr_eq)
    }

    /// Whether both have the very same routes in the same order.
    pub fn has_same_routes(&self, other: &Spec) -> bool {
        let part = self.changed_routes(other);
        part.old.is_empty() && part.new.is_empty()
    }

    /// Whether both have groups of the same names.
    pub fn has_same_names(&self, other: &Spec) -> bool {
        let changed = self.upstreams.difference(&other.upstreams, Arc::ptr_eq);
        changed
            .iter()
            .all(|(_, was, is)| was.is_some() && is.is_some())
    }

    /// The names of groups that are not one and the same object here and in `before`: changed, added
    /// or removed.
    pub fn changed_upstreams(&self, before: &Spec) -> Vec<Name> {
        let changed = self.upstreams.difference(&before.upstreams, Arc::ptr_eq);
        changed.into_iter().map(|(name, ..)| name.clone()).collect()
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

#[cfg(test)]
mod tests;
