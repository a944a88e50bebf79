use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts wrong tokens per address, so that whoever sends them again and again is told to stop, and does
/// not fill the log.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, Count>>);

#[derive(Clone, Copy)]
struct Count {
    wrong: u32,
    since: Instant,
}

impl Attempts {
    /// How long this address has to wait, if it has to.
    pub(super) fn wait(&self, source: IpAddr, now: Instant) -> Option<Duration> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&network(source))?;
        let left = WINDOW.checked_sub(now.duration_since(count.since))?;
        (count.wrong >= MOST_WRONG && !left.is_zero()).then_some(left)
    }

    /// A wrong token came from this address.
    pub(super) fn wrong(&self, source: IpAddr, now: Instant) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST_ADDRESSES {
            counts.retain(|_, count| now.duration_since(count.since) < WINDOW);
        }
        if counts.len() >= MOST_ADDRESSES {
            // So many at once is no guessing from one address; forgetting some is the smaller harm.
            counts.clear();
        }
        let fresh = Count {
            wrong: 0,
            since: now,
        };
        let count = counts.entry(network(source)).or_insert(fresh);
        if now.duration_since(count.since) >= WINDOW {
            *count = fresh;
        }
        count.wrong += 1;
    }
}

/// A /64 of IPv6 is one subscriber.
fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(ip) if ip.is_loopback() => source,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

const MOST_WRONG: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
const MOST_ADDRESSES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_tenth_wrong_token_within_a_minute_makes_its_address_wait() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        for _ in 0..9 {
            attempts.wrong(ip("10.0.0.1"), start);
        }
        assert_eq!(attempts.wait(ip("10.0.0.1"), start), None);
        attempts.wrong(ip("10.0.0.1"), start);
        assert_eq!(attempts.wait(ip("10.0.0.1"), start), Some(WINDOW));
        assert_eq!(attempts.wait(ip("10.0.0.2"), start), None);
        assert_eq!(attempts.wait(ip("10.0.0.1"), start + WINDOW), None);
    }

    #[test]
    fn a_subscriber_does_not_get_more_tries_by_having_many_addresses() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for host in 1..=10 {
            attempts.wrong(ip(&format!("2001:db8::{host}")), now);
        }
        assert!(attempts.wait(ip("2001:db8::ffff"), now).is_some());
        assert!(attempts.wait(ip("2001:db8:0:1::1"), now).is_none());
    }

    #[test]
    fn the_table_has_an_end() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for host in 0..10_000_u32 {
            attempts.wrong(IpAddr::V4(host.into()), now);
        }
        assert!(attempts.0.lock().unwrap().len() <= MOST_ADDRESSES);
    }
}
