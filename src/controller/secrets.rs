//! The secrets that groups sign their cookies with, read before a snapshot is published.

use super::tls::changed;
use super::{Refusal, StartError};
use crate::domain::snapshot::Snapshot;
use crate::domain::upstream::Upstream;
use crate::ports::secret;
use crate::spec::{Broken, Spec};

/// For a change: refused with a file that is no secret.
pub(super) fn read(before: &Spec, snapshot: &Snapshot) -> Result<(), Refusal> {
    let broken = each(Some(before), snapshot);
    match broken.is_empty() {
        true => Ok(()),
        false => Err(Refusal::Invalid(broken)),
    }
}

/// For the first state.
pub(super) fn read_all(snapshot: &Snapshot) -> Result<(), StartError> {
    match texts(&each(None, snapshot)) {
        none if none.is_empty() => Ok(()),
        texts => Err(StartError::Files(texts.join("; "))),
    }
}

/// For a state that is not ours to refuse: where the secret is missing, no client is bound.
pub(super) fn read_anyway(before: &Spec, snapshot: &Snapshot) {
    for text in texts(&each(Some(before), snapshot)) {
        log::error!("revision {}: {text}", snapshot.revision());
    }
}

fn each(before: Option<&Spec>, snapshot: &Snapshot) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut read = |upstream: &Upstream| {
        let Some(sticky) = upstream.sticky() else {
            return;
        };
        if sticky.is_prepared() {
            return;
        }
        match secret::of_sticky(sticky.spec()) {
            Ok(secret) => upstream.prepare_sticky(&secret),
            Err(rule) => {
                let place = format!("/upstreams/{}", upstream.name());
                let rule = secret::placed(rule, &place, upstream.spec().sticky.as_ref());
                // What is wrong in the defaults is wrong once.
                if !broken.contains(&rule) {
                    broken.push(rule);
                }
            }
        }
    };
    match before.and_then(|before| changed(before, snapshot.spec())) {
        Some(names) => {
            let upstreams = names.iter().filter_map(|name| snapshot.upstream(name));
            upstreams.for_each(|upstream| read(upstream));
        }
        None => snapshot.upstreams().for_each(|upstream| read(upstream)),
    }
    broken
}

fn texts(broken: &[Broken]) -> Vec<String> {
    let text = |broken: &Broken| format!("{}: {}", broken.pointer, broken.message);
    broken.iter().map(text).collect()
}
