use std::sync::Arc;
use std::time::Duration;

use crate::store::Registry;

/// The right to submit what an outside source says, among nodes with one store. That two had it for a moment would do no
/// harm, since a change that alters nothing is none.
#[derive(Clone)]
pub(super) struct Lease {
    pub(super) registry: Arc<dyn Registry>,
    /// A node that starts again has at once what it had before.
    pub(super) node: String,
    pub(super) clock: fn() -> u64,
    pub(super) terms: Terms,
    /// Whether the registry did not say when it was asked last: that is told once.
    is_unknown: bool,
}

/// Which lease it is.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) name: &'static str,
    /// What is followed, for messages.
    pub(super) of: &'static str,
    /// After it another node takes over from one that is gone.
    pub(super) held: Duration,
}

impl Lease {
    pub(super) fn new(
        (registry, node): (Arc<dyn Registry>, String),
        clock: fn() -> u64,
        terms: Terms,
    ) -> Self {
        Self {
            registry,
            node,
            clock,
            terms,
            is_unknown: false,
        }
    }

    /// Asks for it, or for more time. None: the registry does not say.
    pub(super) async fn is_ours(&mut self) -> Option<bool> {
        let Self {
            registry,
            node,
            clock,
            terms,
            is_unknown,
        } = self.clone();
        // The registry may wait for a disk.
        let asked = tokio::task::spawn_blocking(move || {
            let lease = registry.hold(terms.name, &node, terms.held, clock());
            lease.map(|lease| lease.holder == node)
        });
        let answer = asked.await;
        self.is_unknown = !matches!(answer, Ok(Ok(_)));
        if let Ok(Err(error)) = &answer
            && !is_unknown
        {
            let of = terms.of;
            log::warn!("whether this node is to follow {of} is not known: {error}");
        }
        answer.ok()?.ok()
    }

    pub(super) async fn give_up(self) {
        let of = self.terms.of;
        let given =
            tokio::task::spawn_blocking(move || self.registry.release(self.terms.name, &self.node));
        if let Ok(Err(error)) = given.await {
            log::warn!("the lease for {of} was not given up: {error}");
        }
    }
}
