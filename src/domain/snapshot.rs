//! The whole routing state at one revision, and the one cell that holds it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::{ArcSwap, Guard};
use hashbrown::HashSet;

use super::names::{Names, Resolved};
use super::queue::Queue;
use super::route::{Route, Routes, bare_host};
use super::shards::Shards;
use super::subsets::Subsets;
use super::upstream::Upstream;
use crate::spec::{Address, AsName, Name, Spec, Target};

/// The routing state at one revision. Never edited: a change builds the next one, which shares
/// whatever the change did not touch.
#[derive(Debug, Default)]
pub struct Snapshot {
    revision: u64,
    spec: Arc<Spec>,
    routes: Arc<Routes>,
    upstreams: Shards<Name, Arc<Upstream>>,
    /// The groups that routes straight to an address imply.
    implicit: Shards<Target, Arc<Upstream>>,
    subsets: Subsets,
    names: Arc<Names>,
}

impl Snapshot {
    /// Builds the state of a revision around what survives from the one before. Costs the groups and
    /// hosts that differ, and copies of pointer tables.
    pub fn build(revision: u64, spec: Arc<Spec>, before: Option<&Self>) -> Self {
        let names = names(&spec, before);
        let upstreams = upstreams(&spec, &names, before);
        let routes = match before {
            Some(before) if before.spec.has_same_routes(&spec) => before.routes.clone(),
            Some(before) => Arc::new(Routes::build(&spec, Some((&before.spec, &before.routes)))),
            None => Arc::new(Routes::build(&spec, None)),
        };
        let implicit = implicit(&spec, &upstreams, before);
        let subsets = subsets(&spec, &upstreams, before);
        Self {
            subsets,
            revision,
            spec,
            routes,
            upstreams,
            implicit,
            names,
        }
    }

    /// The state at the same revision when these names stand for these places; none if that alters nothing.
    /// Costs the groups that have such a name.
    pub fn resolved<'a>(
        &self,
        found: impl IntoIterator<Item = (&'a Address, &'a Arc<Resolved>)>,
    ) -> Option<Self> {
        let mut names = Names::clone(&self.names);
        let mut upstreams = self.upstreams.clone();
        let mut concerned = HashSet::new();
        for (address, resolved) in found {
            concerned.extend(names.resolve(address, resolved));
        }
        if concerned.is_empty() {
            return None;
        }
        let concerned: Vec<Name> = concerned.into_iter().collect();
        for name in &concerned {
            if let Some(old) = self.upstreams.get(name) {
                let (name, spec) = (old.name(), old.spec());
                let built = Upstream::build(name, spec, &self.spec.defaults, &names, Some(old));
                upstreams.insert(name.clone(), Arc::new(built));
            }
        }
        let subsets = Subsets::build(
            &self.spec,
            Some((&concerned, &self.spec)),
            Some(&self.subsets),
            |name| upstreams.get(name),
        );
        Some(Self {
            subsets,
            revision: self.revision,
            spec: self.spec.clone(),
            routes: self.routes.clone(),
            upstreams,
            implicit: self.implicit.clone(),
            names: Arc::new(names),
        })
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

    /// The group that a target means for a request with this Host header, as received: one of that
    /// name, the implicit one of an address, or the one named like the host.
    pub fn target(&self, target: &Target, host: &str) -> Option<&Arc<Upstream>> {
        if let Target::Host = target {
            return self.upstreams.get(&AsName(bare_host(host)));
        }
        let named = target.name().and_then(|name| self.upstreams.get(name));
        named.or_else(|| self.implicit.get(target))
    }

    /// The group that serves a route's requests with this Host header, or the part of it that has the
    /// route's labels.
    pub fn serving(&self, route: &Route, host: &str) -> Option<&Arc<Upstream>> {
        if route.labels().is_empty() {
            return self.target(route.to(), host);
        }
        self.subsets.find(route.to().name()?, route.labels())
    }

    /// The group that `old` has become in this snapshot. A group that was deleted has become none,
    /// whatever else has its address.
    pub fn same(&self, old: &Upstream) -> Option<&Arc<Upstream>> {
        match old.implied_by() {
            Some(target) => self.implicit.get(target),
            None if !old.labels().is_empty() => self.subsets.find(old.name(), old.labels()),
            None => self.upstreams.get(old.name()),
        }
    }

    /// The names that its servers have.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The groups that have a name, in the order of their names.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.spec
            .upstreams
            .keys()
            .filter_map(|name| self.upstreams.get(name))
    }

    /// The groups that routes straight to an address imply, once for each route.
    pub fn implicit(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let targets = self.spec.routes.iter().map(|route| &route.to);
        targets.filter_map(|target| self.implicit.get(target))
    }
}

/// What a name stands for is known for as long as some server has it.
fn names(spec: &Spec, before: Option<&Snapshot>) -> Arc<Names> {
    let Some(before) = before else {
        let all = spec
            .upstreams
            .iter()
            .map(|(name, is)| (name, None, Some(&**is)));
        return Arc::new(Names::default().after(all).unwrap_or_default());
    };
    let changed = spec
        .upstreams
        .difference(&before.spec.upstreams, Arc::ptr_eq);
    let changed = changed
        .into_iter()
        .map(|(name, was, is)| (name, was.map(|was| &**was), is.map(|is| &**is)));
    match before.names.after(changed) {
        Some(names) => Arc::new(names),
        None => before.names.clone(),
    }
}

fn upstreams(
    spec: &Arc<Spec>,
    names: &Names,
    before: Option<&Snapshot>,
) -> Shards<Name, Arc<Upstream>> {
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
                Arc::new(Upstream::build(
                    name,
                    upstream,
                    &spec.defaults,
                    names,
                    old(name),
                )),
            )
        };
        return spec.upstreams.iter().map(build).collect();
    };
    let mut upstreams = before.upstreams.clone();
    for name in spec.changed_upstreams(&before.spec) {
        match spec.upstreams.get_key_value(&name) {
            None => upstreams.remove(&name),
            // The name as it is written now; it may have been in another case.
            Some((name, upstream)) => {
                let old = upstreams.get(name).map(|old| &**old);
                let built = Upstream::build(name, upstream, &spec.defaults, names, old);
                upstreams.insert(name.clone(), Arc::new(built));
            }
        }
    }
    upstreams
}

fn subsets(
    spec: &Spec,
    upstreams: &Shards<Name, Arc<Upstream>>,
    before: Option<&Snapshot>,
) -> Subsets {
    let same_defaults = before.filter(|before| Arc::ptr_eq(&before.spec.defaults, &spec.defaults));
    let names = same_defaults.map(|before| spec.changed_upstreams(&before.spec));
    let changed = names
        .as_deref()
        .zip(same_defaults.map(|before| &*before.spec));
    let old = before.map(|before| &before.subsets);
    Subsets::build(spec, changed, old, |name| upstreams.get(name))
}

/// The groups that routes straight to an address imply. What cannot have changed is not looked at:
/// only the targets of changed routes, and the names of groups that came or went.
fn implicit(
    spec: &Spec,
    upstreams: &Shards<Name, Arc<Upstream>>,
    before: Option<&Snapshot>,
) -> Shards<Target, Arc<Upstream>> {
    let (mut implicit, targets) = match before {
        Some(before) if Arc::ptr_eq(&before.spec.defaults, &spec.defaults) => {
            (before.implicit.clone(), changed_targets(spec, &before.spec))
        }
        _ => {
            let all = spec.routes.iter().map(|route| route.to.clone());
            (Shards::default(), all.collect())
        }
    };
    for target in targets {
        match implied(&target, spec, upstreams) {
            None => implicit.remove(&target),
            Some(_) if implicit.get(&target).is_some() => {}
            Some(address) => {
                let old = before.and_then(|before| before.implicit.get(&target));
                let built =
                    Upstream::straight_to(&target, &address, &spec.defaults, old.map(|old| &**old));
                implicit.insert(target, Arc::new(built));
            }
        }
    }
    implicit
}

fn changed_targets(spec: &Spec, before: &Spec) -> HashSet<Target> {
    let routes = spec.changed_routes(before);
    let targets = routes.old.iter().chain(&routes.new);
    let mut changed: HashSet<Target> = targets.map(|route| route.to.clone()).collect();
    let upstreams = spec.upstreams.difference(&before.upstreams, Arc::ptr_eq);
    let came_or_went = upstreams
        .into_iter()
        .filter(|(_, was, is)| was.is_some() != is.is_some());
    changed.extend(came_or_went.map(|(name, ..)| Target::Upstream(name.clone())));
    changed
}

/// The address that a target means, if it is no group's name and a route leads there.
fn implied(
    target: &Target,
    spec: &Spec,
    upstreams: &Shards<Name, Arc<Upstream>>,
) -> Option<Address> {
    let address = target.address()?;
    let is_named = target
        .name()
        .is_some_and(|name| upstreams.get(name).is_some());
    let is_used = || spec.routes.iter().any(|route| route.to == *target);
    (!is_named && is_used()).then_some(address)
}

/// Makes the cell: the one right to replace the snapshot, and the right to read it.
pub fn shared(first: Snapshot) -> (Publisher, SharedSnapshot) {
    let cell = Arc::new(Cell {
        snapshot: ArcSwap::from_pointee(first),
        queues: Mutex::default(),
    });
    (Publisher(cell.clone()), SharedSnapshot(cell))
}

#[derive(Debug)]
struct Cell {
    snapshot: ArcSwap<Snapshot>,
    /// Where requests wait that have to hear of the next snapshot.
    queues: Mutex<Vec<Weak<Queue>>>,
}

impl Cell {
    fn queues(&self) -> MutexGuard<'_, Vec<Weak<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one right to replace the snapshot. Not `Clone`: the controller owns it.
#[derive(Debug)]
pub struct Publisher(Arc<Cell>);

impl Publisher {
    /// Replaces the snapshot. Every request that is routed after this sees the new one, and those that wait look again.
    pub fn publish(&self, next: Arc<Snapshot>) {
        self.0.snapshot.store(next.clone());
        self.0.queues().retain(|queue| {
            let queue = queue.upgrade().filter(|queue| queue.waiting() > 0);
            let newest = |old: &Arc<Upstream>| next.same(old).cloned();
            queue.inspect(|queue| queue.follow(newest)).is_some()
        });
    }
}

/// The right to read the snapshot.
#[derive(Debug, Clone)]
pub struct SharedSnapshot(Arc<Cell>);

impl SharedSnapshot {
    /// The snapshot of this moment, for work that ends before the next `.await`.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.0.snapshot.load()
    }

    /// The snapshot of this moment, to keep.
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.0.snapshot.load_full()
    }

    /// Those who wait here now hear of every snapshot that is published from now on.
    pub fn tell(&self, queue: &Arc<Queue>) {
        let mut queues = self.0.queues();
        if !queues
            .iter()
            .any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(queue)))
        {
            queues.push(Arc::downgrade(queue));
        }
    }
}
