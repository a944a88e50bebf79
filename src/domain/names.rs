//! What the names of servers stand for. DNS answers beside the snapshots ([`NameState`]); what changes where
//! requests go comes into them by the one writer.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::{HashMap, HashSet};

use super::shards::Shards;
use crate::spec::{Address, ForbiddenAddresses, Name, UpstreamSpec};

/// One of the places that a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Of SRV: the lower, the more preferred. 0 without.
    pub priority: u16,
    /// Where it listens.
    pub address: SocketAddr,
    /// Of SRV: the share among those of one priority. 1 without.
    pub weight: u16,
}

/// The places that a name stands for: at least one, each address once, none that no server may have.
///
/// In an order of their own, since name servers give the same ones in another order each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved(Box<[Place]>);

/// The most places of a name that become servers.
pub const MOST_PLACES: usize = 64;

/// An answer can hold thousands of addresses that nobody should connect to.
const MOST_REASONS: usize = 8;

impl Resolved {
    /// Takes what may be taken, of more than [`MOST_PLACES`] the first by priority and address. Beside it
    /// stands why the others were not; none is left if nothing may be taken.
    pub fn new(
        places: impl IntoIterator<Item = Place>,
        forbidden: &ForbiddenAddresses,
    ) -> (Option<Self>, Vec<String>) {
        let mut refused = Vec::new();
        let mut taken: Vec<Place> = places.into_iter().map(unmapped).collect();
        taken.sort_unstable();
        let mut seen = HashSet::new();
        taken.retain(|place| {
            let is_new = seen.insert(place.address);
            let reason = is_new.then(|| reason(place.address, forbidden)).flatten();
            let is_fit = is_new && reason.is_none();
            refused.extend(reason);
            is_fit
        });
        let more = refused.len().saturating_sub(MOST_REASONS);
        refused.truncate(MOST_REASONS);
        if more > 0 {
            refused.push(format!("{more} more addresses are refused"));
        }
        if taken.len() > MOST_PLACES {
            let count = taken.len();
            taken.truncate(MOST_PLACES);
            refused.push(format!(
                "it has {count} addresses: the first {MOST_PLACES} are taken"
            ));
        }
        let resolved = (!taken.is_empty()).then(|| Self(taken.into()));
        (resolved, refused)
    }

    /// The places, by priority and address.
    pub fn places(&self) -> &[Place] {
        &self.0
    }
}

fn unmapped(place: Place) -> Place {
    let ip = place.address.ip().to_canonical();
    Place {
        address: SocketAddr::new(ip, place.address.port()),
        ..place
    }
}

/// Why no server may have this address, if so.
fn reason(address: SocketAddr, forbidden: &ForbiddenAddresses) -> Option<String> {
    let ip = address.ip();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || is_broadcast || address.port() == 0 {
        return Some(format!("`{address}` is not the address of a server"));
    }
    forbidden.reason(&Address::Ip(address))
}

/// Every name that servers have.
#[derive(Debug, Clone, Default)]
pub struct Names(Shards<Address, Arc<Named>>);

/// One name of servers.
#[derive(Debug, Clone)]
pub struct Named {
    address: Address,
    upstreams: HashSet<Name>,
    resolved: Option<Arc<Resolved>>,
    state: Arc<NameState>,
}

impl Named {
    /// The name as a server's address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What it stands for; none before the first answer.
    pub fn resolved(&self) -> Option<&Arc<Resolved>> {
        self.resolved.as_ref()
    }

    /// What was observed of it. It stays the same for as long as some server has the name.
    pub fn state(&self) -> &Arc<NameState> {
        &self.state
    }
}

impl Names {
    /// What is known of a name.
    pub fn get(&self, address: &Address) -> Option<&Arc<Named>> {
        self.0.get(address)
    }

    /// Every name, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Named>> {
        self.0.values()
    }

    /// The names after groups were changed; none if they are the same.
    pub(super) fn after<'a>(
        &self,
        changed: impl IntoIterator<
            Item = (&'a Name, Option<&'a UpstreamSpec>, Option<&'a UpstreamSpec>),
        >,
    ) -> Option<Self> {
        let mut edits: HashMap<&Address, Vec<(&Name, bool)>> = HashMap::new();
        for (upstream, was, is) in changed {
            for (spec, has_it) in [(was, false), (is, true)] {
                for address in spec.into_iter().flat_map(names_in) {
                    edits.entry(address).or_default().push((upstream, has_it));
                }
            }
        }
        if edits.is_empty() {
            return None;
        }
        let mut names = self.clone();
        for (address, edits) in edits {
            names.edit(address, &edits);
        }
        Some(names)
    }

    fn edit(&mut self, address: &Address, edits: &[(&Name, bool)]) {
        let new = || Named {
            address: address.clone(),
            upstreams: HashSet::new(),
            resolved: None,
            state: Arc::default(),
        };
        let mut named = self
            .get(address)
            .map_or_else(new, |named| Named::clone(named));
        for (upstream, has_it) in edits {
            named.upstreams.remove(*upstream);
            if *has_it {
                named.upstreams.insert(Name::clone(upstream));
            }
        }
        if named.upstreams.is_empty() {
            self.0.remove(address);
        } else {
            self.0.insert(address.clone(), Arc::new(named));
        }
    }

    /// Takes in what a name stands for now; answers the groups that this concerns.
    pub(super) fn resolve(&mut self, address: &Address, resolved: &Arc<Resolved>) -> Vec<Name> {
        let Some(named) = self.get(address) else {
            return Vec::new();
        };
        if named.resolved.as_ref() == Some(resolved) {
            return Vec::new();
        }
        let named = Named {
            resolved: Some(resolved.clone()),
            ..Named::clone(named)
        };
        let upstreams = named.upstreams.iter().cloned().collect();
        self.0.insert(address.clone(), Arc::new(named));
        upstreams
    }
}

fn names_in(upstream: &UpstreamSpec) -> impl Iterator<Item = &Address> {
    let addresses = upstream.servers.iter().map(|server| &server.address);
    addresses.filter(|address| address.is_name())
}

/// What was observed of a name on this node. Only the resolving writes it; no request reads it.
#[derive(Debug, Default)]
pub struct NameState(Mutex<Observed>);

/// How the last question about a name went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// When the answer came, in milliseconds since 1970; 0: never.
    pub asked_at: u64,
    /// Since when the answers are of no use, in milliseconds since 1970; none if the last one was.
    pub failing_since: Option<u64>,
    /// What is wrong with the last answer.
    pub problem: Option<String>,
    /// Addresses that were not taken, each with the reason.
    pub refused: Vec<String>,
    /// When it is asked for again, in milliseconds since 1970.
    pub again_at: u64,
}

impl NameState {
    /// How the last question went.
    pub fn observed(&self) -> Observed {
        self.lock().clone()
    }

    /// Records how a question went; answers how the one before it did.
    pub fn observe(&self, observed: Observed) -> Observed {
        std::mem::replace(&mut *self.lock(), observed)
    }

    fn lock(&self) -> MutexGuard<'_, Observed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(texts: &[&str]) -> Vec<Place> {
        let place = |text: &&str| Place {
            priority: 0,
            address: text.parse().unwrap(),
            weight: 1,
        };
        texts.iter().map(place).collect()
    }

    fn taken(texts: &[&str]) -> (Vec<String>, Vec<String>) {
        let forbidden = ForbiddenAddresses {
            control: Some("127.0.0.1:9900".parse().unwrap()),
            ..ForbiddenAddresses::default()
        };
        let (resolved, refused) = Resolved::new(places(texts), &forbidden);
        let places = resolved.map(|resolved| resolved.0).unwrap_or_default();
        let addresses = places.iter().map(|place| place.address.to_string());
        (addresses.collect(), refused)
    }

    #[test]
    fn another_order_of_the_same_addresses_is_no_change() {
        let (one, _) = taken(&[
            "10.0.0.2:80",
            "10.0.0.1:80",
            "10.0.0.1:80",
            "[::ffff:10.0.0.2]:80",
        ]);
        assert_eq!(one, ["10.0.0.1:80", "10.0.0.2:80"]);
    }

    #[test]
    fn an_address_that_no_server_may_have_is_refused_with_the_reason() {
        let (none, refused) = taken(&[
            "169.254.169.254:80",
            "[fe80::1]:80",
            "127.0.0.1:9900",
            "0.0.0.0:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "10.0.0.1:0",
        ]);
        assert!(none.is_empty());
        assert_eq!(refused.len(), 7, "{refused:?}");
    }

    #[test]
    fn of_too_many_addresses_the_same_ones_are_taken_each_time() {
        let mut many: Vec<String> = (0..200).map(|n| format!("10.0.0.{n}:80")).collect();
        let first = taken(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((first.0.len(), first.1.len()), (MOST_PLACES, 1));
        many.reverse();
        let second = taken(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(first, second);
    }

    #[test]
    fn the_more_preferred_of_two_places_with_one_address_counts() {
        let mut two = places(&["10.0.0.1:80", "10.0.0.1:80"]);
        two[0].priority = 9;
        let (resolved, _) = Resolved::new(two, &ForbiddenAddresses::default());
        let resolved = resolved.unwrap();
        assert_eq!(resolved.places().len(), 1);
        assert_eq!(resolved.places()[0].priority, 0);
    }
}
