use std::sync::atomic::Ordering;

use super::writer::Writer;
use crate::clock;

impl Writer {
    /// Writes a checkpoint on a thread of its own: changes go on meanwhile.
    pub(super) fn save_checkpoint_if_due(&self) {
        let is_due = self.store.backlog().is_ok_and(|backlog| backlog.is_due());
        if !is_due || self.is_saving.swap(true, Ordering::AcqRel) {
            return;
        }
        let (store, base, history) = (self.store.clone(), self.base.clone(), self.history);
        let is_saving = self.is_saving.clone();
        let save = move || {
            let snapshot = &base.snapshot;
            let saved = store.checkpoint(snapshot.revision(), base.digest, snapshot.spec());
            if let Err(error) = saved.and_then(|()| store.prune(&history, clock::unix_ms())) {
                log::warn!(
                    "the checkpoint of revision {} was not written: {error}",
                    snapshot.revision()
                );
            }
            is_saving.store(false, Ordering::Release);
        };
        if let Err(error) = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(save)
        {
            log::warn!("no thread for a checkpoint: {error}");
            self.is_saving.store(false, Ordering::Release);
        }
    }
}
