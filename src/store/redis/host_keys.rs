//! The keys of hosts that operators write with `redis-cli SET`: read without trust, and followed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::redis::cmd;

use super::connection::{STEP, Session};
use super::fault::Fault;
use super::tracking::Tracking;
use super::{Redis, WHOLE, read, script};
use crate::store::{HostKey, HostKeyEdit, HostKeyTable, HostKeyValue, StoreError};

/// The keys with one prefix. What stands behind it is a host.
#[derive(Clone)]
pub struct HostKeys {
    redis: Arc<Redis>,
    prefix: String,
}

impl HostKeys {
    /// `prefix` may be empty: then every key of the database may be one, but those that begin with `{`, as ours.
    pub fn new(redis: Arc<Redis>, prefix: &str) -> Self {
        Self {
            redis,
            prefix: prefix.to_owned(),
        }
    }

    /// What the keys begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Every key that there is, and every host with a default.
    pub fn all(&self) -> Result<HostKeyTable, StoreError> {
        self.redis.call(WHOLE, |session| {
            let mut names = self.scan(session)?;
            let mut command = cmd("HKEYS");
            command.arg(self.redis.keys.defaults());
            let defaults: Vec<String> = read(&session.ask(&command)?, "the defaults of hosts")?;
            names.extend(defaults);
            let names: Vec<String> = names.into_iter().collect();
            self.values(session, &names)
        })
    }

    /// The keys of these hosts, whether they are there or not.
    pub fn some(&self, hosts: &[String]) -> Result<HostKeyTable, StoreError> {
        self.redis.call(STEP, |session| self.values(session, hosts))
    }

    /// From now on the fleet's changes write these keys. `hosts` are those that are switched in revision `number`. False: that
    /// is not the newest.
    pub fn adopt(&self, number: u64, hosts: &[(String, String)]) -> Result<bool, StoreError> {
        let places = [self.redis.keys.head(), self.redis.keys.defaults()];
        let mut command = script(include_str!("adopt_hosts.lua"), &places);
        command.arg(number).arg(&self.prefix);
        for (host, value) in hosts {
            command.arg(host).arg(value);
        }
        self.redis.call(STEP, |session| {
            let answer: Vec<String> = read(&session.ask(&command)?, "the answer to an adoption")?;
            Ok(answer.first().is_some_and(|said| said == "ok"))
        })
    }

    /// Listens for changes, on a thread of its own.
    pub fn track(&self) -> std::io::Result<Tracking> {
        Tracking::begin(self.redis.clone(), self.prefix.clone())
    }

    /// What stands behind the prefix, of every key that there was from beginning to end.
    fn scan(&self, session: &mut Session<'_>) -> Result<BTreeSet<String>, Fault> {
        let mut names = BTreeSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut command = cmd("SCAN");
            command.arg(&cursor);
            if !self.prefix.is_empty() {
                command.arg("MATCH").arg(format!("{}*", self.prefix));
            }
            command.arg("COUNT").arg(PAGE);
            let (next, keys): (String, Vec<Vec<u8>>) = read(&session.ask(&command)?, "a scan")?;
            names.extend(keys.iter().filter_map(|key| name_of(&self.prefix, key)));
            if names.len() > MOST {
                let prefix = self.prefix.clone();
                return Err(Fault::Store(StoreError::TooManyKeys { prefix, most: MOST }));
            }
            if next == "0" {
                return Ok(names);
            }
            cursor = next;
        }
    }

    fn values(&self, session: &mut Session<'_>, names: &[String]) -> Result<HostKeyTable, Fault> {
        let mut table = HostKeyTable {
            keys: BTreeMap::new(),
            is_kept: true,
        };
        // At least once, for what the head says.
        let parts = names
            .chunks(VALUES)
            .chain(names.is_empty().then_some(names));
        for names in parts {
            let mut places = vec![self.redis.keys.head(), self.redis.keys.defaults()];
            places.extend(names.iter().map(|name| format!("{}{name}", self.prefix)));
            let mut command = script(include_str!("read_hosts.lua"), &places);
            command.arg(LONGEST).arg(names);
            let answer: Vec<Vec<u8>> = read(&session.ask(&command)?, "keys of hosts")?;
            let mut answer = answer.into_iter();
            if answer.next().is_none_or(|number| number.is_empty()) {
                // Without its log it is not known whose it is, nor what it lost.
                return Err(Fault::Damaged("there is no log".into()));
            }
            table.is_kept &= marked(&answer.next().unwrap_or_default()) == Some(&self.prefix);
            for name in names {
                let value = value(&answer.next().unwrap_or_default());
                let default = answer.next().unwrap_or_default();
                let default = marked(&default).map(str::to_owned);
                table.keys.insert(name.clone(), HostKey { value, default });
            }
        }
        Ok(table)
    }
}

/// Keys that one step of a scan looks at, about.
const PAGE: usize = 1000;
/// Keys that are read in one step: Redis serves nobody else meanwhile.
const VALUES: usize = 500;
/// The last byte that is read of a value, and of a name. The longest target, a group's name or the path of a socket, is
/// shorter, and so is the longest host.
const LONGEST: usize = 512;
/// Keys of hosts that one fleet may have.
const MOST: usize = 100_000;

/// What stands behind the prefix, if the key is not one of ours or of another fleet's, and not far from being a host.
pub(super) fn name_of(prefix: &str, key: &[u8]) -> Option<String> {
    let name = key.strip_prefix(prefix.as_bytes())?;
    // No host has a brace.
    let is_log = prefix.is_empty() && key.starts_with(b"{");
    let name = std::str::from_utf8(name).ok();
    let name = name.filter(|name| !is_log && name.len() <= LONGEST)?;
    Some(name.to_owned())
}

fn marked(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text.strip_prefix(b"=")?).ok()
}

fn value(answer: &[u8]) -> HostKeyValue {
    let Some(text) = answer.strip_prefix(b"=") else {
        let kind = String::from_utf8_lossy(answer);
        return match &*kind {
            "none" => HostKeyValue::Absent,
            kind => HostKeyValue::Unreadable(format!("a {kind}, where a string is expected")),
        };
    };
    if text.len() > LONGEST {
        return HostKeyValue::Unreadable(format!("more than {LONGEST} bytes"));
    }
    match std::str::from_utf8(text) {
        Ok(text) => HostKeyValue::Text(text.to_owned()),
        Err(_) => HostKeyValue::Unreadable("bytes that are no text in UTF-8".into()),
    }
}

/// An edit as the script takes it.
pub(super) fn words(edit: &HostKeyEdit) -> [&str; 3] {
    match edit {
        HostKeyEdit::Set { host, value } => ["set", host, value],
        HostKeyEdit::Follow { host, value } => ["follow", host, value],
        HostKeyEdit::Delete { host } => ["delete", host, ""],
        HostKeyEdit::Note { host, default } => ["note", host, default],
        HostKeyEdit::Forget { host } => ["forget", host, ""],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_log_are_no_hosts() {
        let name = |prefix, key: &str| name_of(prefix, key.as_bytes());
        assert_eq!(name("", "{pointsman}:head"), None);
        assert_eq!(name("", "a.example"), Some("a.example".into()));
        assert_eq!(name("h:", "h:a"), Some("a".into()));
        assert_eq!(name("h:", "a"), None);
        assert_eq!(name("", &"a".repeat(513)), None);
        assert_eq!(name_of("", b"\xff"), None);
    }

    #[test]
    fn what_a_key_holds_is_read_up_to_a_length() {
        assert_eq!(value(b"none"), HostKeyValue::Absent);
        assert_eq!(value(b"=green"), HostKeyValue::Text("green".into()));
        assert_eq!(value(b"="), HostKeyValue::Text(String::new()));
        for bad in [&b"list"[..], b"=\xff", &[b'='; 514]] {
            assert!(matches!(value(bad), HostKeyValue::Unreadable(_)));
        }
    }
}
