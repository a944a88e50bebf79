use std::sync::Arc;

use super::{EXACT, Pick, SplitMix, sequence::sequence};
use crate::domain::server::{Server, State};
use crate::spec::Admin;

/// Servers of equal preference that the operator lets take requests, with the table of turns.
#[derive(Debug, Default)]
pub struct Tier {
    servers: Box<[Arc<Server>]>,
    turns: Box<[u32]>,
}

impl Tier {
    /// Keeps those that can be picked within this snapshot: admin up, weight above 0.
    pub fn new<'a>(servers: impl Iterator<Item = &'a Arc<Server>>) -> Self {
        let fit = |server: &&Arc<Server>| server.admin() == Admin::Up && server.weight() > 0;
        let servers: Box<[_]> = servers.filter(fit).cloned().collect();
        let weights: Vec<u16> = servers.iter().map(|server| server.weight()).collect();
        Self {
            turns: sequence(&weights),
            servers,
        }
    }

    /// Whether nothing here can be picked, whatever its health.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.servers.len()
    }

    pub(super) fn server(&self, index: usize) -> Option<&Arc<Server>> {
        self.servers.get(index)
    }

    pub(super) fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// The place in [`Tier::servers`] of the server whose turn it is.
    pub(super) fn place(&self, turn: u64) -> usize {
        // A tier that is not empty has at least one turn.
        let length = self.turns.len().max(1) as u64;
        self.turns
            .get((turn % length) as usize)
            .map_or(0, |&index| index as usize)
    }

    /// Draws until an up server comes that was not tried; an unknown one only if no up one is found.
    /// Skipped draws are not made up for by the next in line: each draws anew, so that the share of a
    /// server that is down goes to the others by their weights.
    pub(super) fn draw(
        &self,
        pick: &Pick<'_>,
        mut draw: impl FnMut() -> u64,
    ) -> Option<&Arc<Server>> {
        let mut unknown = None;
        for _ in 0..EXACT {
            let Some(server) = self.server(self.place(draw())) else {
                break;
            };
            match rank(server, pick) {
                Some(Rank::Up) => return Some(server),
                Some(Rank::Unknown) => unknown = unknown.or(Some(server)),
                None => {}
            }
        }
        if self.len() > EXACT && unknown.is_some() {
            unknown
        } else {
            self.search(pick)
        }
    }

    /// Looks at every server: the best rank wins, by chance and weight among equals (reservoir
    /// sampling). This is where a tier ends up in which nearly everything is down.
    pub(super) fn search(&self, pick: &Pick<'_>) -> Option<&Arc<Server>> {
        let mut random = SplitMix(pick.random);
        let mut best: Option<(Rank, &Arc<Server>)> = None;
        let mut weight = 0;
        for server in &self.servers {
            let Some(rank) = rank(server, pick) else {
                continue;
            };
            match best {
                Some((found, _)) if rank > found => continue,
                Some((found, _)) if rank == found => weight += usize::from(server.weight()),
                _ => weight = usize::from(server.weight()),
            }
            if random.below(weight) < usize::from(server.weight()) {
                best = Some((rank, server));
            }
        }
        best.map(|(_, server)| server)
    }
}

/// What is preferred within a tier, the better first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Up,
    Unknown,
}

/// The rank of a server for this request; none when it is down or was tried.
pub(super) fn rank(server: &Server, pick: &Pick<'_>) -> Option<Rank> {
    let rank = match server.state() {
        State::Up => Rank::Up,
        State::Unknown => Rank::Unknown,
        State::Draining | State::Down | State::Unhealthy => return None,
    };
    (!pick.tried.contains(&server.id())).then_some(rank)
}
