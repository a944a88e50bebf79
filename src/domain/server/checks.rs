use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How one probe went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCheck {
    /// When it ended, in milliseconds since 1970.
    pub at: u64,
    /// Whether it passed.
    pub ok: bool,
    /// How long it took, in milliseconds.
    pub duration_ms: u32,
    /// What was seen: the status, or why it failed.
    pub detail: Arc<str>,
}

/// The oldest first.
#[derive(Debug, Default)]
struct Kept(VecDeque<LastCheck>);

/// The last probes of a server. Boxed, so that what requests touch of its state stays small; nothing is kept
/// for servers without checks.
#[derive(Debug, Default)]
pub(super) struct Checks(Mutex<Option<Box<Kept>>>);

impl Checks {
    pub(super) fn last(&self) -> Option<LastCheck> {
        self.lock().as_ref()?.0.back().cloned()
    }

    /// The newest first.
    pub(super) fn all(&self) -> Vec<LastCheck> {
        let checks = self.lock();
        checks
            .iter()
            .flat_map(|all| all.0.iter().rev().cloned())
            .collect()
    }

    /// Adds one. Servers see much the same again and again: the text is kept once.
    pub(super) fn add(&self, mut check: LastCheck) {
        let mut checks = self.lock();
        let all = &mut checks.get_or_insert_default().0;
        if let Some(same) = all.iter().find(|before| before.detail == check.detail) {
            check.detail = same.detail.clone();
        }
        if all.len() >= KEPT {
            all.pop_front();
        }
        all.push_back(check);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Kept>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At 2 s between probes the last 40 s: enough to see how a server went down.
const KEPT: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_twenty_are_kept_and_equal_texts_once() {
        let checks = Checks::default();
        assert!(checks.all().is_empty());
        for at in 1..=50 {
            checks.add(LastCheck {
                at,
                ok: true,
                duration_ms: 1,
                detail: "status 200".into(),
            });
        }
        let all = checks.all();
        let times: Vec<u64> = all.iter().map(|check| check.at).collect();
        assert_eq!(times, (31..=50).rev().collect::<Vec<_>>());
        assert_eq!(checks.last().unwrap(), all[0]);
        assert!(
            all.iter()
                .all(|check| Arc::ptr_eq(&check.detail, &all[0].detail))
        );
    }
}
