use std::sync::Mutex;
use std::time::{Duration, Instant};

use ::redis::{Cmd, Value, cmd};

use super::fault::Fault;
use super::settings::RedisSettings;
use super::wire::Wire;
use crate::store::locked;

/// The connections to Redis. Whoever calls takes one that is idle or makes one, so that nobody waits
/// for another's answer.
pub(super) struct Connections {
    settings: RedisSettings,
    idle: Mutex<Vec<Wire>>,
}

impl Connections {
    pub(super) fn new(settings: RedisSettings) -> Self {
        let idle = Mutex::default();
        Self { settings, idle }
    }

    /// Does `work` within `limit`, on a new connection if a kept one turns out to have ended: so
    /// `work` may happen twice.
    pub(super) fn call<T>(
        &self,
        limit: Duration,
        mut work: impl FnMut(&mut Session<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let end = Instant::now() + limit;
        loop {
            let kept = locked(&self.idle).pop();
            let was_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect(end)?,
            };
            let done = work(&mut Session::new(&mut connection, end));
            match done {
                Err(fault) if fault.ends_connection() => {
                    // The others are as old.
                    locked(&self.idle).clear();
                    if !was_kept || Instant::now() >= end {
                        return Err(fault);
                    }
                }
                done => {
                    let mut idle = locked(&self.idle);
                    if idle.len() < MOST_IDLE {
                        idle.push(connection);
                    }
                    return done;
                }
            }
        }
    }

    /// A connection that no other call gets.
    pub(super) fn connect(&self, end: Instant) -> Result<Wire, Fault> {
        let settings = &self.settings;
        match &settings.master {
            Some(master) if !settings.sentinels.is_empty() => self.by_sentinel(master, end),
            _ => self.by_list(end),
        }
    }

    /// The first that is a master; else the first that answers, which can at least be read from.
    fn by_list(&self, end: Instant) -> Result<Wire, Fault> {
        let addresses = &self.settings.addresses;
        let (mut replica, mut failed) = (None, Vec::new());
        for (place, address) in addresses.iter().enumerate() {
            let limit = share(end, addresses.len() - place);
            let until = Instant::now() + limit;
            let connected = self.open(&self.settings.url(address), limit);
            match connected {
                Ok(mut connection) => {
                    if addresses.len() == 1 || is_master(&mut connection, until) {
                        return Ok(connection);
                    }
                    replica = replica.or(Some(connection));
                }
                Err(error) => failed.push(format!("{address}: {error}")),
            }
        }
        replica.ok_or_else(|| Fault::Away(failed.join("; ")))
    }

    fn by_sentinel(&self, master: &str, end: Instant) -> Result<Wire, Fault> {
        let sentinels = &self.settings.sentinels;
        let mut failed = Vec::new();
        for (place, sentinel) in sentinels.iter().enumerate() {
            let limit = share(end, sentinels.len() - place);
            match self.named_by(sentinel, master, limit) {
                Ok(connection) => return Ok(connection),
                Err(reason) => failed.push(format!("{sentinel}: {reason}")),
            }
        }
        Err(Fault::Away(failed.join("; ")))
    }

    fn named_by(&self, sentinel: &str, master: &str, limit: Duration) -> Result<Wire, String> {
        let url = self.settings.sentinel_url(sentinel);
        let mut connection = self.open(&url, limit / 2)?;
        let mut question = cmd("SENTINEL");
        question.arg("get-master-addr-by-name").arg(master);
        let found = connection.ask(&question, Instant::now() + limit / 2);
        let found = found.map_err(|fault| fault.text())?;
        let found: Option<(String, u16)> =
            ::redis::from_redis_value(found).map_err(|error| error.to_string())?;
        let (host, port) = found.ok_or_else(|| format!("it knows no master {master}"))?;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        let address = format!("{host}:{port}");
        let mut connection = self
            .open(&self.settings.url(&address), limit / 2)
            .map_err(|error| format!("the master {address}: {error}"))?;
        match is_master(&mut connection, Instant::now() + limit / 2) {
            true => Ok(connection),
            false => Err(format!("{address} is no master any more")),
        }
    }

    fn open(&self, url: &str, limit: Duration) -> Result<Wire, String> {
        Wire::open(url, self.settings.ca.as_deref(), limit)
    }
}

/// What one of so many tries may take.
fn share(end: Instant, tries: usize) -> Duration {
    let left = end.saturating_duration_since(Instant::now());
    let tries = u32::try_from(tries.max(1)).unwrap_or(u32::MAX);
    (left / tries).max(Duration::from_millis(1))
}

/// `HELLO` asks for no more than every user may; `ROLE` is for administrators.
fn is_master(wire: &mut Wire, end: Instant) -> bool {
    let Ok(Value::Array(fields)) = wire.ask(cmd("HELLO").arg(2), end) else {
        return false;
    };
    let text = |value: &Value| ::redis::from_redis_value_ref::<String>(value).unwrap_or_default();
    fields
        .chunks(2)
        .any(|pair| matches!(pair, [name, role] if text(name) == "role" && text(role) == "master"))
}

/// One call's use of a connection.
pub(super) struct Session<'a> {
    wire: &'a mut Wire,
    end: Instant,
}

impl<'a> Session<'a> {
    pub(super) fn new(wire: &'a mut Wire, end: Instant) -> Self {
        Self { wire, end }
    }

    /// Asks and waits for the answer, [`STEP`] at most and not beyond the call's end.
    pub(super) fn ask(&mut self, command: &Cmd) -> Result<Value, Fault> {
        self.ask_blocking(command, Duration::ZERO)
    }

    /// The same for a command that itself waits for `wait`.
    pub(super) fn ask_blocking(&mut self, command: &Cmd, wait: Duration) -> Result<Value, Fault> {
        let left = self.end.saturating_duration_since(Instant::now());
        let limit = left.min(STEP.saturating_add(wait));
        if limit.is_zero() {
            return Err(Fault::Away("no answer in time".into()));
        }
        self.wire.ask(command, Instant::now() + limit)
    }

    /// Whether the call's time is over.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }
}

/// The longest wait for one answer. With it a change is answered within 2 s.
pub(super) const STEP: Duration = Duration::from_millis(1500);

/// Idle connections kept: a commit, a checkpoint, the registry, a reader.
const MOST_IDLE: usize = 4;
