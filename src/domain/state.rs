use super::server::Health;
use crate::spec::Admin;

/// The two axes seen together: what a server is, for requests and for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Takes requests.
    Up,
    /// Works on as many requests as it may.
    Full,
    /// Takes a part of its requests, which grows.
    SlowStart,
    /// Takes requests if nothing better does: checked, and no verdict yet.
    Unknown,
    /// Finishes what it has.
    Draining,
    /// Taken out by the operator.
    Down,
    /// Taken out by its checks.
    Unhealthy,
    /// Taken out for a while because requests failed.
    Ejected,
}

impl State {
    /// The one place where the axes meet. Without checks nothing is observed, and unknown is as good
    /// as up.
    pub fn of(admin: Admin, checked: bool, health: Health, is_ejected: bool) -> Self {
        match (admin, health) {
            (Admin::Down, _) => Self::Down,
            (Admin::Drain, _) => Self::Draining,
            (Admin::Up, Health::Down) if checked => Self::Unhealthy,
            (Admin::Up, _) if is_ejected => Self::Ejected,
            (Admin::Up, Health::Unknown) if checked => Self::Unknown,
            (Admin::Up, _) => Self::Up,
        }
    }

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Full => "full",
            Self::SlowStart => "slow_start",
            Self::Unknown => "unknown",
            Self::Draining => "draining",
            Self::Down => "down",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
        }
    }
}
