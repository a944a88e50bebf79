use std::collections::BTreeMap;

/// What a change means for the keys of hosts, where operators keep such beside the log (`state.host_keys`). A store
/// that has none passes them over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyEdit {
    /// The host was switched: its key says where to, also if there was none.
    Set {
        /// In normal form.
        host: String,
        /// The group or address.
        value: String,
    },
    /// Its route was written anew: a key that is there says the same, and what it was switched from counts no more.
    Follow {
        /// In normal form.
        host: String,
        /// The group or address.
        value: String,
    },
    /// It has no route of its own any more, and so no key.
    Delete {
        /// In normal form.
        host: String,
    },
    /// Where it leads without its key. What is noted already stays.
    Note {
        /// In normal form.
        host: String,
        /// What is needed to go back there.
        default: String,
    },
    /// It leads there again.
    Forget {
        /// In normal form.
        host: String,
    },
}

/// What some keys of hosts hold at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostKeyTable {
    /// By what stands behind the prefix, which may be no host.
    pub keys: BTreeMap<String, HostKey>,
    /// Whether the fleet's changes write the keys with this prefix: what is not there was deleted.
    pub is_kept: bool,
}

/// One key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostKey {
    /// What it holds.
    pub value: HostKeyValue,
    /// What was noted by [`HostKeyEdit::Note`].
    pub default: Option<String>,
}

/// What a key holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HostKeyValue {
    /// There is no such key.
    #[default]
    Absent,
    /// This.
    Text(String),
    /// Something that is read by nobody, and what.
    Unreadable(String),
}
