use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::holes::Holes;
use super::tree::{Content, Node};
use super::{Mark, Problem};
use crate::spec::explain;

/// Reads pieces of the tree into their types and collects what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Reader {
    problems: Vec<Problem>,
    pub(super) holes: Holes,
}

/// More problems than anyone reads at once; the rest shows after the first are fixed.
const MOST_PROBLEMS: usize = 100;

impl Reader {
    /// Adds a problem.
    pub(super) fn note(&mut self, at: Mark, message: impl Into<String>) {
        if self.problems.len() < MOST_PROBLEMS {
            let message = message.into();
            self.problems.push(Problem { at, message });
        }
    }

    /// Adds a problem that leaves the value at this place unread.
    pub(super) fn note_hole(&mut self, at: Mark, message: impl Into<String>) {
        self.holes.add(at);
        self.note(at, message);
    }

    /// Whether this is a mapping; else that is noted. serde would take a list for the values of a
    /// mapping, in the order of its fields.
    pub(super) fn is_map(&mut self, node: &Node, name: &str) -> bool {
        let found = match &node.content {
            Content::Map(_) => return true,
            Content::List(_) => "a list",
            Content::Scalar { .. } if node.is_null() => "nothing",
            Content::Scalar { .. } => "a single value",
        };
        self.note_hole(
            node.at,
            format!("`{name}` is a mapping of keys to values, not {found}"),
        );
        false
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Reads the node found at `place`. Each thing in it that does not fit is noted, taken out, and
    /// the rest tried again, so that all are found at once. Nothing if what is left says too little.
    pub(super) fn read<T: DeserializeOwned>(&mut self, place: &[&str], node: &Node) -> Option<T> {
        let mut node = Cow::Borrowed(node);
        loop {
            let error = match serde_path_to_error::deserialize::<_, T>(node.value()) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let path = steps(error.path());
            let full = self.problems.len() >= MOST_PROBLEMS;
            if full || !self.take_out(node.to_mut(), place, &path, &error.inner().to_string()) {
                self.holes.add(node.at);
                return None;
            }
        }
    }

    /// Notes what an error says about `root` and takes its cause out. False if that leaves nothing.
    fn take_out(
        &mut self,
        root: &mut Node,
        place: &[&str],
        path: &[String],
        message: &str,
    ) -> bool {
        let whole: Vec<&str> = place
            .iter()
            .copied()
            .chain(path.iter().map(String::as_str))
            .collect();
        let text = explain(&whole, message);
        if message.starts_with("missing field") {
            let (at, pruned) = find(root, path).map_or((root.at, false), |n| (n.at, n.pruned));
            // What is missing may well be what was taken out.
            if !pruned {
                self.note(at, text);
            }
            let removed = remove(root, path);
            self.leave_out(&removed);
            return removed.is_some();
        }
        let unknown_key = message.starts_with("unknown field");
        let removed = remove(root, path);
        if !unknown_key {
            self.leave_out(&removed);
        }
        match removed {
            Some(removed) if unknown_key => {
                self.note(removed.key, text);
                true
            }
            Some(removed) => {
                if !removed.is_noted {
                    self.note(removed.value, text);
                }
                true
            }
            None => {
                self.note_hole(root.at, text);
                false
            }
        }
    }

    fn leave_out(&mut self, removed: &Option<Removed>) {
        match removed {
            Some(removed) if removed.is_item => self.holes.leave_out(removed.value),
            Some(removed) => self.holes.add(removed.value),
            None => {}
        }
    }
}

struct Removed {
    key: Mark,
    value: Mark,
    /// Whether it has a problem already.
    is_noted: bool,
    /// Whether it was an item of a list.
    is_item: bool,
}

fn find<'a>(node: &'a Node, path: &[String]) -> Option<&'a Node> {
    let Some((step, rest)) = path.split_first() else {
        return Some(node);
    };
    let child = match &node.content {
        Content::Scalar { .. } => None,
        Content::List(items) => items.get(step.parse::<usize>().ok()?),
        Content::Map(entries) => entries
            .iter()
            .find(|entry| entry.key == *step)
            .map(|entry| &entry.value),
    };
    find(child?, rest)
}

/// Takes out what the path leads to; nothing if it leads nowhere or is empty.
fn remove(node: &mut Node, path: &[String]) -> Option<Removed> {
    let (step, rest) = path.split_first()?;
    let last = rest.is_empty();
    match &mut node.content {
        Content::Scalar { .. } => None,
        Content::List(items) => {
            let index = step.parse::<usize>().ok()?;
            let item = items.get_mut(index)?;
            if !last {
                return remove(item, rest);
            }
            let item = items.remove(index);
            node.pruned = true;
            Some(removed(item.at, &item, true))
        }
        Content::Map(entries) => {
            let index = entries.iter().position(|entry| entry.key == *step)?;
            let entry = entries.get_mut(index)?;
            if !last {
                return remove(&mut entry.value, rest);
            }
            let entry = entries.remove(index);
            node.pruned = true;
            Some(removed(entry.at, &entry.value, false))
        }
    }
}

fn removed(key: Mark, value: &Node, is_item: bool) -> Removed {
    let is_noted = value.pruned && matches!(value.content, Content::Scalar { .. });
    Removed {
        key,
        value: value.at,
        is_noted,
        is_item,
    }
}

fn steps(path: &serde_path_to_error::Path) -> Vec<String> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}
