//! The whole routing state at one revision, and the one cell that holds it.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use hashbrown::HashMap;

use super::route::Routes;
use super::upstream::Upstream;
use crate::spec::{Name, Spec, Target};

/// The routing state at one revision. Never edited: a change builds the next one, which shares
/// whatever the change did not touch.
#[derive(Debug, Default)]
pub struct Snapshot {
    revision: u64,
    spec: Arc<Spec>,
    routes: Arc<Routes>,
    upstreams: HashMap<Name, Arc<Upstream>>,
    /// The groups that routes straight to an address imply.
    implicit: HashMap<Target, Arc<Upstream>>,
}

impl Snapshot {
    /// Builds the state of a revision around what survives from the one before. Costs the groups and
    /// hosts that differ, and copies of pointer tables.
    pub fn build(revision: u64, spec: Arc<Spec>, before: Option<&Self>) -> Self {
        let upstreams = upstreams(&spec, before);
        let routes = match before {
            Some(before) if before.spec.has_same_routes(&spec) => before.routes.clone(),
            Some(before) => Arc::new(Routes::build(&spec, Some((&before.spec, &before.routes)))),
            None => Arc::new(Routes::build(&spec, None)),
        };
        let implicit = match before.filter(|before| keeps_implicit(&before.spec, &spec)) {
            Some(before) => before.implicit.clone(),
            None => implicit(&spec, &upstreams, before),
        };
        Self {
            revision,
            spec,
            routes,
            upstreams,
            implicit,
        }
    }

    /// Its revision's number.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What it was built from.
    pub fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }

    /// Where requests go.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The group of this name.
    pub fn upstream(&self, name: &Name) -> Option<&Arc<Upstream>> {
        self.upstreams.get(name)
    }

    /// The group that a target means: one of that name, or the implicit one of an address.
    pub fn target(&self, target: &Target) -> Option<&Arc<Upstream>> {
        let named = target.name().and_then(|name| self.upstreams.get(name));
        named.or_else(|| {
            if self.implicit.is_empty() {
                None
            } else {
                self.implicit.get(target)
            }
        })
    }

    /// The group that `old` has become in this snapshot: same name, or same address if it is implicit.
    pub fn same(&self, old: &Upstream) -> Option<&Arc<Upstream>> {
        let named = self.upstreams.get(old.name());
        let implicit = || {
            let address = old.servers().first()?.address();
            self.implicit
                .values()
                .find(|upstream| upstream.server(address).is_some())
        };
        named.or_else(implicit)
    }

    /// The groups that have a name, in the order of their names.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.spec
            .upstreams
            .keys()
            .filter_map(|name| self.upstreams.get(name))
    }
}

fn upstreams(spec: &Arc<Spec>, before: Option<&Snapshot>) -> HashMap<Name, Arc<Upstream>> {
    let Some(before) = before.filter(|before| Arc::ptr_eq(&before.spec.defaults, &spec.defaults))
    else {
        let old = |name| {
            before
                .and_then(|before| before.upstreams.get(name))
                .map(|old| &**old)
        };
        let build = |(name, upstream)| {
            (
                Name::clone(name),
                Arc::new(Upstream::build(name, upstream, &spec.defaults, old(name))),
            )
        };
        return spec.upstreams.iter().map(build).collect();
    };
    let mut upstreams = before.upstreams.clone();
    for name in spec.changed_upstreams(&before.spec) {
        match spec.upstreams.get(&name) {
            None => upstreams.remove(&name),
            Some(upstream) => {
                let old = upstreams.get(&name).map(|old| &**old);
                let built = Upstream::build(&name, upstream, &spec.defaults, old);
                upstreams.insert(name, Arc::new(built))
            }
        };
    }
    upstreams
}

fn keeps_implicit(before: &Spec, spec: &Spec) -> bool {
    Arc::ptr_eq(&before.defaults, &spec.defaults)
        && before.has_same_routes(spec)
        && before.has_same_names(spec)
}

fn implicit(
    spec: &Spec,
    upstreams: &HashMap<Name, Arc<Upstream>>,
    before: Option<&Snapshot>,
) -> HashMap<Target, Arc<Upstream>> {
    let named = |target: &Target| {
        target
            .name()
            .is_some_and(|name| upstreams.contains_key(name))
    };
    let targets = spec
        .routes
        .iter()
        .map(|route| &route.to)
        .filter(|target| !named(target));
    let same_defaults = before.filter(|before| Arc::ptr_eq(&before.spec.defaults, &spec.defaults));
    let build = |target: &Target| {
        let address = target.address()?;
        let old = before.and_then(|before| before.implicit.get(target));
        let kept = same_defaults.and(old).cloned();
        let made = || {
            Arc::new(Upstream::straight_to(
                &address,
                &spec.defaults,
                old.map(|old| &**old),
            ))
        };
        Some((target.clone(), kept.unwrap_or_else(made)))
    };
    targets.filter_map(build).collect()
}

/// Makes the cell: the one right to replace the snapshot, and the right to read it.
pub fn shared(first: Snapshot) -> (Publisher, SharedSnapshot) {
    let cell = Arc::new(ArcSwap::from_pointee(first));
    (Publisher(cell.clone()), SharedSnapshot(cell))
}

/// The one right to replace the snapshot. Not `Clone`: the controller owns it.
#[derive(Debug)]
pub struct Publisher(Arc<ArcSwap<Snapshot>>);

impl Publisher {
    /// Replaces the snapshot. Every request that is routed after this sees the new one.
    pub fn publish(&self, next: Arc<Snapshot>) {
        self.0.store(next);
    }
}

/// The right to read the snapshot.
#[derive(Debug, Clone)]
pub struct SharedSnapshot(Arc<ArcSwap<Snapshot>>);

impl SharedSnapshot {
    /// The snapshot of this moment, for work that ends before the next `.await`.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// The snapshot of this moment, to keep.
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }
}
