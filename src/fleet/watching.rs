#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use log::Level;

use super::roster::{Node, NodeState, Roster};
use crate::store::{Roll, Signed};

/// What one look at the roll cannot tell: what was so before.
#[derive(Default)]
pub(super) struct Watching {
    /// Since when the store has answered without a failure, on the clock that only goes on.
    in_touch_since: Option<u64>,
    /// The newest revision that was served, and when that was noted.
    newest: VecDeque<(u64, u64)>,
    /// How each did at the last look; `None`: there was none.
    before: Option<BTreeMap<String, NodeState>>,
}

/// A node that has not signed for so long is lost; it signs every second.
const LOST: u64 = 5_000;
/// A revision that is younger need not be everywhere yet.
const BEHIND: u64 = 2_000;
/// Who left so long ago is not shown any more.
const LEFT: u64 = 3_600_000;
/// Nor who was lost so long ago.
const FORGOTTEN: u64 = 24 * LEFT;

impl Watching {
    /// The store did not answer: when it does again, the others may be as late as this node.
    pub(super) fn lost_touch(&mut self) {
        self.in_touch_since = None;
    }

    /// The roster at `now`, and what changed since the last one, for the log.
    pub(super) fn look(
        &mut self,
        roll: Roll,
        own: &str,
        now: u64,
    ) -> (Roster, Vec<(Level, String)>) {
        let since = *self.in_touch_since.get_or_insert(now);
        let may_lose = now.saturating_sub(since) >= LOST || self.before.is_none();
        let age = |signed: &Signed| roll.now.saturating_sub(signed.at);
        let is_lost = |signed: &Signed| may_lose && age(signed) > LOST;
        let of_line = |signed: &&Signed| {
            !is_lost(signed) && !signed.record.has_left && !signed.record.is_diverged
        };
        let newest = roll.nodes.iter().filter(of_line);
        let newest = newest.map(|signed| signed.record.applied).max();
        let newest = newest.unwrap_or_default();
        let due = self.due(newest, now);
        let state = |signed: &Signed| match &signed.record {
            record if record.has_left => NodeState::Left,
            _ if is_lost(signed) => NodeState::Lost,
            record if record.is_diverged => NodeState::Diverged,
            record if record.applied < due => NodeState::Behind,
            _ => NodeState::Live,
        };
        let node = |signed: &Signed| {
            let state = state(signed);
            let shown = match state {
                NodeState::Left => LEFT,
                _ => FORGOTTEN,
            };
            (age(signed) <= shown).then(|| Node {
                lag: newest.saturating_sub(signed.record.applied),
                contact: Duration::from_millis(age(signed)),
                clock_ms: difference(signed.record.seen_at, signed.at),
                state,
                record: signed.record.clone(),
            })
        };
        let nodes = roll.nodes.iter().filter_map(node).collect();
        let roster = Roster { newest, nodes };
        let news = self.news(&roster, own);
        (roster, news)
    }

    /// The newest revision of [`BEHIND`] ago, which everybody should serve by now.
    fn due(&mut self, newest: u64, now: u64) -> u64 {
        if self
            .newest
            .back()
            .is_none_or(|(number, _)| *number < newest)
        {
            self.newest.push_back((newest, now));
        }
        let is_old =
            |at: Option<&(u64, u64)>| at.is_some_and(|(_, at)| now.saturating_sub(*at) >= BEHIND);
        while is_old(self.newest.get(1)) {
            self.newest.pop_front();
        }
        let first = self.newest.front();
        first
            .filter(|_| is_old(first))
            .map_or(0, |(number, _)| *number)
    }

    fn news(&mut self, roster: &Roster, own: &str) -> Vec<(Level, String)> {
        let states = |node: &Node| (node.record.id.clone(), node.state);
        let now: BTreeMap<String, NodeState> = roster.nodes.iter().map(states).collect();
        let Some(before) = self.before.replace(now) else {
            return Vec::new();
        };
        let others = roster.nodes.iter().filter(|node| node.record.id != own);
        others
            .filter_map(|node| told(node, before.get(&node.record.id).copied()))
            .collect()
    }
}

/// What is worth a line of the log.
fn told(node: &Node, before: Option<NodeState>) -> Option<(Level, String)> {
    use NodeState::{Behind, Diverged, Left, Live, Lost};
    let id = &node.record.id;
    let seconds = node.contact.as_secs_f64();
    if before == Some(node.state) {
        return None;
    }
    Some(match (node.state, before) {
        (Live, None) => (Level::Info, format!("node {id} has joined")),
        (Live, Some(Lost | Left)) => (Level::Info, format!("node {id} is back")),
        (Live, Some(_)) => (Level::Info, format!("node {id} has caught up")),
        (Behind, before) => {
            let (serves, lag) = (node.record.applied, node.lag);
            let back = match before {
                Some(Lost | Left) => "back and ",
                _ => "",
            };
            let line = format!("node {id} is {back}behind by {lag}: it serves revision {serves}");
            (Level::Warn, line)
        }
        (Diverged, _) => (
            Level::Warn,
            format!("node {id} serves another state than the store leads to"),
        ),
        (Lost, None) | (Left, None) => return None,
        (Lost, Some(_)) => (
            Level::Warn,
            format!("node {id} was last heard of {seconds:.1} s ago"),
        ),
        (Left, Some(_)) => (Level::Info, format!("node {id} has left")),
    })
}

fn difference(one: u64, other: u64) -> i64 {
    let apart = i64::try_from(one.abs_diff(other)).unwrap_or(i64::MAX);
    if one >= other { apart } else { -apart }
}
