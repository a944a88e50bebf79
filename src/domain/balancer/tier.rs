use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Accept, EXACT, Fraction, Pick, SplitMix, ring::Ring, sequence::sequence};
use crate::domain::hashing::StableHash;
use crate::domain::latency::Latency;
use crate::domain::ramp::{Ramp, WHOLE};
use crate::domain::server::{Server, ServerState, State};
use crate::spec::{Admin, BalanceSpec};

/// Servers of equal preference that the operator lets take requests, with the table of turns.
///
/// What a pick looks at stands in arrays of its own, by place in `servers`: of a server that is
/// not taken it touches the state alone, so that in a large group one cache miss is paid, not three.
#[derive(Debug, Default)]
pub struct Tier {
    servers: Box<[Arc<Server>]>,
    states: Box<[Arc<ServerState>]>,
    weights: Box<[u16]>,
    table: Box<[u32]>,
    /// In groups that hash.
    ring: Option<Arc<Ring>>,
    turns: Arc<Turns>,
    checked: bool,
    /// In tiers where a server has a slow start.
    ramps: Option<Box<[Option<Ramp>]>>,
    /// In tiers where a server has one: requests at a time.
    limits: Option<Box<[u32]>>,
}

/// What a tier remembers from pick to pick; it survives snapshots, so that a change does not send
/// the next requests to the first server again.
#[derive(Debug, Default)]
struct Turns(AtomicU64);

impl Tier {
    /// Keeps those that can be picked within this snapshot: admin up, weight above 0. The turns go
    /// on from those of the tier before.
    pub fn new<'a>(
        policy: BalanceSpec,
        servers: impl Iterator<Item = &'a Arc<Server>>,
        before: Option<&Self>,
    ) -> Self {
        let fit = |server: &&Arc<Server>| server.is_let();
        let mut servers: Vec<_> = servers.filter(fit).cloned().collect();
        let hashes = matches!(policy, BalanceSpec::IpHash | BalanceSpec::Hash);
        if hashes {
            // Keys do not move when the file puts the same servers into another order.
            servers.sort_by_cached_key(|server| identity(server));
        }
        let servers: Box<[_]> = servers.into();
        let weights: Box<[_]> = servers.iter().map(|server| server.weight()).collect();
        let table = sequence(&weights);
        Self {
            ramps: ramps(&servers),
            limits: limits(&servers),
            ring: hashes.then(|| ring(&servers, &weights, before)),
            table,
            states: servers
                .iter()
                .map(|server| server.shared().clone())
                .collect(),
            turns: before
                .map(|before| before.turns.clone())
                .unwrap_or_default(),
            // Checks are the group's, so what holds for one holds for all.
            checked: servers.first().is_some_and(|server| server.is_checked()),
            weights,
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

    pub(super) fn server(&self, place: usize) -> Option<&Arc<Server>> {
        self.servers.get(place)
    }

    /// Counts one turn.
    pub(super) fn next_turn(&self) -> u64 {
        self.turns.0.fetch_add(1, Ordering::Relaxed)
    }

    /// The place of the server whose turn it is.
    pub(super) fn place(&self, turn: u64) -> usize {
        // A tier that is not empty has at least one turn.
        let length = self.table.len().max(1) as u64;
        self.table
            .get((turn % length) as usize)
            .map_or(0, |&place| place as usize)
    }

    /// The place of the server that a spot of the ring belongs to.
    pub(super) fn spot(&self, spot: u64) -> usize {
        let ring = self.ring.as_ref();
        ring.and_then(|ring| ring.place(spot)).unwrap_or(0)
    }

    /// A number that is the server's own, whatever its place. Only asked for where there are slow starts.
    pub(super) fn identity(&self, place: usize) -> u64 {
        let server = self.ramps.as_ref().and_then(|_| self.server(place));
        server.map_or(0, |server| identity(server))
    }

    /// Requests in flight and weights of the servers that can be used, added up: of all up to
    /// [`EXACT`] servers, of half as many drawn evenly in a larger tier.
    pub(super) fn average(&self, pick: &Pick<'_>) -> (u64, u64) {
        let mut random = pick.other_random();
        let sum = |places: &mut dyn Iterator<Item = usize>| {
            places
                .filter(|&place| self.rank(place, pick).is_some())
                .map(|place| self.in_flight_by_weight(place))
                .fold((0, 0), |(all, of), (more, weight)| {
                    (all + more, of + weight)
                })
        };
        match self.len() {
            ..=EXACT => sum(&mut (0..self.len())),
            many => sum(&mut (0..EXACT / 2).map(|_| random.below(many))),
        }
    }

    /// The rank of a server for this request; none when it is down, full or was tried.
    pub(super) fn rank(&self, place: usize, pick: &Pick<'_>) -> Option<Rank> {
        let state = self.states.get(place)?;
        let is_out = state.ejection().is_out(pick.now);
        let rank = match State::of(Admin::Up, self.checked, state.health(), is_out) {
            State::Up | State::SlowStart => Rank::Up,
            State::Unknown => Rank::Unknown,
            State::Ejected if pick.accept >= Accept::Ejected => Rank::Unknown,
            State::Unhealthy if pick.accept >= Accept::Unhealthy => Rank::Unknown,
            State::Full | State::Ejected | State::Draining | State::Down | State::Unhealthy => {
                return None;
            }
        };
        if let Some(limits) = &self.limits
            && limits
                .get(place)
                .is_some_and(|&most| state.in_flight() >= most)
        {
            return None;
        }
        (pick.tried.is_empty() || !pick.tried.contains(&state.id())).then_some(rank)
    }

    /// Whether a server's slow start keeps it from a turn. `chance` has nothing to do with the turn.
    pub(super) fn sits_out(&self, place: usize, pick: &Pick<'_>, chance: &mut SplitMix) -> bool {
        let share = self.share(place, pick);
        share < WHOLE && chance.below(WHOLE as usize) as u64 >= share
    }

    /// The part of its share that a server takes.
    fn share(&self, place: usize, pick: &Pick<'_>) -> u64 {
        let Some(ramps) = &self.ramps else {
            return WHOLE;
        };
        let ramp = ramps.get(place).and_then(|ramp| ramp.as_ref());
        ramp.zip(self.states.get(place))
            .map_or(WHOLE, |(ramp, state)| {
                ramp.share(state.recoveries(), pick.now)
            })
    }

    /// What a server's load is compared by: so many requests for a weight. In its slow start each request
    /// counts as many, and the one to come as one.
    pub(super) fn cost(&self, place: usize, to_come: u64, pick: &Pick<'_>) -> Fraction {
        let (in_flight, weight) = self.in_flight_by_weight(place);
        match self.share(place, pick) {
            WHOLE => Fraction::from((in_flight + to_come, weight)),
            share => Fraction::from((in_flight * WHOLE + to_come * share, weight * share)),
        }
    }

    /// Requests that a server has now, and its weight.
    pub(super) fn in_flight_by_weight(&self, place: usize) -> (u64, u64) {
        let in_flight = self.states.get(place).map_or(0, |state| state.in_flight());
        let weight = self.weights.get(place).copied().unwrap_or(1);
        (u64::from(in_flight), u64::from(weight))
    }

    /// How fast a server answers.
    pub(super) fn latency(&self, place: usize) -> Option<&Latency> {
        self.states.get(place).map(|state| state.latency())
    }

    /// Draws until a server comes that is up and was not tried. Skipped draws are not made up for by
    /// the next in line: each draws anew, so that the share of a server that is down goes to the
    /// others by their weights. A turn that falls on an unknown server is its own if no up one is
    /// found; looking for one uses up no turns, or else the servers that lie between would miss theirs.
    pub(super) fn draw(&self, pick: &Pick<'_>, mut draw: impl FnMut() -> u64) -> Option<usize> {
        let mut unknown = None;
        let mut chance = pick.chance_of_slow_starts();
        for _ in 0..EXACT {
            let place = self.place(draw());
            match self.rank(place, pick) {
                Some(Rank::Up) if !self.sits_out(place, pick, &mut chance) => return Some(place),
                Some(Rank::Up) => {}
                Some(Rank::Unknown) => {
                    unknown = Some(place);
                    break;
                }
                None => {}
            }
        }
        let up = match self.len() {
            ..=EXACT => self.search(pick),
            _ => self.sample(pick),
        };
        match (up, unknown) {
            (Some((Rank::Up, place)), _) | (_, Some(place)) => Some(place),
            (Some((Rank::Unknown, place)), None) => Some(place),
            (None, None) => self.search(pick).map(|(_, place)| place),
        }
    }

    /// The first up server of [`EXACT`] drawn by weight, or else the first unknown one.
    fn sample(&self, pick: &Pick<'_>) -> Option<(Rank, usize)> {
        let mut random = pick.other_random();
        let mut unknown = None;
        for _ in 0..EXACT {
            let place = self.place(random.next());
            match self.rank(place, pick) {
                Some(Rank::Up) => return Some((Rank::Up, place)),
                Some(Rank::Unknown) => unknown = unknown.or(Some((Rank::Unknown, place))),
                None => {}
            }
        }
        unknown
    }

    /// Looks at every server: the best rank wins, by chance and weight among equals (reservoir
    /// sampling). This is where a large tier ends up in which nearly everything is down.
    pub(super) fn search(&self, pick: &Pick<'_>) -> Option<(Rank, usize)> {
        let mut random = pick.other_random();
        let mut best: Option<(Rank, usize)> = None;
        let mut total = 0;
        for (place, &weight) in self.weights.iter().enumerate() {
            let Some(rank) = self.rank(place, pick) else {
                continue;
            };
            let weight = usize::from(weight) * self.share(place, pick) as usize;
            match best {
                Some((found, _)) if rank > found => continue,
                Some((found, _)) if rank == found => total += weight,
                _ => total = weight,
            }
            if random.below(total) < weight {
                best = Some((rank, place));
            }
        }
        best
    }
}

/// The ring of these servers; the one before if they are the same ones with the same weights.
fn ring(servers: &[Arc<Server>], weights: &[u16], before: Option<&Tier>) -> Arc<Ring> {
    let same = |(a, b): (&Arc<Server>, &Arc<Server>)| {
        a.address() == b.address() && a.weight() == b.weight()
    };
    let unchanged = |before: &&Tier| {
        before.servers.len() == servers.len() && before.servers.iter().zip(servers).all(same)
    };
    let kept = before.filter(unchanged).and_then(|tier| tier.ring.clone());
    kept.unwrap_or_else(|| {
        let identities: Vec<u64> = servers.iter().map(|server| identity(server)).collect();
        Arc::new(Ring::new(&identities, weights))
    })
}

fn identity(server: &Server) -> u64 {
    StableHash::of(server.label().as_bytes())
}

fn limits(servers: &[Arc<Server>]) -> Option<Box<[u32]>> {
    let any = servers.iter().any(|server| server.limit().is_some());
    let limits = servers
        .iter()
        .map(|server| server.limit().unwrap_or(u32::MAX));
    any.then(|| limits.collect())
}

fn ramps(servers: &[Arc<Server>]) -> Option<Box<[Option<Ramp>]>> {
    let any = servers.iter().any(|server| server.ramp().is_some());
    any.then(|| {
        servers
            .iter()
            .map(|server| server.ramp().cloned())
            .collect()
    })
}

impl Pick<'_> {
    /// For who sits a turn out.
    pub(super) fn chance_of_slow_starts(&self) -> SplitMix {
        SplitMix(self.random.rotate_left(16))
    }

    /// Random numbers that have nothing to do with those that the policy itself has drawn.
    fn other_random(&self) -> SplitMix {
        SplitMix(self.random.rotate_left(32))
    }
}

/// What is preferred within a tier, the better first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Up,
    Unknown,
}
