//! One member of a group: what the operator wants of it, what was observed of it, and both together.

mod checks;
mod in_flight;
mod shared;

use std::sync::Arc;

use super::ramp::{Ramp, WHOLE};
pub use super::state::State;
use crate::spec::{Address, Admin, Labels, ServerSpec};

pub use checks::LastCheck;
pub use in_flight::InFlight;
pub use shared::{ServerId, ServerState};

/// What checks observed. Only checks change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// No verdict yet.
    Unknown = 0,
    /// The last verdict was good.
    Up = 1,
    /// The last verdict was bad.
    Down = 2,
}

/// One member of a group in one snapshot. Never edited: a change makes a new one around the same state.
#[derive(Debug)]
pub struct Server {
    spec: ServerSpec,
    label: String,
    resolved_from: Option<Address>,
    /// Among those of its name: the lower, the more preferred.
    rank: u16,
    checked: bool,
    ramp: Option<Ramp>,
    state: Arc<ServerState>,
}

impl Server {
    /// A member as asked for, around the state that survives it. `checked`: its group has active checks.
    pub fn new(spec: &ServerSpec, checked: bool, state: Arc<ServerState>) -> Self {
        Self {
            label: spec.address.to_string(),
            spec: spec.clone(),
            resolved_from: None,
            rank: 0,
            checked,
            ramp: None,
            state,
        }
    }

    /// The same server with its slow start.
    pub fn with_ramp(self, ramp: Option<Ramp>) -> Self {
        Self { ramp, ..self }
    }

    /// The same as one of those that the member with this name stands for.
    pub(super) fn found_by(self, name: &Address, rank: u16) -> Self {
        Self {
            resolved_from: Some(name.clone()),
            rank,
            ..self
        }
    }

    /// The name whose member it is part of, if DNS says where it is.
    pub fn resolved_from(&self) -> Option<&Address> {
        self.resolved_from.as_ref()
    }

    /// What it was built from.
    pub fn spec(&self) -> &ServerSpec {
        &self.spec
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.spec.address
    }

    /// The address as text.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its share beside the others' weights.
    pub fn weight(&self) -> u16 {
        self.spec.weight
    }

    /// What the operator wants.
    pub fn admin(&self) -> Admin {
        self.spec.wanted()
    }

    /// Whether it is used only when no primary is available.
    pub fn is_backup(&self) -> bool {
        self.spec.backup || self.rank > 0
    }

    /// The tier that it stands in: servers of a tier are used when those before have none left. Backups
    /// are the last.
    pub fn tier(&self) -> u64 {
        let own = if self.spec.backup {
            u64::from(u16::MAX) + 1
        } else {
            self.spec.tier.into()
        };
        own << 16 | u64::from(self.rank)
    }

    /// Whether it has all of these labels.
    pub fn has_labels(&self, labels: &Labels) -> bool {
        self.spec.has_labels(labels)
    }

    /// Its identity.
    pub fn id(&self) -> ServerId {
        self.state.id()
    }

    /// What survives this snapshot.
    pub fn shared(&self) -> &Arc<ServerState> {
        &self.state
    }

    /// What checks observed. Without checks there is nothing to observe: unknown.
    pub fn health(&self) -> Health {
        if self.checked {
            self.state.health()
        } else {
            Health::Unknown
        }
    }

    /// Whether its group has active checks.
    pub fn is_checked(&self) -> bool {
        self.checked
    }

    /// The axes, passive ejection, the limit and slow start seen together at `now` (milliseconds by a clock that only
    /// goes on).
    pub fn state(&self, now: u64) -> State {
        let is_out = self.state.ejection().is_out(now);
        let is_slow = |ramp: &Ramp| ramp.seen(self.state.recoveries(), now) < WHOLE;
        match State::of(
            self.spec.wanted(),
            self.checked,
            self.state.health(),
            is_out,
        ) {
            State::Up | State::Unknown if self.is_full() => State::Full,
            State::Up if self.ramp.as_ref().is_some_and(is_slow) => State::SlowStart,
            state => state,
        }
    }

    /// Requests that it works on at a time; none: no limit.
    pub fn limit(&self) -> Option<u32> {
        Some(self.spec.max_connections).filter(|most| *most > 0)
    }

    /// Whether it works on as many requests as it may.
    pub fn is_full(&self) -> bool {
        self.limit()
            .is_some_and(|most| self.state.in_flight() >= most)
    }

    /// Its slow start, if it has one.
    pub fn ramp(&self) -> Option<&Ramp> {
        self.ramp.as_ref()
    }

    /// Whether the operator lets it take requests.
    pub fn is_let(&self) -> bool {
        self.spec.wanted() == Admin::Up && self.spec.weight > 0
    }

    /// Whether the rails count it: admin up and health not down. Weight 0 takes no requests; an ejection passes by itself.
    pub fn is_usable(&self) -> bool {
        let state = State::of(self.spec.wanted(), self.checked, self.state.health(), false);
        self.spec.weight > 0 && matches!(state, State::Up | State::Unknown)
    }
}

impl Health {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::StartHealth;

    fn server(admin: Admin, checked: bool, health: Health) -> Server {
        let state = ServerState::new(StartHealth::Unknown);
        state.set_health(health, 1);
        let spec = ServerSpec {
            admin,
            ..ServerSpec::new(Address::new("127.0.0.1:1").unwrap())
        };
        Server::new(&spec, checked, Arc::new(state))
    }

    #[test]
    fn the_operator_wins_and_health_is_not_lost() {
        assert_eq!(server(Admin::Up, true, Health::Up).state(0), State::Up);
        assert_eq!(
            server(Admin::Up, true, Health::Unknown).state(0),
            State::Unknown
        );
        assert_eq!(
            server(Admin::Up, true, Health::Down).state(0),
            State::Unhealthy
        );
        for health in [Health::Unknown, Health::Up, Health::Down] {
            let down = server(Admin::Down, true, health);
            assert_eq!((down.state(0), down.health()), (State::Down, health));
            assert_eq!(server(Admin::Drain, true, health).state(0), State::Draining);
        }
    }

    #[test]
    fn without_checks_an_old_verdict_counts_for_nothing() {
        assert_eq!(server(Admin::Up, false, Health::Down).state(0), State::Up);
        assert_eq!(
            server(Admin::Up, false, Health::Unknown).state(0),
            State::Up
        );
    }

    #[test]
    fn an_attempt_is_in_flight_until_its_guard_goes() {
        let server = Arc::new(server(Admin::Up, false, Health::Unknown));
        let (first, second) = (
            InFlight::begin(server.clone()),
            InFlight::begin(server.clone()),
        );
        assert_eq!(server.shared().in_flight(), 2);
        drop(first);
        assert_eq!(server.shared().in_flight(), 1);
        drop(second);
        assert_eq!(
            (server.shared().in_flight(), server.shared().requests()),
            (0, 2)
        );
    }
}
