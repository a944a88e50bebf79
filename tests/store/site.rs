//! The stores under test.

use pointsman::store::{Opened, Registry, Store, StoreSettings, open};
use tempfile::TempDir;

/// Where the store under test is kept; two handles share it as two processes do.
pub(crate) struct Site {
    directory: Option<TempDir>,
    first: Opened,
}

impl Site {
    pub(crate) fn memory() -> Self {
        Self {
            directory: None,
            first: open(&StoreSettings::Memory).unwrap(),
        }
    }

    pub(crate) fn sqlite() -> Self {
        let directory = TempDir::new().unwrap();
        let first = open(&StoreSettings::Sqlite(directory.path().join("state.db"))).unwrap();
        Self {
            directory: Some(directory),
            first,
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.first.store
    }

    pub(crate) fn registry(&self) -> &dyn Registry {
        &*self.first.registry
    }

    pub(crate) fn another(&self) -> Opened {
        match &self.directory {
            None => self.first.clone(),
            Some(directory) => {
                open(&StoreSettings::Sqlite(directory.path().join("state.db"))).unwrap()
            }
        }
    }
}
