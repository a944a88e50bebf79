//! The closed set of edits to a [`Spec`]: how they are applied, compared and undone.

mod diff;
mod patch;
mod switch;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::spec::{Address, Name, RouteSpec, ServerSpec, Spec, Target, UpstreamSpec, shortened};

pub use diff::{diff, entries};
pub use switch::{answering, first_id_of_host, host_route};

/// One edit. A transaction is a list of them: all or nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Creates or replaces a group.
    PutUpstream {
        /// The group.
        name: Name,
        /// Its whole content.
        upstream: UpstreamSpec,
    },
    /// Edits a group by a JSON merge patch (RFC 7396).
    PatchUpstream {
        /// The group.
        name: Name,
        /// The patch.
        #[schema(value_type = Object)]
        upstream: Value,
    },
    /// Removes a group.
    DeleteUpstream {
        /// The group.
        name: Name,
    },
    /// Adds a member.
    AddServer {
        /// The group.
        upstream: Name,
        /// The new member.
        server: ServerSpec,
    },
    /// Edits a member by a JSON merge patch.
    PatchServer {
        /// The group.
        upstream: Name,
        /// The member.
        address: Address,
        /// The patch.
        #[schema(value_type = Object)]
        server: Value,
    },
    /// Removes a member.
    RemoveServer {
        /// The group.
        upstream: Name,
        /// The member.
        address: Address,
    },
    /// Creates or replaces a route.
    PutRoute {
        /// The route.
        id: Name,
        /// Its whole content; its own `id` is not looked at.
        route: RouteSpec,
    },
    /// Edits a route by a JSON merge patch.
    PatchRoute {
        /// The route.
        id: Name,
        /// The patch.
        #[schema(value_type = Object)]
        route: Value,
    },
    /// Removes a route.
    DeleteRoute {
        /// The route.
        id: Name,
    },
    /// Points a route, or the route of a host, at another target.
    Switch {
        /// The route; or else `host`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        route: Option<Name>,
        /// The host; or else `route`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// The new target; none deletes the route that a switch made for this host.
        to: Option<Target>,
    },
    /// Puts the routes into this order; ids that are missing here keep theirs at the end.
    OrderRoutes {
        /// The ids, first to last.
        ids: Vec<Name>,
    },
    /// Replaces the defaults.
    PutDefaults {
        /// The new defaults.
        defaults: UpstreamSpec,
    },
    /// Replaces everything.
    PutState {
        /// The new state.
        state: Spec,
    },
}

/// Why an edit does not fit the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// No group of this name.
    #[error("there is no upstream `{0}`")]
    NoUpstream(Name),
    /// No such member.
    #[error("upstream `{0}` has no server `{1}`")]
    NoServer(Name, Address),
    /// The member is there already.
    #[error("upstream `{0}` already has a server `{1}`")]
    ServerExists(Name, Address),
    /// No route with this id.
    #[error("there is no route `{0}`")]
    NoRoute(Name),
    /// `to: null` for a route that an operator wrote.
    #[error("route `{0}` was not made by a switch: delete it by its own call")]
    NotASwitch(Name),
    /// The host has no route to delete.
    #[error("host `{}` has no route that a switch made", shortened(.0))]
    NoHostRoute(String),
    /// A value that its field does not take.
    #[error("{message}")]
    Field {
        /// Where, as a JSON pointer into the object.
        pointer: String,
        /// What the field takes.
        message: String,
    },
}

impl Change {
    /// Applies the edit as part of revision `at`. An object that stays the same keeps its `changed_at`.
    /// On an error the state may hold part of the edit; apply to a copy.
    pub fn apply(&self, spec: &mut Spec, at: u64) -> Result<(), ChangeError> {
        match self {
            Self::PutUpstream { name, upstream } => {
                let next = with_members(spec, name, upstream.clone());
                put_upstream(spec, name, next, at);
            }
            Self::PatchUpstream { name, upstream } => {
                let next = patch::patched(find_upstream(spec, name)?.as_ref(), upstream)?;
                put_upstream(spec, name, next, at);
            }
            Self::DeleteUpstream { name } => {
                spec.upstreams
                    .remove(name)
                    .ok_or_else(|| ChangeError::NoUpstream(name.clone()))?;
            }
            Self::AddServer { .. } | Self::PatchServer { .. } | Self::RemoveServer { .. } => {
                return self.apply_to_servers(spec, at);
            }
            Self::PutRoute { id, route } => put_route(spec, id, route.clone(), at),
            Self::PatchRoute { id, route } => {
                let next = patch::patched(find_route(spec, id)?.as_ref(), route)?;
                put_route(spec, id, next, at);
            }
            Self::DeleteRoute { id } => {
                let place = spec.place_of_route(id);
                spec.routes
                    .remove(place.ok_or_else(|| ChangeError::NoRoute(id.clone()))?);
            }
            Self::Switch { route, host, to } => return switch::apply(spec, route, host, to, at),
            Self::OrderRoutes { ids } => {
                let places: HashMap<&Name, usize> = ids
                    .iter()
                    .enumerate()
                    .rev()
                    .map(|(place, id)| (id, place))
                    .collect();
                let place = |route: &Arc<RouteSpec>| places.get(route.id.as_ref()?).copied();
                let mut routes: Vec<_> = spec.routes.iter().cloned().collect();
                routes.sort_by_cached_key(|route| place(route).unwrap_or(usize::MAX));
                spec.routes = routes.into();
            }
            Self::PutDefaults { defaults } => put_defaults(spec, defaults, at),
            Self::PutState { state } => put_state(spec, state, at),
        }
        Ok(())
    }

    fn apply_to_servers(&self, spec: &mut Spec, at: u64) -> Result<(), ChangeError> {
        let (Self::AddServer { upstream: name, .. }
        | Self::PatchServer { upstream: name, .. }
        | Self::RemoveServer { upstream: name, .. }) = self
        else {
            return Ok(());
        };
        let mut next = UpstreamSpec::clone(find_upstream(spec, name)?);
        let place = |address: &Address| {
            next.servers
                .iter()
                .position(|server| server.address == *address)
        };
        let missing = |address: &Address| ChangeError::NoServer(name.clone(), address.clone());
        match self {
            Self::AddServer { server, .. } => {
                if place(&server.address).is_some() {
                    return Err(ChangeError::ServerExists(
                        name.clone(),
                        server.address.clone(),
                    ));
                }
                next.servers.push(server.clone());
            }
            Self::PatchServer {
                address,
                server: patch,
                ..
            } => {
                let found = place(address).and_then(|at| next.servers.get_mut(at));
                let server = found.ok_or_else(|| missing(address))?;
                *server = patch::patched(server, patch)?;
            }
            Self::RemoveServer { address, .. } => {
                let at = place(address).ok_or_else(|| missing(address))?;
                next.servers.remove(at);
            }
            _ => {}
        }
        put_upstream(spec, name, next, at);
        Ok(())
    }
}

fn find_upstream<'a>(spec: &'a Spec, name: &Name) -> Result<&'a Arc<UpstreamSpec>, ChangeError> {
    spec.upstreams
        .get(name)
        .ok_or_else(|| ChangeError::NoUpstream(name.clone()))
}

fn find_route<'a>(spec: &'a Spec, id: &Name) -> Result<&'a Arc<RouteSpec>, ChangeError> {
    spec.route(id)
        .ok_or_else(|| ChangeError::NoRoute(id.clone()))
}

/// A group with a source is written without servers: they are what the source says, and stay.
fn with_members(spec: &Spec, name: &Name, mut next: UpstreamSpec) -> UpstreamSpec {
    if next.source.is_some()
        && next.servers.is_empty()
        && let Some(current) = spec.upstreams.get(name)
    {
        next.servers.clone_from(&current.servers);
    }
    next
}

fn put_upstream(spec: &mut Spec, name: &Name, next: UpstreamSpec, at: u64) {
    let current = spec.upstreams.get(name);
    if !current.is_some_and(|current| current.says_the_same(&next)) {
        let next = Arc::new(UpstreamSpec {
            changed_at: at,
            ..next
        });
        spec.upstreams.insert(name.clone(), next);
    }
}

fn put_route(spec: &mut Spec, id: &Name, mut next: RouteSpec, at: u64) {
    next.id = Some(id.clone());
    let place = spec.place_of_route(id);
    let current = place.and_then(|place| spec.routes.get(place));
    if current.is_some_and(|current| current.says_the_same(&next)) {
        return;
    }
    let next = Arc::new(RouteSpec {
        changed_at: at,
        ..next
    });
    match place {
        Some(place) => spec.routes.replace(place, next),
        None => spec.routes.push(next),
    }
}

fn put_defaults(spec: &mut Spec, defaults: &UpstreamSpec, at: u64) {
    if !spec.defaults.says_the_same(defaults) {
        spec.defaults = Arc::new(UpstreamSpec {
            changed_at: at,
            ..defaults.clone()
        });
    }
}

/// Objects that stay the same are shared with the state before: they keep their tag, and whatever
/// was built from them can be kept too.
fn put_state(spec: &mut Spec, next: &Spec, at: u64) {
    let before = std::mem::take(spec);
    spec.defaults = before.defaults;
    put_defaults(spec, &next.defaults, at);
    for (name, upstream) in &next.upstreams {
        if let Some((name, old)) = before.upstreams.get_key_value(name) {
            spec.upstreams.insert(name.clone(), old.clone());
        }
        let next = with_members(spec, name, UpstreamSpec::clone(upstream));
        put_upstream(spec, name, next, at);
    }
    let mut old: HashMap<_, _> = before
        .routes
        .iter()
        .filter_map(|route| Some((route.id.clone()?, route)))
        .collect();
    for route in &next.routes {
        let id = route.id.clone().unwrap_or_else(|| route.id_from_patterns());
        let kept = old.remove(&id).filter(|old| old.says_the_same(route));
        let made = || {
            Arc::new(RouteSpec {
                id: Some(id),
                changed_at: at,
                ..RouteSpec::clone(route)
            })
        };
        spec.routes.push(kept.cloned().unwrap_or_else(made));
    }
}
