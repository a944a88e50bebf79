use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::edge::ConnectionLimits;

/// Raises the limit on open files to what the process may have. The usual 1024 is for programs that use `select`, and
/// a proxy that runs out of descriptors accepts nobody, not even its operator. The limit from then on; none if the
/// system does not tell.
pub(super) fn raise() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft >= hard {
        return Some(soft);
    }
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => {
            log::info!("the limit on open files is now {hard} instead of {soft}");
            Some(hard)
        }
        Err(error) => {
            log::warn!("the limit on open files stays {soft}: {error}");
            Some(soft)
        }
    }
}

/// Lets clients take nine tenths of the descriptors at most, so that one that is too many gets an answer, and checks,
/// the store and the control endpoint go on.
pub(super) fn within(limits: ConnectionLimits, descriptors: Option<u64>) -> ConnectionLimits {
    let Some(descriptors) = descriptors else {
        return limits;
    };
    let most = u32::try_from(descriptors / 10 * 9).unwrap_or(u32::MAX);
    let total = match limits.total {
        Some(total) if total <= most => return limits,
        Some(total) => format!("server.max_connections is {total}"),
        None => "server.max_connections is without a limit".to_owned(),
    };
    log::warn!(
        "{total}, but the process may open {descriptors} files: {most} connections are let in at most"
    );
    ConnectionLimits {
        total: Some(most),
        ..limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_a_tenth_of_the_descriptors() {
        let limits = |total| ConnectionLimits {
            total,
            per_address: Some(7),
        };
        for (wanted, descriptors, total) in [
            (Some(50_000), Some(1024), Some(918)),
            (Some(50_000), Some(1 << 20), Some(50_000)),
            (Some(500), Some(1024), Some(500)),
            (None, Some(1024), Some(918)),
            (None, None, None),
        ] {
            assert_eq!(within(limits(wanted), descriptors), limits(total));
        }
    }
}
