//! The parts of groups that routes are restricted to by labels.

use std::sync::Arc;

use hashbrown::HashSet;

use super::shards::Shards;
use super::upstream::Upstream;
use crate::spec::{Labels, Name, RouteSpec, Spec};

/// Each subset that a route asks for, prepared: a group of the servers that have the labels, around
/// the same states.
#[derive(Debug, Clone, Default)]
pub(super) struct Subsets(Shards<Name, Arc<[Subset]>>);

/// None where there is no such group; then the subset is known all the same, for the day that it comes.
#[derive(Debug)]
struct Subset {
    labels: Labels,
    upstream: Option<Arc<Upstream>>,
}

impl Subsets {
    /// Builds them anew where a group or a route with labels has changed. `changed`: the names of the
    /// groups that have; none: all may have.
    pub(super) fn build<'a>(
        spec: &Spec,
        changed: Option<(&[Name], &Spec)>,
        before: Option<&Self>,
        group: impl Fn(&Name) -> Option<&'a Arc<Upstream>>,
    ) -> Self {
        let mut subsets = before.cloned().unwrap_or_default();
        let names: HashSet<Name> = match changed {
            None => wanted(spec.routes.iter()).collect(),
            Some((groups, old)) => {
                let routes = spec.changed_routes(old);
                let known = groups.iter().filter(|name| subsets.0.get(*name).is_some());
                wanted(routes.old.into_iter().chain(routes.new))
                    .chain(known.cloned())
                    .collect()
            }
        };
        for name in names {
            let built = subsets.of(spec, &name, group(&name));
            if built.is_empty() {
                subsets.0.remove(&name);
            } else {
                subsets.0.insert(name, built.into());
            }
        }
        subsets
    }

    /// The part of a group that has these labels.
    pub(super) fn find(&self, name: &Name, labels: &Labels) -> Option<&Arc<Upstream>> {
        let subsets = self.0.get(name)?;
        let subset = subsets.iter().find(|subset| subset.labels == *labels)?;
        subset.upstream.as_ref()
    }

    /// Every subset that routes ask for of this group.
    fn of(&self, spec: &Spec, name: &Name, group: Option<&Arc<Upstream>>) -> Vec<Subset> {
        let mut subsets: Vec<Subset> = Vec::new();
        for route in spec
            .routes
            .iter()
            .filter(|route| route.to.name() == Some(name))
        {
            let labels = &route.labels;
            if labels.is_empty() || subsets.iter().any(|subset| subset.labels == *labels) {
                continue;
            }
            let before = self.find(name, labels);
            let upstream =
                group.map(|group| Arc::new(group.subset(labels, before.map(|old| &**old))));
            subsets.push(Subset {
                labels: labels.clone(),
                upstream,
            });
        }
        subsets
    }
}

fn wanted<'a>(routes: impl Iterator<Item = &'a Arc<RouteSpec>>) -> impl Iterator<Item = Name> {
    routes
        .filter(|route| !route.labels.is_empty())
        .filter_map(|route| route.to.name().cloned())
}
