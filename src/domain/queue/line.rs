use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use hashbrown::HashMap;

use super::group::Group;
use super::place::Place;
use super::{Seat, Turn, Waiter, lock};
use crate::domain::server::{InFlight, Server, ServerId};
use crate::domain::upstream::Upstream;

/// All who wait, in the order of their numbers.
///
/// Requests that may go to the same servers find room together or not at all. So they are one class, and only the first of
/// a class is tried: what the end of an attempt costs grows with the classes, not with those who wait. There is a class for
/// each part of the group and each set of servers that requests have been tried on.
#[derive(Debug)]
pub(super) struct Line {
    places: HashMap<u64, Place>,
    groups: Vec<Group>,
    /// The last number of one who goes first, and of one at the end.
    first: u64,
    last: u64,
    /// The latest time that somebody came with, in milliseconds by a clock that only goes on.
    now: u64,
    /// When somebody looked for all last.
    looked_at: u64,
    #[cfg(test)]
    pub(super) tries: std::cell::Cell<usize>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            groups: Vec::new(),
            first: 0,
            last: u64::MAX / 2,
            now: 0,
            looked_at: 0,
            #[cfg(test)]
            tries: std::cell::Cell::default(),
        }
    }
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Everything may be another now: the seats of those who have to look again.
    pub(super) fn changed(&mut self) -> impl Iterator<Item = &Arc<Mutex<Seat>>> {
        self.looked_at = 0;
        self.places.values().map(|place| &place.seat)
    }

    /// Where somebody waits.
    pub(super) fn upstream(&self, number: u64) -> Option<&Arc<Upstream>> {
        self.places.get(&number).map(|place| &place.upstream)
    }

    /// Whether those who wait do so for the newest groups.
    pub(super) fn is_of(&self, newest: impl Fn(&Arc<Upstream>) -> Option<Arc<Upstream>>) -> bool {
        let is_newest =
            |group: &Group| newest(group.upstream()).is_some_and(|new| group.is_of(&new));
        self.groups.iter().all(is_newest)
    }

    /// Gives a place, and answers its number.
    pub(super) fn add(&mut self, waiter: Waiter, seat: Arc<Mutex<Seat>>) -> u64 {
        let number = if waiter.goes_first {
            self.first += 1;
            self.first
        } else {
            self.last += 1;
            self.last
        };
        self.enter(number, Place::new(waiter, seat));
        number
    }

    pub(super) fn leave(&mut self, number: u64) {
        drop(self.take(number));
    }

    /// Whether a look by this one at `now` can find what nobody has seen yet.
    pub(super) fn needs_look(&mut self, number: u64, now: u64) -> bool {
        self.now = self.now.max(now);
        let Some(place) = self.places.get_mut(&number) else {
            return false;
        };
        let comes = !std::mem::replace(&mut place.has_looked, true);
        let mut groups = self.groups.iter();
        let group = groups.find(|group| group.is_of(&place.upstream));
        let is_full = group.is_some_and(|group| group.is_full_for(place));
        !is_full || !comes && self.looked_at < now
    }

    /// Puts the newest in the place of each group, and lets all look who wait. Answers the groups that are of no use any
    /// more: each may be large, and is better dropped without the lock.
    pub(super) fn look(
        &mut self,
        newest: impl Fn(&Arc<Upstream>) -> Option<Arc<Upstream>>,
    ) -> Vec<Arc<Upstream>> {
        let known = self.groups.iter().map(|group| group.upstream().clone());
        let mut old: Vec<_> = known.collect();
        old.retain(|old| {
            // Of one that is gone each hears by itself who waits for it.
            let new = newest(old).filter(|new| !Arc::ptr_eq(old, new));
            new.inspect(|new| self.replace(old, new)).is_some()
        });
        self.looked_at = self.now;
        self.serve();
        old
    }

    /// Lets the first of each class look, and who comes next wherever one had its turn.
    pub(super) fn serve(&mut self) {
        let heads = self.groups.iter().flat_map(Group::heads);
        self.serve_heads(heads.collect());
        // A server that drains has room for those alone that are bound to it.
        let mut bound: Vec<u64> = self.groups.iter().flat_map(Group::bound_heads).collect();
        while let Some(number) = bound.pop() {
            let place = self.places.get(&number);
            if let Some(turn) = place.and_then(|place| place.begin_at_own(self.now)) {
                bound.extend(self.next_of_own(number));
                self.hand_over(number, turn);
            }
        }
    }

    /// Gives the room that an attempt left at this server to those who come first.
    pub(super) fn serve_room(&mut self, left: ServerId) {
        let mut is_used = false;
        // There is room for more than one where the limit was raised.
        while let Some((number, server)) = self.first_for(left) {
            let Some(turn) = self.turn_at(number, &server) else {
                return;
            };
            self.hand_over(number, turn);
            is_used = true;
        }
        if !is_used {
            let now = self.now;
            let groups = self.groups.iter();
            let heads = groups.flat_map(|group| group.heads_at_last(left, now));
            self.serve_heads(heads.collect());
        }
    }

    /// Lets these look, and who comes behind each that had its turn.
    fn serve_heads(&mut self, mut heads: BTreeSet<u64>) {
        while let Some(number) = heads.pop_first() {
            match self.turn(number) {
                Some(turn) => heads.extend(self.hand_over(number, turn)),
                None => self.found_full(number),
            }
        }
    }

    /// Who is the first that has a use for the room at this server, and the server as that one's group has it.
    fn first_for(&self, left: ServerId) -> Option<(u64, Arc<Server>)> {
        let groups = self.groups.iter();
        let all = groups.filter_map(|group| group.first_for(left, self.now));
        all.min_by_key(|(number, _)| *number)
    }

    /// What this one comes to, if it need not wait on.
    fn turn(&self, number: u64) -> Option<Turn> {
        #[cfg(test)]
        self.tries.set(self.tries.get() + 1);
        self.places.get(&number)?.begin(self.now)
    }

    /// The same where this server has room for it, and perhaps its own one too.
    fn turn_at(&self, number: u64, server: &Arc<Server>) -> Option<Turn> {
        #[cfg(test)]
        self.tries.set(self.tries.get() + 1);
        let place = self.places.get(&number)?;
        let own = place.begin_at_own(self.now);
        if own.is_some() || place.own == Some(server.id()) {
            return own;
        }
        let begun = InFlight::try_begin(server.clone(), self.now)?;
        Some(Turn::Begun(place.upstream.clone(), begun))
    }
}

impl Line {
    fn group(&mut self, upstream: &Arc<Upstream>) -> Option<&mut Group> {
        let mut groups = self.groups.iter_mut();
        groups.find(|group| group.is_of(upstream))
    }

    fn enter(&mut self, number: u64, place: Place) {
        if self.group(&place.upstream).is_none() {
            self.groups.push(Group::new(place.upstream.clone()));
        }
        if let Some(group) = self.group(&place.upstream) {
            group.enter(number, &place);
        }
        self.places.insert(number, place);
    }

    fn take(&mut self, number: u64) -> Option<Place> {
        let place = self.places.remove(&number)?;
        if let Some(group) = self.group(&place.upstream) {
            group.leave(number, &place);
        }
        self.groups.retain(|group| !group.is_empty());
        Some(place)
    }

    fn replace(&mut self, old: &Arc<Upstream>, new: &Arc<Upstream>) {
        let numbers = self.group(old).map(|group| group.numbers());
        for number in numbers.unwrap_or_default() {
            if let Some(mut place) = self.take(number) {
                place.moves_to(new);
                self.enter(number, place);
            }
        }
    }

    fn found_full(&mut self, number: u64) {
        if let Some(place) = self.places.get(&number) {
            let mut groups = self.groups.iter_mut();
            let group = groups.find(|group| group.is_of(&place.upstream));
            group.into_iter().for_each(|group| group.found_full(place));
        }
    }

    /// Who is bound to the same server and comes after this one.
    fn next_of_own(&self, number: u64) -> Option<u64> {
        let place = self.places.get(&number)?;
        let mut groups = self.groups.iter();
        let group = groups.find(|group| group.is_of(&place.upstream))?;
        group.next_of_own(number, place)
    }

    /// Answers who is the first of its class now.
    fn hand_over(&mut self, number: u64, turn: Turn) -> Option<u64> {
        let place = self.take(number)?;
        let mut seat = lock(&place.seat);
        seat.outcome = Some(turn);
        seat.wake();
        drop(seat);
        self.group(&place.upstream)?.head(&place)
    }
}
