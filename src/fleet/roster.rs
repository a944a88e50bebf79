use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::spec::{Address, Name};
use crate::store::NodeRecord;

/// The nodes on record at one moment, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// The newest revision that a live node serves.
    pub newest: u64,
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it wrote.
    pub record: NodeRecord,
    /// How it does.
    pub state: NodeState,
    /// How many revisions it is behind the newest that a live node serves.
    pub lag: u64,
    /// How long ago it wrote, by the store's clock.
    pub contact: Duration,
    /// How far its clock is before (or, negative, behind) the store's, in milliseconds; the way to the store, some
    /// milliseconds at most, counts as behind.
    pub clock_ms: i64,
}

/// How a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// It wrote lately, and serves the newest revision or one of the last two seconds.
    Live,
    /// It wrote lately, and serves what is older.
    Behind,
    /// It serves another state than the store leads to.
    Diverged,
    /// It has not written for some seconds.
    Lost,
    /// It ended as it was told to.
    Left,
}

impl NodeState {
    /// Each of them.
    pub const ALL: [Self; 5] = [
        Self::Live,
        Self::Behind,
        Self::Diverged,
        Self::Lost,
        Self::Left,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Behind => "behind",
            Self::Diverged => "diverged",
            Self::Lost => "lost",
            Self::Left => "left",
        }
    }

    /// Whether it serves requests, as far as one can know.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Live | Self::Behind | Self::Diverged)
    }
}

/// A server that some nodes see down and others do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// Its group.
    pub upstream: Name,
    /// Its address.
    pub server: Address,
    /// The nodes whose checks say `down`.
    pub down_on: Vec<String>,
    /// The nodes whose checks do not.
    pub not_down_on: Vec<String>,
}

impl Roster {
    /// The live nodes that do not serve this revision or a later one, but for `own`.
    pub fn missing(&self, revision: u64, own: &str) -> Vec<String> {
        let missing = |node: &&Node| {
            let serves = node.record.applied >= revision && !node.record.is_diverged;
            node.state.is_live() && !serves && node.record.id != own
        };
        let nodes = self.nodes.iter().filter(missing);
        nodes.map(|node| node.record.id.clone()).collect()
    }

    /// Where the checks of live nodes come to different verdicts. A node whose checks have no verdict yet, or that had
    /// too many to tell, has no say about the server.
    pub fn disagreements(&self) -> Vec<Disagreement> {
        let live: Vec<&NodeRecord> = self
            .nodes
            .iter()
            .filter(|node| node.state.is_live())
            .map(|node| &node.record)
            .collect();
        let mut down: BTreeMap<(&Name, &Address), BTreeSet<&str>> = BTreeMap::new();
        let mut told: BTreeMap<(&Name, &Address), BTreeSet<&str>> = BTreeMap::new();
        for record in &live {
            for seen in &record.not_up {
                let server = (&seen.upstream, &seen.address);
                told.entry(server).or_default().insert(&record.id);
                if seen.health == "down" {
                    down.entry(server).or_default().insert(&record.id);
                }
            }
        }
        let differs = |(server, down_on): (_, BTreeSet<&str>)| {
            let told = told.get(&server);
            let says_up = |record: &&&NodeRecord| {
                let is_told = told.is_some_and(|nodes| nodes.contains(&*record.id));
                !is_told && record.not_up_more == 0
            };
            let others = live.iter().filter(says_up);
            let not_down_on: Vec<String> = others.map(|record| record.id.clone()).collect();
            let (upstream, server) = server;
            (!not_down_on.is_empty()).then(|| Disagreement {
                upstream: upstream.clone(),
                server: server.clone(),
                down_on: down_on.into_iter().map(str::to_owned).collect(),
                not_down_on,
            })
        };
        down.into_iter().filter_map(differs).collect()
    }
}

impl Disagreement {
    /// In words, as `own` would say it.
    pub fn told_by(&self, own: &str) -> String {
        let named = |nodes: &[String]| nodes.join(", ");
        let (upstream, server) = (&self.upstream, &self.server);
        match self.down_on.as_slice() {
            [only] if only == own => format!(
                "upstream `{upstream}`: only this node sees `{server}` down; {} does not",
                named(&self.not_down_on)
            ),
            down_on => format!(
                "upstream `{upstream}`: `{server}` is down as seen by {}, and not as seen by {}",
                named(down_on),
                named(&self.not_down_on)
            ),
        }
    }
}
