//! The files that groups name for TLS to their servers, read before a snapshot is published.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Refusal, StartError};
use crate::domain::snapshot::Snapshot;
use crate::domain::tls::Tls;
use crate::domain::upstream::Upstream;
use crate::ports::server_tls::{ServerTlsTable, placed};
use crate::spec::{Broken, Name, Spec};

/// For a change: refused with files that cannot be used.
pub(super) fn read(
    table: &ServerTlsTable,
    before: &Spec,
    snapshot: &Snapshot,
) -> Result<(), Refusal> {
    let changed = changed(before, snapshot.spec());
    let broken = each(snapshot, changed.as_deref(), |tls| {
        table.prepare(tls).err().unwrap_or_default()
    });
    match broken.is_empty() {
        true => Ok(()),
        false => Err(Refusal::Invalid(broken)),
    }
}

/// For the first state.
pub(super) fn read_all(table: &ServerTlsTable, snapshot: &Snapshot) -> Result<(), StartError> {
    let broken = each(snapshot, None, |tls| {
        table.prepare(tls).err().unwrap_or_default()
    });
    let texts: Vec<_> = broken.iter().map(text).collect();
    match texts.is_empty() {
        true => Ok(()),
        false => Err(StartError::Files(texts.join("; "))),
    }
}

/// For a state that is not ours to refuse.
pub(super) fn read_anyway(table: &ServerTlsTable, before: &Spec, snapshot: &Snapshot) {
    let changed = changed(before, snapshot.spec());
    for broken in each(snapshot, changed.as_deref(), |tls| {
        table.prepare_anyway(tls)
    }) {
        log::error!("revision {}: {}", snapshot.revision(), text(&broken));
    }
}

fn text(broken: &Broken) -> String {
    format!("{}: {}", broken.pointer, broken.message)
}

/// The groups that differ; none if the defaults do, which may change all.
pub(super) fn changed(before: &Spec, next: &Spec) -> Option<Vec<Name>> {
    Arc::ptr_eq(&before.defaults, &next.defaults).then(|| next.changed_upstreams(before))
}

fn each(
    snapshot: &Snapshot,
    changed: Option<&[Name]>,
    prepare: impl Fn(&Tls) -> Vec<Broken>,
) -> Vec<Broken> {
    let mut broken = Vec::new();
    // What is wrong in the defaults is wrong once.
    let mut seen = HashSet::new();
    let mut prepare = |upstream: &Arc<Upstream>| {
        let place = format!("/upstreams/{}", upstream.name());
        let own = upstream.spec().tls.as_ref();
        let found = upstream.tls().map(&prepare).unwrap_or_default();
        let placed = found.into_iter().map(|rule| placed(rule, &place, own));
        broken.extend(placed.filter(|rule| seen.insert(text(rule))));
    };
    match changed {
        Some(names) => names
            .iter()
            .filter_map(|name| snapshot.upstream(name))
            .for_each(&mut prepare),
        None => snapshot.upstreams().for_each(&mut prepare),
    }
    // These have their settings from the defaults alone.
    if snapshot.spec().defaults.tls.is_some() {
        snapshot.implicit().for_each(&mut prepare);
    }
    broken
}
