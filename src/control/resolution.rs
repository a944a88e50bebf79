//! How the name of servers is shown: what DNS says of it, and each server that it stands for.

use serde::Serialize;
use utoipa::ToSchema;

use super::view::ServerStatus;
use crate::clock::{self, Timestamp};
use crate::domain::server::{Server, State};
use crate::domain::upstream::members::Member;
use crate::spec::Address;

/// What DNS says of a name.
#[derive(Serialize, ToSchema)]
pub(super) struct Resolution {
    /// `resolved`, `failing` (the last answer was of no use: what an earlier one said stays) or `unresolved`
    /// (there was no answer of use yet).
    #[schema(value_type = String, example = "resolved")]
    state: &'static str,
    /// Since when the answers are of no use.
    #[schema(format = DateTime)]
    failing_since: Option<String>,
    /// What is wrong with the last answer.
    problem: Option<String>,
    /// Addresses that are not taken, each with the reason.
    refused: Vec<String>,
    /// When DNS was asked last; null if never.
    #[schema(format = DateTime)]
    asked_at: Option<String>,
    /// When it is asked again.
    #[schema(format = DateTime)]
    again_at: Option<String>,
    /// The servers that the name stands for. Changes address the name.
    servers: Vec<ResolvedServer>,
}

/// One of the servers that a name stands for.
#[derive(Serialize, ToSchema)]
struct ResolvedServer {
    address: Address,
    /// The name's weight times that of the SRV record.
    weight: u16,
    /// Whether the name is a backup, or the SRV record is not of the lowest priority.
    backup: bool,
    status: ServerStatus,
}

impl Resolution {
    /// Of a name only.
    pub(super) fn new(member: &Member<'_>) -> Option<Self> {
        let observed = member.name_state()?.observed();
        let time = |ms: u64| (ms > 0).then(|| Timestamp::from_unix_ms(ms).to_string());
        let servers = member.servers().iter();
        Some(Self {
            state: match (member.is_unresolved(), observed.failing_since) {
                (true, _) => "unresolved",
                (false, Some(_)) => "failing",
                (false, None) => "resolved",
            },
            failing_since: observed.failing_since.and_then(time),
            problem: observed.problem,
            refused: observed.refused,
            asked_at: time(observed.asked_at),
            again_at: time(observed.again_at),
            servers: servers.map(|server| ResolvedServer::new(server)).collect(),
        })
    }

    /// Whether the name stands for what the last answer said.
    pub(super) fn is_sound(&self) -> bool {
        self.state == "resolved"
    }

    /// What an operator should know of a name that is not sound.
    pub(super) fn trouble(&self) -> String {
        let problem = self.problem.as_deref().unwrap_or("DNS was not asked yet");
        match self.state {
            "unresolved" => format!("is not resolved yet: {problem}"),
            _ => format!("cannot be resolved, its last addresses stay: {problem}"),
        }
    }

    /// Why the name is in its state.
    pub(super) fn reason(&self, member: &Member<'_>) -> String {
        match member.state(clock::monotonic_ms()) {
            State::Down if member.spec().down_at_source => "its source has it down".into(),
            State::Down => "taken out by an operator".into(),
            State::Draining => "drained by an operator: finishes what it has".into(),
            _ if member.spec().weight == 0 => "weight 0: takes no requests".into(),
            _ if !self.is_sound() => self.trouble(),
            _ if self.servers.is_empty() => "all its addresses are members already".into(),
            _ => {
                let servers = member.servers();
                let usable = servers.iter().filter(|server| server.is_usable()).count();
                format!(
                    "{usable} of {} addresses could take requests",
                    servers.len()
                )
            }
        }
    }

    /// Leaves out how the last probes of its servers went.
    pub(super) fn forget_checks(&mut self) {
        for server in &mut self.servers {
            server.status.forget_checks();
        }
    }
}

impl ResolvedServer {
    fn new(server: &Server) -> Self {
        Self {
            address: server.address().clone(),
            weight: server.weight(),
            backup: server.is_backup(),
            status: ServerStatus::new(server),
        }
    }
}
