use std::collections::HashSet;

use super::Mark;
use super::tree::{Content, Node};

/// The pieces of a file that could not be read. A rule about one of them would only say so again, or
/// something that is not so.
#[derive(Debug, Default)]
pub(super) struct Holes {
    /// The places of values that could not be read.
    values: HashSet<Mark>,
    /// The places of list items that were left out: those behind them have moved up.
    items: HashSet<Mark>,
}

impl Holes {
    /// The value at this place could not be read.
    pub(super) fn add(&mut self, at: Mark) {
        self.values.insert(at);
    }

    /// The list item at this place was left out.
    pub(super) fn leave_out(&mut self, at: Mark) {
        self.add(at);
        self.items.insert(at);
    }

    pub(super) fn count(&self) -> usize {
        self.values.len()
    }

    /// The place of what a pointer into what was read points at, or of the nearest thing around it.
    pub(super) fn place(&self, root: &Node, pointer: &str) -> Mark {
        self.path(root, pointer)
            .last()
            .map_or(root.at, |node| node.at)
    }

    /// Whether what the pointer points at was read, whatever is missing in it.
    pub(super) fn is_read(&self, root: &Node, pointer: &str) -> bool {
        let mut path = self.path(root, pointer);
        !path.any(|node| self.values.contains(&node.at))
    }

    /// Whether what the pointer points at was read, with all that is in it.
    pub(super) fn is_whole(&self, root: &Node, pointer: &str) -> bool {
        let depth = pointer.split('/').skip(1).count();
        let end = self.path(root, pointer).nth(depth);
        self.is_read(root, pointer) && end.is_none_or(|node| !self.are_in(node))
    }

    /// From the root to the pointer's end, or as far as the file goes.
    fn path<'a>(&'a self, root: &'a Node, pointer: &'a str) -> impl Iterator<Item = &'a Node> {
        let mut segments = pointer.split('/').skip(1);
        std::iter::successors(Some(root), move |node| self.child(node, segments.next()?))
    }

    fn child<'a>(&self, node: &'a Node, segment: &str) -> Option<&'a Node> {
        match &node.content {
            Content::Scalar { .. } => None,
            Content::List(items) => items
                .iter()
                .filter(|item| !self.items.contains(&item.at))
                .nth(segment.parse().ok()?),
            Content::Map(entries) => {
                let entry = entries.iter().find(|entry| entry.key == segment);
                entry.map(|entry| &entry.value)
            }
        }
    }

    fn are_in(&self, node: &Node) -> bool {
        let is_hole = |node: &Node| self.values.contains(&node.at) || self.are_in(node);
        match &node.content {
            Content::Scalar { .. } => false,
            Content::List(items) => items.iter().any(is_hole),
            Content::Map(entries) => entries.iter().any(|entry| is_hole(&entry.value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigErrors, read_config};

    fn errors(text: &str) -> String {
        let problems = read_config(text.as_bytes(), &|_| None).unwrap_err();
        ConfigErrors::new("f", problems).to_string()
    }

    #[test]
    fn rules_are_told_together_with_what_could_not_be_read() {
        let text = "
server: {threads: 0, shutdown_grace: long}
listeners:
  - {address: nonsense}
  - {address: '127.0.0.1:1', limits: {body_timeout: 5}}
  - {address: '127.0.0.1:1'}
control: {tokens: [{name: a}]}
upstreams:
  web: {servers: [10.0.0.1:70000, 10.0.0.2, 10.0.0.2], retry: {attempts: 0}}
routes:
  - {to: web, paths: api}
  - {to: nowhere}
  - {to: web}
";
        insta::assert_snapshot!(errors(text), @r##"
f:2:19: write `auto` or a number of threads from 1 to 512
f:2:38: `long` is not a length of time: write a whole number with ms, s, m, h or d, at most 3650d
f:4:15: `nonsense` is no address to listen on: write `ip:port`, `[v6]:port` or `unix:/path`
f:5:53: expected a length of time with its unit, such as `2s`, not integer `5`
f:6:15: `127.0.0.1:1` is taken by another listener on `127.0.0.1:1`
f:7:20: `sha256` is missing
f:9:19: `10.0.0.1:70000`: a port is a number from 1 to 65535
f:9:45: server `10.0.0.2:80` is listed twice
f:9:74: 0 attempts: write 1 (never retry) to 16
f:11:22: expected a list, not string "api"
f:12:10: `nowhere` is neither an upstream nor an address `ip:port`
f:13:5: host `*` with path `/` is already routed by `any`
"##);
    }

    #[test]
    fn no_rule_speaks_of_what_could_not_be_read() {
        let one = |text: &str| {
            let errors = errors(text);
            assert_eq!(errors.lines().count(), 1, "{errors}");
        };
        // A default in the place of what is missing would break the rule.
        one("listeners: [{address: '127.0.0.1:9900'}]\ncontrol: {address: 127.0.0.1:x}\n");
        one("upstreams: {a: {servers: [127.0.0.1:9900]}}\ncontrol: {address: 127.0.0.1:x}\n");
        one("control: {address: '0.0.0.0:9900', tokens: [{name: a}]}");
        one("upstreams: []\nroutes: [{to: web}]");
        one("upstreams: {a: {}}\nroutes: [{to: a, paths: '/a'}, {to: a}]");
        one("upstreams: {a: {servers: [{address: '${NO}'}, {address: 10.0.0.1, weight: 0}]}}");
        one("listeners: [{address: x}]");
    }
}
