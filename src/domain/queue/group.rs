use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;

use super::place::Place;
use crate::domain::server::{Server, ServerId};
use crate::domain::upstream::{Room, Upstream};

/// Those who wait for a group, as it was in one snapshot, or for a part of it.
#[derive(Debug)]
pub(super) struct Group {
    upstream: Arc<Upstream>,
    /// By the servers that they were tried on.
    classes: HashMap<Arc<[ServerId]>, Class>,
}

/// Those of them who may go to the same servers.
#[derive(Debug, Default)]
struct Class {
    numbers: BTreeSet<u64>,
    /// Those who are bound to a server, by that.
    bound: HashMap<ServerId, BTreeSet<u64>>,
    /// Whether there was no room for the first one. Then there is none for any until somebody makes some, who serves the
    /// line, or the time of an ejection is over, for which each has a timer.
    is_full: bool,
}

impl Group {
    pub(super) fn new(upstream: Arc<Upstream>) -> Self {
        Self {
            upstream,
            classes: HashMap::new(),
        }
    }

    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    pub(super) fn is_of(&self, upstream: &Arc<Upstream>) -> bool {
        Arc::ptr_eq(&self.upstream, upstream)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Whether nobody of the same class has found room.
    pub(super) fn is_full_for(&self, place: &Place) -> bool {
        let class = self.classes.get(&place.tried);
        class.is_some_and(|class| class.is_full)
    }

    pub(super) fn found_full(&mut self, place: &Place) {
        if let Some(class) = self.classes.get_mut(&place.tried) {
            class.is_full = true;
        }
    }

    pub(super) fn numbers(&self) -> Vec<u64> {
        let classes = self.classes.values();
        classes.flat_map(|class| &class.numbers).copied().collect()
    }

    /// The first of each class.
    pub(super) fn heads(&self) -> impl Iterator<Item = u64> {
        self.classes.values().filter_map(Class::head)
    }

    /// The first of this one's class.
    pub(super) fn head(&self, place: &Place) -> Option<u64> {
        self.classes.get(&place.tried)?.head()
    }

    /// The first of those in each class who are bound to a server, for each server.
    pub(super) fn bound_heads(&self) -> impl Iterator<Item = u64> {
        let bound = self.classes.values().flat_map(|class| class.bound.values());
        bound.filter_map(|numbers| numbers.first().copied())
    }

    pub(super) fn next_of_own(&self, number: u64, place: &Place) -> Option<u64> {
        let bound = &self.classes.get(&place.tried)?.bound;
        let mut next = bound.get(&place.own?)?.range(number..);
        next.find(|next| **next != number).copied()
    }

    /// Who comes first of those that have a use for the room at this server, and the server as this group has it.
    pub(super) fn first_for(&self, left: ServerId, now: u64) -> Option<(u64, Arc<Server>)> {
        let server = self.server(left).filter(|server| !server.is_full())?;
        let classes = self.who_may_go_to(left);
        let number = match self.upstream.room(server, now) {
            Room::ForAll => classes.filter_map(Class::head).min(),
            Room::ForItsOwn => classes.filter_map(|class| class.head_of(left)).min(),
            Room::AtLast | Room::None => None,
        };
        Some((number?, server.clone()))
    }

    /// Who may have a use for it where it is a server that requests go to if there is no other.
    pub(super) fn heads_at_last(&self, left: ServerId, now: u64) -> impl Iterator<Item = u64> {
        let is_last = |server: &&Arc<Server>| self.upstream.room(server, now) == Room::AtLast;
        let server = self.server(left).filter(is_last);
        let classes = server
            .into_iter()
            .flat_map(move |_| self.who_may_go_to(left));
        classes.filter_map(Class::head)
    }

    fn server(&self, id: ServerId) -> Option<&Arc<Server>> {
        let mut servers = self.upstream.servers().iter();
        servers.find(|server| server.id() == id)
    }

    fn who_may_go_to(&self, server: ServerId) -> impl Iterator<Item = &Class> {
        let classes = self.classes.iter();
        let fit = classes.filter(move |(tried, _)| !tried.contains(&server));
        fit.map(|(_, class)| class)
    }

    pub(super) fn enter(&mut self, number: u64, place: &Place) {
        let class = self.classes.entry(place.tried.clone()).or_default();
        class.numbers.insert(number);
        if let Some(own) = place.own {
            class.bound.entry(own).or_default().insert(number);
        }
    }

    pub(super) fn leave(&mut self, number: u64, place: &Place) {
        let Some(class) = self.classes.get_mut(&place.tried) else {
            return;
        };
        class.numbers.remove(&number);
        if let Some(own) = place.own
            && let Some(numbers) = class.bound.get_mut(&own)
        {
            numbers.remove(&number);
            if numbers.is_empty() {
                class.bound.remove(&own);
            }
        }
        if class.numbers.is_empty() {
            self.classes.remove(&place.tried);
        }
    }
}

impl Class {
    fn head(&self) -> Option<u64> {
        self.numbers.first().copied()
    }

    fn head_of(&self, server: ServerId) -> Option<u64> {
        self.bound.get(&server)?.first().copied()
    }
}
