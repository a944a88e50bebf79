use std::path::PathBuf;

/// Why the store did not do it, and what the operator can do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another writer was first.
    #[error("another change was stored first: the newest revision is {newest:?}")]
    Conflict {
        /// The newest stored revision; `None` when the store is empty.
        newest: Option<u64>,
    },
    /// The revision does not descend from the newest stored one.
    #[error("revision {number} does not follow the stored history: {why}")]
    Diverged {
        /// The revision's number.
        number: u64,
        /// What does not fit.
        why: String,
    },
    /// The revision's text could not be read back: an error of ours.
    #[error(
        "revision {number} was not stored, since it could not be read again ({why}); this is an error in pointsman: please report it"
    )]
    Unreadable {
        /// The revision's number.
        number: u64,
        /// What could not be read.
        why: String,
    },
    /// A reader is further behind than the history goes back.
    #[error("the revisions after {after} are no longer kept: read the whole state instead")]
    Pruned {
        /// The revision that the reader has.
        after: u64,
    },
    /// Another process's start cleared away the half-written checkpoint.
    #[error("a checkpoint was cleared away while it was written; the next one will do")]
    Interrupted,
    /// The directory is not there, and neither is the one above.
    #[error(
        "the state directory {} does not exist: create it (`mkdir -p {0}`) for the user that runs pointsman, or set `state.store` to another place", .directory.display()
    )]
    NoDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// Something else stands where the directory or the file should be.
    #[error("{} is not a {wanted}: move it away, or set `state.store` to another place", .path.display())]
    NotA {
        /// What is there.
        path: PathBuf,
        /// `directory` or `regular file`.
        wanted: &'static str,
    },
    /// Links are not followed: whoever can place one would choose what is overwritten.
    #[error("{} is a symbolic link: set `state.store` to the file that it leads to", .path.display())]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// Missing permissions, or a read-only file system.
    #[error(
        "{} cannot be written ({reason}): give the user that runs pointsman write access to it and to its directory, or set `state.store` to another place", .path.display()
    )]
    NotWritable {
        /// The file or the directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// No database, or another program's.
    #[error("{} is not a pointsman state file ({reason}): set `state.store` to another place; it was not touched", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The content contradicts itself.
    #[error(
        "the state file {} is damaged ({reason}): it was left as it is. Restore it from a backup; or move it away, with its -wal and -shm files, to start anew from the configuration file", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Written by a newer version.
    #[error(
        "the state file {} has format {found}, this version knows {known} at most: start the newer pointsman that wrote it, or restore the copy made before the upgrade", .path.display()
    )]
    FutureVersion {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// Somebody else holds the file for longer than we wait.
    #[error(
        "the state file {} is locked by another program (a backup, a database shell; `fuser -v` on it shows which): end that and try again", .path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// No space.
    #[error("no space left for the state file {}: make room and try again; what was stored is safe", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file is no longer the one that was opened.
    #[error("the state file {} was moved, deleted or replaced while in use: put it back, or restart pointsman", .path.display())]
    Moved {
        /// Where it was.
        path: PathBuf,
    },
    /// Any other failure of the system.
    #[error("the state file {}: {reason}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Nobody answers there, or not in time.
    #[error("the store {place} does not answer ({reason})")]
    Unreachable {
        /// The store.
        place: String,
        /// What the system said.
        reason: String,
    },
    /// It answers, but does not do it: read-only, out of memory, loading, no permission.
    #[error("the store {place} refuses: {reason}")]
    NotTaken {
        /// The store.
        place: String,
        /// What it said.
        reason: String,
    },
    /// What is stored there contradicts itself.
    #[error("the store {place} is damaged ({reason})")]
    Contradiction {
        /// The store.
        place: String,
        /// What was found.
        reason: String,
    },
    /// The state that is stored there is not the one that this node knows.
    #[error(
        "the store {place} belongs to another fleet ({found}, this node's is {ours}): set `state.store` to this node's, or delete its `state.local_copy` to join the other"
    )]
    OtherFleet {
        /// The store.
        place: String,
        /// Whose it is.
        found: String,
        /// Whose this node is.
        ours: String,
    },
    /// Not only the keys of hosts begin so.
    #[error(
        "more than {most} keys begin with `{prefix}`: give `state.host_keys` a prefix that hosts' keys alone begin with"
    )]
    TooManyKeys {
        /// The prefix.
        prefix: String,
        /// How many may.
        most: usize,
    },
    /// The node's own copy cannot be used.
    #[error("the local copy (`state.local_copy`): {0}")]
    LocalCopy(Box<StoreError>),
    /// A first start needs the store.
    #[error(
        "{0}, and there is no local copy yet (`state.local_copy`): a first start needs the store"
    )]
    NoCopy(Box<StoreError>),
}

impl StoreError {
    /// Whether it says that what is stored is not what this node's state leads to.
    pub fn is_divergence(&self) -> bool {
        matches!(
            self,
            Self::Diverged { .. }
                | Self::Pruned { .. }
                | Self::OtherFleet { .. }
                | Self::Contradiction { .. }
        )
    }
}
