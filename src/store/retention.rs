use crate::spec::Span;

/// How much history is kept: at least `revisions` many and everything younger than `age`, but at
/// most `size` large.
///
/// Any revision that is kept can be restored, so the checkpoint below the oldest one stays too,
/// with the revisions between. Two checkpoints stay in any case: when one is damaged, a start uses
/// the other; so a `size` below two checkpoints is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// At least so many of the newest.
    pub revisions: u64,
    /// At least those that are younger.
    pub age: Span,
    /// Revisions and checkpoints together, in bytes of JSON.
    pub size: u64,
}

/// A place from which a state can be built, as far as pruning looks at it: a complete checkpoint,
/// or the empty state (all zero) while revision 1 is still there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    pub(super) number: u64,
    /// Its own size in bytes.
    pub(super) bytes: u64,
    /// Bytes of all revisions up to it, since the first.
    pub(super) total: u64,
}

impl History {
    /// The oldest revision time that is kept for its age.
    pub(super) fn cutoff(&self, now: u64) -> u64 {
        let age = u64::try_from(self.age.duration().as_millis()).unwrap_or(u64::MAX);
        now.saturating_sub(age)
    }

    /// The mark that becomes the oldest: everything before its number goes. `None`: nothing goes.
    /// `marks` oldest first; `newest` and `total` are the log's; `young` is the first revision
    /// that is kept for its age.
    pub(super) fn floor(
        &self,
        marks: &[Mark],
        newest: u64,
        total: u64,
        young: Option<u64>,
    ) -> Option<u64> {
        let last_allowed = marks.iter().rev().nth(1)?.number;
        let by_count = newest.saturating_add(1).saturating_sub(self.revisions);
        let wanted = by_count.min(young.unwrap_or(u64::MAX));
        let for_history = marks.iter().rev().find(|mark| mark.number <= wanted);
        let for_size = marks
            .iter()
            .enumerate()
            .find(|(place, mark)| {
                let checkpoints: u64 = marks.iter().skip(*place).map(|mark| mark.bytes).sum();
                total.saturating_sub(mark.total).saturating_add(checkpoints) <= self.size
            })
            .map_or(last_allowed, |(_, mark)| mark.number);
        let floor = for_history.map_or(0, |mark| mark.number).max(for_size);
        Some(floor.min(last_allowed))
    }
}

/// What a start would have to replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Revisions since the newest checkpoint.
    pub revisions: u64,
    /// Their JSON bytes.
    pub bytes: u64,
    /// The newest checkpoint's JSON bytes; 0 without one.
    pub checkpoint: u64,
}

impl Backlog {
    /// Whether it is time for a checkpoint.
    pub fn is_due(&self) -> bool {
        checkpoint_due(self.revisions, self.bytes, self.checkpoint)
    }
}

/// Whether it is time for a checkpoint, given the revisions and bytes since the last one and its size.
///
/// As soon as the log since then is as large as the checkpoint: each byte of log then pays for at
/// most one byte of checkpoint, and a start reads at most twice the state. Not below 1 MiB, which
/// is replayed in some 30 ms, so that a small state does not write one after each change. And after
/// 2,000 revisions, however large the state is, since an edit that looks through all routes costs
/// more there: most replay in 10 us, the switch of a host among 10,000 routes in 250 us. With
/// 100,000 servers (8.5 MB) that is 4 KB of checkpoint for each revision, written by another thread.
pub fn checkpoint_due(revisions: u64, bytes: u64, last_checkpoint: u64) -> bool {
    bytes >= last_checkpoint.max(LOG_ALWAYS_FINE) || revisions >= REPLAY_LIMIT
}

const LOG_ALWAYS_FINE: u64 = 1 << 20;
const REPLAY_LIMIT: u64 = 2000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn history(revisions: u64, size: u64) -> History {
        History {
            revisions,
            age: Span::from_secs(0),
            size,
        }
    }

    fn mark(number: u64) -> Mark {
        Mark {
            number,
            bytes: 100,
            total: number * 10,
        }
    }

    #[test]
    fn the_checkpoint_below_the_oldest_kept_revision_stays() {
        let marks = [20, 40, 60].map(mark);
        let floor = |keep: History, young| keep.floor(&marks, 65, 650, young);
        assert_eq!(floor(history(10, 1 << 30), None), Some(40));
        assert_eq!(floor(history(26, 1 << 30), None), Some(40));
        assert_eq!(floor(history(27, 1 << 30), None), Some(20));
        assert_eq!(floor(history(10, 1 << 30), Some(30)), Some(20));
    }

    #[test]
    fn a_size_that_is_exceeded_takes_the_oldest_but_never_the_last_two_checkpoints() {
        let marks = [20, 40, 60].map(mark);
        let floor = |size| history(1000, size).floor(&marks, 65, 650, None);
        assert_eq!(floor(300 + 450), Some(20));
        assert_eq!(floor(300 + 449), Some(40));
        assert_eq!(floor(0), Some(40));
        assert_eq!(history(0, 0).floor(&marks[..1], 65, 650, None), None);
    }

    proptest! {
        #[test]
        fn what_must_be_kept_is_never_below_the_floor(
            numbers in proptest::collection::btree_set(1u64..1000, 0..10),
            revisions in 0u64..1000,
            young in proptest::option::of(1u64..1000),
        ) {
            let mut marks = vec![Mark::default()];
            marks.extend(numbers.iter().copied().map(mark));
            if let Some(floor) = history(revisions, u64::MAX).floor(&marks, 1000, 10_000, young) {
                prop_assert!(floor <= 1001 - revisions.min(1000));
                prop_assert!(young.is_none_or(|young| floor <= young));
            }
        }

        #[test]
        fn a_checkpoint_is_due_before_the_log_outgrows_it(bytes in 0u64..1 << 40, last in 0u64..1 << 40) {
            prop_assert_eq!(checkpoint_due(0, bytes, last), bytes >= last && bytes >= 1 << 20);
            prop_assert!(checkpoint_due(2000, bytes, last));
        }
    }
}
