use std::collections::HashSet;
use std::sync::Arc;

use super::{Outcome, Refusal, Submission, host_keys, secrets, tls};
use crate::change;
use crate::domain::rails::rails;
use crate::domain::snapshot::Snapshot;
use crate::ports::server_tls::ServerTlsTable;
use crate::spec::{
    Broken, DiffEntry, Digest, ForbiddenAddresses, Name, Revision, RouteSpec, Spec, UpstreamSpec,
    broken_rules_among_routes, broken_rules_of_defaults, broken_rules_of_merged,
    broken_rules_of_route, broken_rules_of_upstream,
};
use crate::store::{self, HostKeyEdit};

/// The state that changes are planned on: the newest revision, stored or about to be.
#[derive(Clone)]
pub(super) struct Base {
    pub(super) digest: Digest,
    pub(super) snapshot: Arc<Snapshot>,
    /// The number of a revision with which the log is to begin anew, by an operator's force.
    pub(super) establishes: Option<u64>,
}

/// A change that may happen: the next base, and the revision that leads there.
pub(super) struct Plan {
    pub(super) outcome: Outcome,
    /// None when nothing is to be stored: nothing changed, or a dry run.
    pub(super) step: Option<Step>,
}

/// What is stored, where that leads, and what it means for the keys of hosts.
pub(super) struct Step {
    pub(super) revision: Revision,
    pub(super) next: Base,
    pub(super) host_keys: Vec<HostKeyEdit>,
}

/// Plans one transaction on `base`, or refuses it.
pub(super) fn plan(
    base: &Base,
    submission: &Submission,
    forbidden: &ForbiddenAddresses,
    server_tls: &ServerTlsTable,
) -> Result<Plan, Refusal> {
    let (now, before) = (base.snapshot.revision(), base.snapshot.spec());
    if let Some(conflict) = submission
        .precondition
        .as_ref()
        .and_then(|condition| condition.conflict(before, now))
    {
        return Err(Refusal::Precondition(conflict));
    }
    if submission.found_for.is_some_and(|revision| revision != now) {
        return Err(Refusal::Outdated);
    }
    let number = base.establishes.unwrap_or(now + 1);
    let mut spec = Spec::clone(before);
    for (index, change) in submission.changes.iter().enumerate() {
        change
            .apply(&mut spec, number)
            .map_err(|error| Refusal::Change { index, error })?;
    }
    if !submission.by_source {
        members_stay(before, &spec)?;
    }
    let diff = change::entries(before, &spec);
    if diff.is_empty() && spec.says_the_same(before) && base.establishes.is_none() {
        return Ok(unchanged(base));
    }
    let warnings = check(before, &spec, submission.lenient, forbidden)?;
    let snapshot = Arc::new(Snapshot::build(
        number,
        Arc::new(spec),
        Some(&base.snapshot),
    ));
    tls::read(server_tls, before, &snapshot)?;
    secrets::read(before, &snapshot)?;
    let rails = rails(&base.snapshot, &snapshot);
    if !rails.is_empty() && !submission.meta.forced && !submission.dry_run {
        return Err(Refusal::Rails(rails));
    }
    let step = step(base, submission, &snapshot, diff.clone());
    let is_new = !submission.dry_run;
    let outcome = Outcome {
        revision: if is_new { number } else { now },
        is_new,
        diff,
        warnings,
        rails,
        before: base.snapshot.clone(),
        snapshot,
    };
    Ok(Plan {
        outcome,
        step: is_new.then_some(step),
    })
}

fn step(
    base: &Base,
    submission: &Submission,
    snapshot: &Arc<Snapshot>,
    diff: Vec<DiffEntry>,
) -> Step {
    let revision = Revision {
        number: snapshot.revision(),
        meta: submission.meta.clone(),
        changes: submission.changes.clone(),
        diff,
        parent: base.digest,
    };
    let (before, next) = (base.snapshot.spec(), snapshot.spec());
    let edits = || host_keys::edits(before, next, &submission.changes);
    Step {
        host_keys: submission.host_keys.clone().unwrap_or_else(edits),
        next: Base {
            digest: store::digest(&revision),
            snapshot: snapshot.clone(),
            establishes: None,
        },
        revision,
    }
}

/// What is asked for is so already.
fn unchanged(base: &Base) -> Plan {
    let outcome = Outcome {
        revision: base.snapshot.revision(),
        is_new: false,
        diff: Vec::new(),
        warnings: Vec::new(),
        rails: Vec::new(),
        before: base.snapshot.clone(),
        snapshot: base.snapshot.clone(),
    };
    Plan {
        outcome,
        step: None,
    }
}

/// Refuses other servers for a group whose source says which it has. Its operators may take a server out and back,
/// give the group another source, or none.
fn members_stay(before: &Spec, next: &Spec) -> Result<(), Refusal> {
    for name in next.changed_upstreams(before) {
        let (Some(old), Some(new)) = (before.upstreams.get(&name), next.upstreams.get(&name))
        else {
            continue;
        };
        if let (Some(_), Some(source)) = (&old.source, &new.source)
            && new.has_other_members(old)
        {
            let from = source.consul.to_string();
            return Err(Refusal::Sourced {
                upstream: name,
                from,
            });
        }
    }
    Ok(())
}

/// Looks at what changed; answers the warnings.
fn check(
    before: &Spec,
    next: &Spec,
    lenient: bool,
    forbidden: &ForbiddenAddresses,
) -> Result<Vec<String>, Refusal> {
    let names = next.changed_upstreams(before);
    let changed = names
        .iter()
        .filter_map(|name| next.upstreams.get_key_value(name));
    let mut broken = Vec::new();
    for (name, upstream) in changed.clone() {
        let own = broken_rules_of_upstream(upstream);
        broken.extend(
            own.into_iter()
                .map(|rule| rule.below(&format!("/upstreams/{name}"))),
        );
        broken.extend(forbidden.in_servers(name, upstream));
    }
    let probes =
        |(name, upstream): (_, &Arc<_>)| forbidden.in_probes(name, upstream, &next.defaults);
    let merged =
        |(name, upstream): (_, &Arc<_>)| broken_with_defaults(before, next, name, upstream);
    if Arc::ptr_eq(&before.defaults, &next.defaults) {
        broken.extend(changed.clone().filter_map(probes));
        broken.extend(changed.flat_map(merged));
    } else {
        // They may send the probes of any group elsewhere, or not go with what it says.
        broken.extend(next.upstreams.iter().filter_map(probes));
        broken.extend(next.upstreams.iter().flat_map(merged));
        broken.extend(
            broken_rules_of_defaults(&next.defaults)
                .into_iter()
                .map(|rule| rule.below("/defaults")),
        );
    }
    broken.extend(broken_routes(before, next, forbidden));
    if !broken.is_empty() {
        return Err(Refusal::Invalid(broken));
    }
    dangling_routes(before, next, lenient)
}

/// What a group breaks together with the defaults. What it broke before, in a state of an older version, hinders no change:
/// a source could not take a server out otherwise.
fn broken_with_defaults(
    before: &Spec,
    next: &Spec,
    name: &Name,
    upstream: &UpstreamSpec,
) -> Vec<Broken> {
    let mut broken = broken_rules_of_merged(name, upstream, &next.defaults);
    if !broken.is_empty()
        && let Some(old) = before.upstreams.get(name)
    {
        let known = broken_rules_of_merged(name, old, &before.defaults);
        broken.retain(|rule| !known.contains(rule));
    }
    broken
}

/// Rules of the routes that changed, and what they have in common with others.
fn broken_routes(before: &Spec, next: &Spec, forbidden: &ForbiddenAddresses) -> Vec<Broken> {
    let changed = next.changed_routes(before);
    let answers_there = |(old, new): (&&Arc<RouteSpec>, &&Arc<RouteSpec>)| {
        old.id == new.id && old.hosts == new.hosts && old.paths == new.paths
    };
    let same_places = changed.old.len() == changed.new.len()
        && changed.old.iter().zip(&changed.new).all(answers_there);
    let mut broken = if same_places {
        Vec::new()
    } else {
        broken_rules_among_routes(next, &changed.new)
    };
    for (index, route) in (changed.start..).zip(&changed.new) {
        let place = format!("/routes/{index}");
        broken.extend(
            broken_rules_of_route(route)
                .into_iter()
                .map(|rule| rule.below(&place)),
        );
        let straight = route.to.address().filter(|_| !has_its_group(next, route));
        let reason = straight.and_then(|address| forbidden.reason(&address));
        broken.extend(reason.map(|message| Broken::new(format!("{place}/to"), message)));
    }
    broken
}

/// A route to a group that is not there is refused when this change made it so; one that an old
/// state had is kept with a warning.
fn dangling_routes(before: &Spec, next: &Spec, lenient: bool) -> Result<Vec<String>, Refusal> {
    let mut warnings = Vec::new();
    let dangling = touched_routes(before, next)
        .into_iter()
        .filter(|route| leads_nowhere(next, route));
    for route in dangling {
        let id = route.id.clone().unwrap_or_else(|| route.id_from_patterns());
        let was_so = before.route(&id).is_some_and(|old| old.to == route.to);
        let gone = route
            .to
            .name()
            .filter(|name| was_so && before.upstreams.contains_key(name));
        match gone {
            Some(upstream) if !lenient => {
                return Err(Refusal::UpstreamInUse {
                    upstream: upstream.clone(),
                    route: id,
                });
            }
            None if !lenient && !was_so => {
                return Err(Refusal::UpstreamMissing {
                    route: id,
                    target: route.to.to_string(),
                });
            }
            _ => warnings.push(format!(
                "route `{id}` leads to `{}`, which does not exist: its requests get 502",
                route.to
            )),
        }
    }
    Ok(warnings)
}

/// The routes that changed, and those whose group has gone.
fn touched_routes<'a>(before: &'a Spec, next: &'a Spec) -> Vec<&'a Arc<RouteSpec>> {
    let changed = next.changed_routes(before).new;
    let upstreams = next.upstreams.difference(&before.upstreams, Arc::ptr_eq);
    let gone: HashSet<&Name> = upstreams
        .into_iter()
        .filter_map(|(name, _, is)| is.is_none().then_some(name))
        .collect();
    if gone.is_empty() {
        return changed;
    }
    let changed: HashSet<*const RouteSpec> = changed.into_iter().map(Arc::as_ptr).collect();
    let touched = |route: &&Arc<RouteSpec>| {
        let is_orphan = route.to.name().is_some_and(|name| gone.contains(name));
        is_orphan || changed.contains(&Arc::as_ptr(route))
    };
    next.routes.iter().filter(touched).collect()
}

fn leads_nowhere(spec: &Spec, route: &RouteSpec) -> bool {
    !has_its_group(spec, route) && !route.to.needs_no_group()
}

fn has_its_group(spec: &Spec, route: &RouteSpec) -> bool {
    route
        .to
        .name()
        .is_some_and(|name| spec.upstreams.contains_key(name))
}
