//! The stores under test.

use pointsman::store::{Opened, Registry, Store, StoreSettings, open};
use tempfile::TempDir;

use crate::support::RedisServer;

/// Where the store under test is kept; two handles share it as two processes do.
pub(crate) struct Site {
    place: Place,
    first: Opened,
}

enum Place {
    Memory,
    Sqlite(TempDir),
    Redis(RedisServer),
}

impl Site {
    pub(crate) fn memory() -> Self {
        Self {
            place: Place::Memory,
            first: open(&StoreSettings::Memory).unwrap(),
        }
    }

    pub(crate) fn sqlite() -> Self {
        Self::at(Place::Sqlite(TempDir::new().unwrap()))
    }

    pub(crate) fn redis() -> Self {
        Self::at(Place::Redis(RedisServer::start()))
    }

    fn at(place: Place) -> Self {
        let first = open(&settings(&place)).unwrap();
        Self { place, first }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.first.store
    }

    pub(crate) fn registry(&self) -> &dyn Registry {
        &*self.first.registry
    }

    pub(crate) fn another(&self) -> Opened {
        match &self.place {
            Place::Memory => self.first.clone(),
            place => open(&settings(place)).unwrap(),
        }
    }
}

fn settings(place: &Place) -> StoreSettings {
    match place {
        Place::Memory => StoreSettings::Memory,
        Place::Sqlite(directory) => StoreSettings::Sqlite(directory.path().join("state.db")),
        Place::Redis(server) => StoreSettings::Redis(Box::new(server.settings())),
    }
}
