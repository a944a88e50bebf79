//! The members of a group, and the servers that each of them is or stands for.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use hashbrown::HashSet;

use super::Upstream;
use crate::domain::names::{NameState, Named, Names, Place};
use crate::domain::server::{Server, State};
use crate::spec::{Address, Admin, Labels, ServerSpec};

/// One member of a group: a server, or a name with the servers that it stands for now.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    spec: &'a ServerSpec,
    servers: &'a [Arc<Server>],
    name: Option<&'a MemberName>,
}

/// What a group remembers of a name among its members.
#[derive(Debug, Clone)]
pub(super) struct MemberName {
    address: Address,
    is_resolved: bool,
    state: Arc<NameState>,
}

impl<'a> Member<'a> {
    /// What it was built from.
    pub fn spec(&self) -> &'a ServerSpec {
        self.spec
    }

    /// The server that it is, or those that it stands for.
    pub fn servers(&self) -> &'a [Arc<Server>] {
        self.servers
    }

    /// The server that it is; none for a name.
    pub fn server(&self) -> Option<&'a Arc<Server>> {
        match self.is_name() {
            true => None,
            false => self.servers.first(),
        }
    }

    /// Whether DNS says what it stands for.
    pub fn is_name(&self) -> bool {
        self.spec.address.is_name()
    }

    /// Whether it is a name that DNS has not answered for yet.
    pub fn is_unresolved(&self) -> bool {
        self.name.is_some_and(|name| !name.is_resolved)
    }

    /// What was observed of the name, if it is one.
    pub fn name_state(&self) -> Option<&'a NameState> {
        self.name.map(|name| &*name.state)
    }

    /// Whether the rails count it: one of its servers is usable. A name before its first answer is unknown,
    /// and unknown counts.
    pub fn is_usable(&self) -> bool {
        let is_wanted = self.spec.wanted() == Admin::Up && self.spec.weight > 0;
        (self.is_unresolved() && is_wanted) || self.servers.iter().any(|server| server.is_usable())
    }

    pub(super) fn name(&self) -> Option<&'a MemberName> {
        self.name
    }

    /// The state of a server at `now`, the best one of those that a name stands for.
    pub fn state(&self, now: u64) -> State {
        let best = self.servers.iter().map(|server| server.state(now)).min();
        best.unwrap_or(match self.spec.wanted() {
            Admin::Up => State::Unknown,
            Admin::Drain => State::Draining,
            Admin::Down => State::Down,
        })
    }
}

impl Upstream {
    /// Its members in file order.
    pub fn members(&self) -> impl Iterator<Item = Member<'_>> {
        members(&self.spec.servers, &self.servers, &self.names)
    }

    /// The member with this address or name: what changes can address.
    pub fn member(&self, address: &Address) -> Option<Member<'_>> {
        self.members()
            .find(|member| member.spec().address == *address)
    }

    /// Members that are usable as the rails count: admin up and health not down, backups too.
    pub fn usable(&self) -> usize {
        self.members().filter(Member::is_usable).count()
    }

    /// Servers that could take requests, whatever members they belong to.
    pub fn usable_servers(&self) -> usize {
        let servers = self.servers.iter();
        servers.filter(|server| server.is_usable()).count()
    }

    /// Whether it lacks a server because DNS has not answered yet.
    pub fn waits_for_a_name(&self) -> bool {
        let mut members = self.members();
        members.any(|member| member.is_unresolved() && member.is_usable())
    }

    pub(super) fn names_with(&self, labels: &Labels) -> Vec<MemberName> {
        let members = self.members();
        let named = members.filter(|member| member.spec().has_labels(labels));
        named.filter_map(|member| member.name().cloned()).collect()
    }
}

/// The members of a group in file order; of a part of a group those that are in it.
pub(super) fn members<'a>(
    specs: &'a [ServerSpec],
    mut servers: &'a [Arc<Server>],
    names: &'a [MemberName],
) -> impl Iterator<Item = Member<'a>> {
    specs.iter().filter_map(move |spec| {
        let is_name = spec.address.is_name();
        let name = names.iter().find(|name| name.address == spec.address);
        let count = match is_name {
            false => servers
                .first()
                .is_some_and(|server| *server.address() == spec.address)
                .into(),
            true => servers
                .iter()
                .take_while(|server| server.resolved_from() == Some(&spec.address))
                .count(),
        };
        let (own, rest) = servers.split_at(count.min(servers.len()));
        servers = rest;
        let member = Member {
            spec,
            servers: own,
            name,
        };
        (name.is_some() || !own.is_empty()).then_some(member)
    })
}

/// A server that is to be, and the name that stands for it, with its rank among those of the name.
pub(super) struct Listed<'a> {
    pub(super) spec: Cow<'a, ServerSpec>,
    pub(super) found: Option<(&'a Address, u16)>,
}

/// The servers of all members, in the members' order. An address that is a member itself, or that a name
/// before has, is left out: it would count twice.
pub(super) fn listed<'a>(specs: &'a [ServerSpec], names: &Names) -> Vec<Listed<'a>> {
    let literal = |spec| Listed {
        spec: Cow::Borrowed(spec),
        found: None,
    };
    if !specs.iter().any(|spec| spec.address.is_name()) {
        return specs.iter().map(literal).collect();
    }
    let mut seen: HashSet<SocketAddr> = specs.iter().filter_map(|spec| spec.address.ip()).collect();
    let mut listed = Vec::new();
    for spec in specs {
        if !spec.address.is_name() {
            listed.push(literal(spec));
            continue;
        }
        let resolved = names.get(&spec.address).and_then(|name| name.resolved());
        let places = resolved
            .map(|resolved| resolved.places())
            .unwrap_or_default();
        for (child, rank) in children(spec, places) {
            if child
                .address
                .ip()
                .is_some_and(|address| seen.insert(address))
            {
                listed.push(Listed {
                    spec: Cow::Owned(child),
                    found: Some((&spec.address, rank)),
                });
            }
        }
    }
    listed
}

/// The names among the members.
pub(super) fn names(specs: &[ServerSpec], names: &Names) -> Vec<MemberName> {
    let named = specs.iter().filter_map(|spec| names.get(&spec.address));
    let member = |named: &Arc<Named>| MemberName {
        address: named.address().clone(),
        is_resolved: named.resolved().is_some(),
        state: named.state().clone(),
    };
    named.map(member).collect()
}

/// The servers that a name stands for: each as the name is written, with a share of its own. Those of the
/// lowest priority are what the name says, the others back them up, priority by priority.
fn children(name: &ServerSpec, places: &[Place]) -> Vec<(ServerSpec, u16)> {
    let mut priorities: Vec<u16> = places.iter().map(|place| place.priority).collect();
    priorities.dedup();
    let child = |(place, weight): (&Place, u16)| {
        let spec = ServerSpec {
            address: Address::Ip(place.address),
            weight,
            ..name.clone()
        };
        // At most as many as there are places.
        let rank = priorities.partition_point(|priority| *priority < place.priority);
        (spec, u16::try_from(rank).unwrap_or(u16::MAX))
    };
    let weights = weights(name.weight, places);
    places.iter().zip(weights).map(child).collect()
}

/// The weight of the name times that of each place, in the range of weights. A place of weight 0 takes some
/// requests all the same (RFC 2782); a name of weight 0 takes none.
fn weights(name: u16, places: &[Place]) -> Vec<u16> {
    let product = |place: &Place| u32::from(place.weight.max(1)) * u32::from(name);
    let largest = places.iter().map(product).max().unwrap_or(0);
    let divisor = largest.div_ceil(u32::from(u16::MAX)).max(1);
    let weight = |place: &Place| {
        let least = u32::from(name.min(1));
        u16::try_from((product(place) / divisor).max(least)).unwrap_or(u16::MAX)
    };
    places.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(name: u16, weights: &[u16]) -> Vec<u16> {
        let place = |&weight: &u16| Place {
            priority: 0,
            address: ([10, 0, 0, 1], 80).into(),
            weight,
        };
        super::weights(name, &weights.iter().map(place).collect::<Vec<_>>())
    }

    #[test]
    fn the_weights_of_the_name_and_of_the_record_multiply() {
        assert_eq!(shares(1, &[10, 20, 0]), [10, 20, 1]);
        assert_eq!(shares(3, &[10, 20, 0]), [30, 60, 3]);
        assert_eq!(shares(0, &[10, 20, 0]), [0, 0, 0]);
        assert_eq!(shares(65_535, &[65_535, 32_768, 0]), [65_535, 32_768, 1]);
        assert_eq!(shares(2, &[65_535, 3]), [65_535, 3]);
    }
}
