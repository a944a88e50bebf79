//! Who may connect: limits on the connections that are open at a time, in all and from one address.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many connections clients may have. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// At a time, in all.
    pub total: Option<u32>,
    /// At a time, from one address of IPv4 or one /64 of IPv6.
    pub per_address: Option<u32>,
}

/// How many client connections are open now.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<AtomicUsize>);

impl Connections {
    /// Open now.
    pub fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// One more, if it is not too many.
    pub(super) fn enter(&self, limits: ConnectionLimits) -> Option<Open> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let open = Open(self.clone());
        let is_one_too_many = limits.total.is_some_and(|most| before >= most as usize);
        (!is_one_too_many).then_some(open)
    }
}

/// One open connection: counted until this is dropped.
#[derive(Debug)]
pub(super) struct Open(Connections);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many connections each address has open. Only addresses that have one are in it.
#[derive(Debug, Clone)]
pub(super) struct ByAddress(Arc<Shards>);

#[derive(Debug)]
struct Shards {
    most: u32,
    /// Keyed at random: clients must not be able to choose addresses that meet in one place.
    place: RandomState,
    counts: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
}

/// So many connections can begin or end at once without waiting for one another.
const SHARDS: usize = 64;

impl ByAddress {
    pub(super) fn new(most: u32) -> Self {
        Self(Arc::new(Shards {
            most,
            place: RandomState::new(),
            counts: std::array::from_fn(|_| Mutex::default()),
        }))
    }

    /// One more from this address, if it is not too many.
    pub(super) fn enter(&self, address: IpAddr) -> Option<FromAddress> {
        let network = network(address);
        let is_admitted = self.0.change(network, |counts| {
            let count = counts.entry(network).or_insert(0);
            let is_admitted = *count < self.0.most;
            *count += u32::from(is_admitted);
            is_admitted
        });
        is_admitted.then(|| FromAddress {
            counts: self.clone(),
            network,
        })
    }
}

impl Shards {
    fn change<T>(&self, network: IpAddr, change: impl FnOnce(&mut HashMap<IpAddr, u32>) -> T) -> T
    where
        T: Default,
    {
        let place = self.place.hash_one(network) as usize % SHARDS;
        let Some(counts) = self.counts.get(place) else {
            return T::default(); // never: the place is less than their number
        };
        change(&mut counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One connection of an address: counted until this is dropped.
#[derive(Debug)]
pub(super) struct FromAddress {
    counts: ByAddress,
    network: IpAddr,
}

impl Drop for FromAddress {
    fn drop(&mut self) {
        self.counts.0.change(self.network, |counts| {
            if let Some(count) = counts.get_mut(&self.network) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&self.network);
                }
            }
        });
    }
}

/// What counts as one address. A client with IPv6 usually has a /64 for itself, and could use another of its 2^64
/// addresses for each connection.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(prefix).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses_in(by_address: &ByAddress) -> usize {
        let sizes = by_address.0.counts.iter();
        sizes.map(|counts| counts.lock().unwrap().len()).sum()
    }

    #[test]
    fn an_address_has_its_limit_and_gets_it_back() {
        let by_address = ByAddress::new(2);
        let enter = |address: &str| by_address.enter(address.parse().unwrap());
        let first = enter("192.0.2.1");
        let second = enter("::ffff:192.0.2.1");
        assert!(first.is_some() && second.is_some());
        assert!(enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        drop(first);
        assert!(enter("192.0.2.1").is_some());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let by_address = ByAddress::new(1);
        let enter = |address: &str| by_address.enter(address.parse().unwrap());
        let _first = enter("2001:db8::1").unwrap();
        assert!(enter("2001:db8::ffff:1").is_none());
        assert!(enter("2001:db8:0:1::1").is_some());
    }

    #[test]
    fn an_address_without_a_connection_is_forgotten() {
        let by_address = ByAddress::new(1);
        let open: Vec<_> = (0..10_000_u32)
            .map(|number| by_address.enter(IpAddr::V4(number.into())).unwrap())
            .collect();
        assert_eq!(addresses_in(&by_address), 10_000);
        assert!(by_address.enter(IpAddr::V4(5.into())).is_none());
        drop(open);
        assert_eq!(addresses_in(&by_address), 0);
    }

    #[test]
    fn the_total_is_never_exceeded_and_never_lost() {
        let connections = Connections::default();
        let limits = ConnectionLimits {
            total: Some(2),
            per_address: None,
        };
        let first = connections.enter(limits);
        let second = connections.enter(limits);
        assert!(connections.enter(limits).is_none());
        assert_eq!(connections.open(), 2);
        drop((first, second));
        assert_eq!(connections.open(), 0);
        let none = ConnectionLimits::default();
        assert!(connections.enter(none).is_some());
    }
}
