use crate::change::ChangeError;
use crate::domain::rails::Rail;
use crate::spec::{Broken, Name};

/// Why a change did not happen. The state is as it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// An edit does not fit the state.
    #[error("{error}")]
    Change {
        /// Which edit of the transaction, from 0.
        index: usize,
        /// What is wrong with it.
        error: ChangeError,
    },
    /// The object changed since, in this revision.
    #[error("it changed since: revision {0} is in the way")]
    Precondition(u64),
    /// The edits were found for another state than the newest: find them again.
    #[error("the state changed meanwhile: try again")]
    Outdated,
    /// The state that it leads to breaks rules.
    #[error("{}", texts(.0.iter().map(|broken| &broken.message)))]
    Invalid(Vec<Broken>),
    /// A route leads to a group that does not exist.
    #[error(
        "route `{route}` leads to `{target}`: there is no upstream of that name, and it is no address"
    )]
    UpstreamMissing {
        /// The route.
        route: Name,
        /// Where it leads.
        target: String,
    },
    /// A route uses the group that would go.
    #[error("upstream `{upstream}` is used by route `{route}`: switch or delete the route first")]
    UpstreamInUse {
        /// The group.
        upstream: Name,
        /// The route.
        route: Name,
    },
    /// Which servers the group has is for its source to say.
    #[error(
        "the servers of upstream `{upstream}` come from {from}: change them there; here they can be drained, taken down and up"
    )]
    Sourced {
        /// The group.
        upstream: Name,
        /// Where they come from.
        from: String,
    },
    /// A rail stands in the way.
    #[error("{}", texts(.0))]
    Rails(Vec<Rail>),
    /// The store did not take it.
    #[error("the change was not stored: {0}")]
    Store(String),
    /// The store did not answer in time.
    #[error(
        "the store did not answer within 2 s; /v1/revisions will show whether the change was stored"
    )]
    StoreSilent,
    /// Too many changes wait already.
    #[error("too many changes are waiting: try again later")]
    Busy,
    /// The process is ending.
    #[error("this process is stopping and takes no more changes")]
    Stopping,
}

fn texts<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    all.into_iter()
        .map(|one| one.to_string())
        .collect::<Vec<_>>()
        .join("; ")
}
