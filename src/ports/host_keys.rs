//! What is known of the keys that hosts have in the store, for people to see.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Cheap to clone, and all clones are one.
#[derive(Clone, Debug, Default)]
pub struct HostKeyReport(Arc<Mutex<HostKeysTold>>);

/// What is known. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostKeysTold {
    /// What the keys begin with, if keys switch hosts.
    pub prefix: Option<String>,
    /// Whether this node is the one that follows them.
    pub is_followed: bool,
    /// When all of them were read last.
    pub at: u64,
    /// How many there were.
    pub count: usize,
    /// Why not all that they say is known or done.
    pub problem: Option<String>,
    /// Why changes of keys are not heard of at once.
    pub deaf: Option<String>,
    /// The keys that are not taken, and why: their hosts lead where they did.
    pub refused: BTreeMap<String, String>,
    /// How many more of those there are.
    pub refused_more: usize,
}

impl HostKeyReport {
    /// What is known now.
    pub fn told(&self) -> HostKeysTold {
        self.lock().clone()
    }

    /// Keys that are not taken.
    pub fn refused(&self) -> usize {
        let told = self.lock();
        told.refused.len() + told.refused_more
    }

    /// This node is the one that follows the keys, or is not; then what it knew counts no more.
    pub fn follow(&self, is_followed: bool) {
        let mut told = self.lock();
        if told.is_followed != is_followed {
            let prefix = told.prefix.take();
            *told = HostKeysTold {
                prefix,
                is_followed,
                ..HostKeysTold::default()
            };
        }
    }

    /// Notes something.
    pub fn note(&self, note: impl FnOnce(&mut HostKeysTold)) {
        note(&mut self.lock());
    }

    /// Notes for each of some keys whether it is taken, or why not; answers those of which that is news.
    pub fn judge<'a>(
        &self,
        keys: impl IntoIterator<Item = (&'a str, Option<String>)>,
    ) -> Vec<(String, Option<String>)> {
        let mut told = self.lock();
        let mut news = Vec::new();
        for (key, why) in keys {
            let Some(why) = why else {
                if told.refused.remove(key).is_some() {
                    news.push((key.to_owned(), None));
                }
                continue;
            };
            if told.refused.get(key) == Some(&why) {
                continue;
            }
            if told.refused.len() >= MOST && !told.refused.contains_key(key) {
                told.refused_more += 1;
                continue;
            }
            told.refused.insert(key.to_owned(), why.clone());
            news.push((key.to_owned(), Some(why)));
        }
        news
    }

    /// The same for all keys that there are: others are not remembered.
    pub fn judge_all<'a>(
        &self,
        keys: impl IntoIterator<Item = (&'a str, Option<String>)>,
    ) -> Vec<(String, Option<String>)> {
        let before = {
            let mut told = self.lock();
            told.refused_more = 0;
            std::mem::take(&mut told.refused)
        };
        let mut news = self.judge(keys);
        news.retain(|(key, why)| before.get(key) != why.as_ref());
        let after = self.told().refused;
        let gone = before.into_keys().filter(|key| !after.contains_key(key));
        news.extend(gone.map(|key| (key, None)));
        news
    }

    fn lock(&self) -> MutexGuard<'_, HostKeysTold> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Others write keys and values: they get no line of their own in a log or on a terminal.
pub fn plain(text: &str) -> String {
    let plain = |letter: char| match letter.is_control() {
        true => '\u{fffd}',
        false => letter,
    };
    text.chars().map(plain).collect()
}

/// Keys that are remembered by name.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_already_is_no_news() {
        let report = HostKeyReport::default();
        let no = |why: &str| Some(why.to_owned());
        assert_eq!(report.judge([("a", no("x")), ("b", None)]).len(), 1);
        assert_eq!(report.judge([("a", no("x"))]), []);
        assert_eq!(
            report.judge_all([("c", no("y")), ("d", None)]),
            [("c".into(), no("y")), ("a".into(), None)]
        );
        assert_eq!(report.judge_all([("c", no("y"))]), []);
        assert_eq!(report.judge([("c", None)]), [("c".into(), None)]);
        let many: Vec<String> = (0..1500).map(|n| n.to_string()).collect();
        report.judge_all(many.iter().map(|key| (key.as_str(), no("z"))));
        assert_eq!(
            (report.refused(), report.told().refused.len()),
            (1500, MOST)
        );
    }
}
