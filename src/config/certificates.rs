//! The files that listeners' `tls` and groups' `tls` and `sticky` name: read here as they are at the start, so that `check` says what is wrong
//! with them.

use super::Config;
use crate::edge::tls::{self, TlsProblem};
use crate::ports::secret;
use crate::ports::server_tls::{self, placed};
use crate::spec::{Broken, Spec, TlsSpec, UpstreamSpec};

/// What is wrong with the files, and what only deserves a warning; pointers begin at the top of the file.
pub(super) fn examine(config: &Config) -> (Vec<Broken>, Vec<Broken>) {
    let (mut wrong, mut warnings) = (Vec::new(), Vec::new());
    for (index, listener) in config.listeners.iter().enumerate() {
        let Some(files) = &listener.tls else { continue };
        let place = format!("/listeners/{index}/tls");
        if files.certificates.is_empty() {
            let message = "no certificate: name at least one pair of `cert` and `key`";
            wrong.push(Broken::new(format!("{place}/certificates"), message));
        }
        let at =
            |TlsProblem { pointer, message }| Broken::new(format!("{place}{pointer}"), message);
        let (broken, doubtful) = tls::check(files);
        wrong.extend(broken.into_iter().map(at));
        warnings.extend(doubtful.into_iter().map(at));
    }
    wrong.extend(of_servers(&config.seed));
    wrong.extend(secrets(&config.seed));
    (wrong, warnings)
}

/// What is wrong with the files that groups name, for connections to their servers.
fn of_servers(seed: &Spec) -> Vec<Broken> {
    let mut wrong = Vec::new();
    let mut look = |upstream: &UpstreamSpec, place: &str, own: Option<&TlsSpec>| {
        let found = upstream.tls.iter().flat_map(server_tls::check);
        for broken in found.map(|broken| placed(broken, place, own)) {
            // What is wrong in the defaults is wrong once.
            if !wrong.contains(&broken) {
                wrong.push(broken);
            }
        }
    };
    look(&seed.defaults, "/defaults", seed.defaults.tls.as_ref());
    for (name, upstream) in seed.upstreams.iter() {
        // One that says nothing has what the defaults have.
        if let Some(own) = &upstream.tls {
            let place = format!("/upstreams/{name}");
            look(&upstream.or(&seed.defaults), &place, Some(own));
        }
    }
    wrong
}

/// What is wrong with the secrets that groups name, for the cookies of their clients.
fn secrets(seed: &Spec) -> Vec<Broken> {
    let look = |upstream: &UpstreamSpec, place: &str| {
        let broken = secret::of_sticky(upstream.sticky.as_ref()?).err()?;
        Some(broken.below(&format!("{place}/sticky")))
    };
    let groups = seed.upstreams.iter();
    let of_groups = groups.filter_map(|(name, group)| look(group, &format!("/upstreams/{name}")));
    look(&seed.defaults, "/defaults")
        .into_iter()
        .chain(of_groups)
        .collect()
}
