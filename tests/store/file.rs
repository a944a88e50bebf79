//! State files for tests to harm.

use std::path::{Path, PathBuf};

use pointsman::store::{Opened, StoreError, StoreSettings, open};

use crate::lineage::Lineage;

pub(crate) fn sqlite(path: &Path) -> Result<Opened, StoreError> {
    open(&StoreSettings::Sqlite(path.to_owned()))
}

/// 45 revisions with checkpoints at 20 and 40, closed.
pub(crate) fn grown(directory: &Path) -> (PathBuf, Lineage) {
    let path = directory.join("state.db");
    let store = sqlite(&path).unwrap().store;
    let mut lineage = Lineage::default();
    for number in [20, 40] {
        lineage.grow(&*store, 20);
        lineage.checkpoint(&*store, number);
    }
    lineage.grow(&*store, 5);
    (path, lineage)
}
