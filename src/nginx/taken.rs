use std::collections::HashMap;
use std::fmt;

use super::balance::{Balance, Better};
use super::check::{Check, CheckKind, StatusClass};
use super::error::{At, one_line, shown};
use super::server_line::ServerLine;
use super::units;
use super::upstream::{Directive, Placed, UpstreamBlock};
use crate::spec::{
    Address, Admin, BalanceSpec, CheckType, HashKey, HashSpec, HealthSpec, QueueSpec, ServerSpec,
    Span, StartHealth, StatusRange, TimeoutsSpec, UpstreamSpec,
};

/// A block as a group of ours, and what the group does not say.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The group, as far as it can be taken over. What the block does not say is left to the defaults.
    pub upstream: UpstreamSpec,
    /// What it does not say, in the order of the text.
    pub gaps: Vec<Gap>,
}

/// Something in a block that a group cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Where.
    pub at: At,
    /// The word that is meant, fit for a line of a log.
    pub word: String,
    /// Why it cannot be said.
    pub why: String,
    /// Whether the group serves every request as the block would all the same.
    pub is_harmless: bool,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`: {}", self.at, self.word, self.why)
    }
}

impl UpstreamBlock {
    /// The group that this block describes.
    pub fn taken(&self) -> Taken {
        let mut taking = Taking::default();
        for line in self.directives() {
            taking.take(line);
        }
        taking.end()
    }
}

impl Taken {
    /// The group in the place of an old one: what nginx says elsewhere than in an `upstream {}` block (the
    /// Host header, retries, the other timeouts) stays as it was, what a block can say is as it says.
    pub fn in_place_of(&self, old: &UpstreamSpec) -> UpstreamSpec {
        let new = self.upstream.clone();
        let timeouts = TimeoutsSpec {
            idle: new.timeouts.and_then(|timeouts| timeouts.idle),
            ..old.timeouts.clone().unwrap_or_default()
        };
        UpstreamSpec {
            balance: new.balance,
            hash: new.hash,
            servers: new.servers,
            keepalive: new.keepalive,
            health: new.health,
            // Only NGINX Plus has one: a block without one says nothing.
            queue: new.queue.or_else(|| old.queue.clone()),
            timeouts: (timeouts != TimeoutsSpec::default()).then_some(timeouts),
            ..old.clone()
        }
    }
}

#[derive(Default)]
struct Taking<'a> {
    upstream: UpstreamSpec,
    gaps: Vec<Gap>,
    /// Where each address was first.
    places: HashMap<Address, At>,
    balance: Option<(At, &'a Balance)>,
    check: Option<(At, &'a Check)>,
    send: Option<(At, &'a str)>,
    alive: Option<(At, &'a [StatusClass])>,
    resolvers: Vec<(At, &'a str)>,
}

impl<'a> Taking<'a> {
    fn take(&mut self, line: &'a Placed<Directive>) {
        let at = line.at;
        match &line.it {
            Directive::Server(server) => self.server(at, server),
            Directive::Balance(balance) => {
                if let Some((first, other)) = self.balance.replace((at, balance)) {
                    let why = format!("the method of line {} counts, the last one", at.line);
                    self.ignored(first, &other.to_string(), &why);
                }
            }
            Directive::Keepalive(number) => self.upstream.keepalive = Some(*number),
            Directive::KeepaliveTimeout(time) => {
                self.upstream.timeouts = Some(TimeoutsSpec {
                    idle: Some(*time),
                    ..TimeoutsSpec::default()
                });
            }
            // Workers share their memory here.
            Directive::Zone(..) => {}
            Directive::Check(check) => self.check = Some((at, check)),
            Directive::CheckHttpSend(text) => self.send = Some((at, text)),
            Directive::CheckHttpExpectAlive(classes) => self.alive = Some((at, classes)),
            Directive::KeepaliveRequests(_) | Directive::KeepaliveTime(_) => {
                self.ignored(
                    at,
                    &line.it.to_string(),
                    "connections are kept without such a limit",
                );
            }
            Directive::CheckKeepaliveRequests(_) => {
                self.ignored(
                    at,
                    &line.it.to_string(),
                    "each check opens a connection of its own",
                );
            }
            Directive::Other(name, _) if name.starts_with("resolver") => {
                self.resolvers.push((at, name));
            }
            Directive::Other(name, words) if name == "queue" => match queue(words) {
                Some(queue) => self.upstream.queue = Some(queue),
                None => {
                    let why = "write `queue NUMBER` or `queue NUMBER timeout=TIME`";
                    self.refused(at, name, why);
                }
            },
            Directive::Other(name, _) => self.other(at, name),
        }
    }

    fn other(&mut self, at: At, name: &str) {
        match name {
            "check_fastcgi_param" => self.ignored(at, name, "it is for `type=fastcgi` only"),
            "sticky" => {
                let why = "its cookies are not signed; `sticky` of an upstream has a secret";
                self.refused(at, name, why);
            }
            "ntlm" => self.refused(
                at,
                name,
                "connections that belong to one client are not supported",
            ),
            "state" => self.refused(at, name, "servers in a file are not read; list them"),
            _ => self.refused(at, name, "there are no scripts here"),
        }
    }

    fn server(&mut self, at: At, line: &ServerLine) {
        let address = match Address::new(&line.address) {
            Ok(address) => self.service(at, line, address),
            // The error names the address.
            Err(error) => return self.refused(at, "server", &error.to_string()),
        };
        if let Some(first) = self.places.get(&address) {
            let why = format!("this server is in line {} already", first.line);
            return self.refused(at, &line.address, &why);
        }
        self.places.insert(address.clone(), at);
        let weight = u16::try_from(line.weight);
        if weight.is_err() {
            let why = format!("a weight is at most {}", u16::MAX);
            self.refused(at, &format!("weight={}", line.weight), &why);
        }
        if line.resolve && !address.is_name() {
            self.ignored(at, "resolve", "an address needs no resolving");
        }
        if let Some(route) = &line.route {
            let why = "it is for sticky sessions only";
            self.ignored(at, &format!("route={route}"), why);
        }
        self.upstream.servers.push(ServerSpec {
            weight: weight.unwrap_or(u16::MAX),
            admin: match (line.down, line.drain) {
                (true, _) => Admin::Down,
                (_, true) => Admin::Drain,
                _ => Admin::Up,
            },
            backup: line.backup,
            max_connections: line.max_conns,
            max_fails: line.max_fails,
            fail_timeout: line.fail_timeout,
            slow_start: line.slow_start,
            ..ServerSpec::new(address)
        });
    }

    /// The name whose SRV records a line means, as nginx makes it.
    fn service(&mut self, at: At, line: &ServerLine, address: Address) -> Address {
        let Some(service) = &line.service else {
            return address;
        };
        let prefix = match service.contains('.') {
            true => service.clone(),
            false => format!("_{service}._tcp"),
        };
        let made = Address::new(&format!("srv:{prefix}.{}", line.address));
        let why = match (&address, made) {
            (Address::Name(..), _) if line.address.contains(':') => "SRV records say the port",
            (Address::Name(..), _) if !line.resolve => "without `resolve` nginx refuses it",
            (Address::Name(..), Ok(service)) => return service,
            (Address::Name(..), Err(_)) => "it makes no name",
            _ => "an address has no SRV records",
        };
        self.refused(at, &format!("service={service}"), why);
        address
    }

    /// Where there are names, others may be asked for them than the block says.
    fn resolvers(&mut self) {
        let has_names = self.places.keys().any(Address::is_name);
        for (at, word) in std::mem::take(&mut self.resolvers) {
            match has_names {
                true => self.refused(at, word, "names are asked of `dns.servers`, for all groups"),
                false => self.ignored(at, word, "servers are addresses: nothing is resolved"),
            }
        }
    }

    fn end(mut self) -> Taken {
        self.resolvers();
        if let Some((at, balance)) = self.balance {
            match balance {
                Balance::LeastConn => self.upstream.balance = Some(BalanceSpec::LeastConnections),
                Balance::Random(None) => self.upstream.balance = Some(BalanceSpec::Random),
                Balance::Random(Some(Better::LeastConn)) => {
                    self.upstream.balance = Some(BalanceSpec::RandomTwo);
                }
                Balance::LeastTime(words) if words.first().is_some_and(|by| by == "header") => {
                    self.upstream.balance = Some(BalanceSpec::LeastTime);
                }
                Balance::IpHash => self.upstream.balance = Some(BalanceSpec::IpHash),
                Balance::Hash { key, .. } => match key_of(key) {
                    Some(key) => {
                        self.upstream.balance = Some(BalanceSpec::Hash);
                        self.upstream.hash = Some(HashSpec { key: Some(key) });
                    }
                    None => self.refused(at, &balance.to_string(), "this key is not supported"),
                },
                // Another method in its place would send clients elsewhere, and nobody would know.
                other => self.refused(at, &other.to_string(), "this method is not supported yet"),
            }
        }
        self.health();
        self.gaps.sort_by_key(|gap| gap.at);
        Taken {
            upstream: self.upstream,
            gaps: self.gaps,
        }
    }

    fn health(&mut self) {
        let Some((at, check)) = self.check else {
            for (at, word) in [
                self.send.map(|(at, _)| (at, "check_http_send")),
                self.alive.map(|(at, _)| (at, "check_http_expect_alive")),
            ]
            .into_iter()
            .flatten()
            {
                self.ignored(at, word, "without `check` nothing is checked");
            }
            return;
        };
        let milliseconds = |count: u32| Some(Span::from_millis(count.into()));
        let kind = match check.kind {
            CheckKind::Http => CheckType::Http,
            CheckKind::Tcp => CheckType::Tcp,
            kind => {
                let word = format!("type={}", kind.word());
                return self.refused(at, &word, "checks are `tcp` or `http`");
            }
        };
        let http = HealthSpec {
            request: Some(
                self.send
                    .map_or(DEFAULT_REQUEST, |(_, text)| text)
                    .to_owned(),
            ),
            statuses: Some(match self.alive {
                Some((_, classes)) => statuses(classes),
                None => statuses(&DEFAULT_CLASSES),
            }),
            ..HealthSpec::default()
        };
        let start = match check.default_down {
            true => StartHealth::Down,
            false => StartHealth::Up,
        };
        self.upstream.health = Some(HealthSpec {
            kind: Some(kind),
            interval: milliseconds(check.interval),
            timeout: milliseconds(check.timeout),
            fall: Some(check.fall),
            rise: Some(check.rise),
            port: (check.port != 0).then_some(check.port),
            start: Some(start),
            ..match kind {
                CheckType::Http => http,
                _ => HealthSpec::default(),
            }
        });
    }

    fn ignored(&mut self, at: At, word: &str, why: &str) {
        self.gap(at, word, why, true);
    }

    fn refused(&mut self, at: At, word: &str, why: &str) {
        self.gap(at, word, why, false);
    }

    fn gap(&mut self, at: At, word: &str, why: &str, is_harmless: bool) {
        self.gaps.push(Gap {
            at,
            word: shown(word),
            why: one_line(why, LONGEST_REASON),
            is_harmless,
        });
    }
}

fn queue(words: &[String]) -> Option<QueueSpec> {
    let (size, timeout) = match words {
        [size] => (size, None),
        [size, timeout] => (size, Some(timeout.strip_prefix("timeout=")?)),
        _ => return None,
    };
    Some(QueueSpec {
        size: Some(units::number(size).filter(|size| *size > 0)?),
        timeout: Some(timeout.map_or(Some(NGINX_WAITS), units::time)?),
    })
}

/// The key that a variable of nginx stands for. A text with more than one variable has none.
fn key_of(variable: &str) -> Option<HashKey> {
    let name = variable.strip_prefix('$')?;
    let bare = name
        .strip_prefix('{')
        .and_then(|name| name.strip_suffix('}'));
    let name = bare.unwrap_or(name);
    let named = |kind: &str, name: &str| HashKey::new(&format!("{kind}:{name}")).ok();
    match name {
        "request_uri" => Some(HashKey::Uri),
        "host" => Some(HashKey::Host),
        "remote_addr" | "binary_remote_addr" => Some(HashKey::ClientIp),
        _ if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => None,
        _ => {
            let (kind, name) = name.split_once('_')?;
            match kind {
                "http" => named("header", &name.replace('_', "-")),
                "cookie" => named("cookie", name),
                "arg" => named("query", name),
                _ => None,
            }
        }
    }
}

/// It may name an address as it was written.
const LONGEST_REASON: usize = 200;

/// How long a request waits with nginx when nothing is said.
const NGINX_WAITS: Span = Span::from_secs(60);

/// What nginx_upstream_check_module sends and takes for alive when nothing is said.
const DEFAULT_REQUEST: &str = "GET / HTTP/1.0\r\n\r\n";
const DEFAULT_CLASSES: [StatusClass; 2] = [StatusClass::SUCCESS, StatusClass::REDIRECTION];

fn statuses(classes: &[StatusClass]) -> Vec<StatusRange> {
    let ranges = classes.iter().map(|class| class.range());
    ranges
        .filter_map(|(first, last)| StatusRange::new(first, last).ok())
        .collect()
}
