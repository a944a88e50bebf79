//! How a group's connections are secured.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use crate::spec::TlsSpec;

/// How connections to a group's servers are secured: what is asked for, and what was made of it at
/// the border, where files are read.
///
/// A snapshot's group keeps both as long as the same is asked for, so that no other change reads a file.
#[derive(Debug, Clone)]
pub struct Tls {
    spec: Arc<TlsSpec>,
    prepared: Arc<OnceLock<Arc<dyn Any + Send + Sync>>>,
}

/// Equal where the same is asked for: what was made of that is the same too.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Eq for Tls {}

impl Tls {
    pub(super) fn carried_over(spec: Option<TlsSpec>, before: Option<&Self>) -> Option<Self> {
        let spec = spec?;
        let same = before.filter(|before| *before.spec == spec);
        Some(same.cloned().unwrap_or_else(|| Self {
            spec: Arc::new(spec),
            prepared: Arc::default(),
        }))
    }

    /// What is asked for, with the defaults of the state.
    pub fn spec(&self) -> &TlsSpec {
        &self.spec
    }

    /// What was made of it. None until a border has.
    pub fn prepared(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.prepared.get()
    }

    /// Keeps what was made of it. What is there already stays.
    pub fn prepare(&self, made: Arc<dyn Any + Send + Sync>) {
        let _first = self.prepared.set(made);
    }
}
