//! The files that listeners' `tls` names: read here as they are at the start, so that `check` says what is wrong with them.

use super::Config;
use crate::edge::tls::{self, TlsProblem};
use crate::spec::Broken;

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
    (wrong, warnings)
}
