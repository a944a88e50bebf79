//! The file as written: one type for each section, everything optional.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use log::LevelFilter;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::reader::Reader;
use super::settings::{
    ControlSettings, ControlTls, LimitSettings, ListenerSettings, Role, ServerSettings,
    StateSettings, Token,
};
use super::tree::{Content, Entry, Node};
use super::values::{
    ByteSize, FormatText, ListenAddress, LogText, NamePattern, Network, StoreText,
};
use super::{Config, seed};
use crate::ports::access_log::{AccessLogSettings, LogTarget};
use crate::spec::{Name, Span, Spec, explain};
use crate::store::{History, StoreSettings};

/// The file, section by section.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    server: ServerFile,
    listeners: Option<Vec<ListenerFile>>,
    control: ControlFile,
    state: StateFile,
    access_log: AccessLogFile,
    log: LogFile,
    seed: Spec,
}

const SECTIONS: [&str; 9] = [
    "server",
    "listeners",
    "control",
    "state",
    "access_log",
    "log",
    "defaults",
    "upstreams",
    "routes",
];

impl ConfigFile {
    /// Reads every section that the file has; what is wrong goes to the reader.
    pub(super) fn read(root: &Node, reader: &mut Reader) -> Self {
        let mut file = Self::default();
        if !matches!(root.content, Content::Map(_)) {
            let message = "the file is a mapping: `upstreams:` and more";
            reader.note_hole(root.at, message);
        }
        for Entry { key, at, value } in root.entries() {
            match key.as_str() {
                // A section whose every key is commented out.
                name if value.is_null() && SECTIONS.contains(&name) => {}
                "server" => file.server = section(key, value, reader),
                "listeners" => file.listeners = reader.read(&[key], value),
                "control" => file.control = section(key, value, reader),
                "state" => file.state = section(key, value, reader),
                "access_log" => file.access_log = section(key, value, reader),
                "log" => file.log = section(key, value, reader),
                "defaults" => {
                    file.seed.defaults = seed::read_upstream(&[key], value, reader).into()
                }
                "upstreams" => file.seed.upstreams = seed::read_upstreams(value, reader),
                "routes" => file.seed.routes = seed::read_routes(value, reader),
                _ => reader.note(*at, unknown_section(key)),
            }
        }
        file
    }

    /// With the default where the file says nothing.
    pub(super) fn settle(self, variable: &dyn Fn(&str) -> Option<String>) -> Config {
        let listeners = self
            .listeners
            .unwrap_or_else(|| vec![ListenerFile::default()]);
        Config {
            server: self.server.settle(variable),
            listeners: listeners.into_iter().map(ListenerFile::settle).collect(),
            control: self.control.settle(),
            state: self.state.settle(),
            access_log: AccessLogSettings {
                target: self
                    .access_log
                    .path
                    .map_or(LogTarget::Stdout, |path| path.0),
                format: self.access_log.format.into(),
            },
            log_level: self.log.level.map_or(LevelFilter::Info, LevelFile::filter),
            seed: self.seed,
        }
    }
}

fn unknown_section(key: &str) -> String {
    let known = SECTIONS.map(|section| format!("`{section}`")).join(", ");
    explain(
        &[key],
        &format!("unknown field `{key}`, expected one of {known}"),
    )
}

fn section<T: DeserializeOwned + Default>(name: &str, node: &Node, reader: &mut Reader) -> T {
    if !reader.is_map(node, name) {
        return T::default();
    }
    reader.read(&[name], node).unwrap_or_default()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ServerFile {
    node: Option<Name>,
    threads: Option<Threads>,
    shutdown_grace: Option<Span>,
    probe_concurrency: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "ThreadsText")]
enum Threads {
    Auto,
    Number(usize),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "write `auto` or a number of threads")]
enum ThreadsText {
    Number(usize),
    Text(String),
}

impl TryFrom<ThreadsText> for Threads {
    type Error = &'static str;
    fn try_from(text: ThreadsText) -> Result<Self, Self::Error> {
        match text {
            ThreadsText::Number(number) => Ok(Self::Number(number)),
            ThreadsText::Text(text) if text == "auto" => Ok(Self::Auto),
            // From the environment a number comes as a text.
            ThreadsText::Text(text) => text
                .parse()
                .map(Self::Number)
                .map_err(|_| "write `auto` or a number of threads"),
        }
    }
}

impl ServerFile {
    fn settle(self, variable: &dyn Fn(&str) -> Option<String>) -> ServerSettings {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let host = || variable("HOSTNAME").filter(|host| !host.is_empty());
        ServerSettings {
            node: self
                .node
                .unwrap_or_else(|| Name::from_any(&host().unwrap_or_else(|| "node".to_owned()))),
            threads: match self.threads {
                None | Some(Threads::Auto) => cores(),
                Some(Threads::Number(number)) => number,
            },
            shutdown_grace: self
                .shutdown_grace
                .map_or(Duration::from_secs(30), Span::duration),
            probe_concurrency: self.probe_concurrency.unwrap_or(64),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerFile {
    address: ListenAddress,
    protocols: Option<Vec<ListenerProtocol>>,
    trusted_proxies: Option<Vec<Network>>,
    #[serde(default)]
    limits: LimitsFile,
}

#[derive(Debug, Deserialize, PartialEq)]
enum ListenerProtocol {
    #[serde(rename = "http/1.1")]
    Http1,
    #[serde(rename = "h2")]
    Http2,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsFile {
    body_timeout: Option<Span>,
    keepalive_timeout: Option<Span>,
    keepalive_requests: Option<u32>,
}

impl Default for ListenerFile {
    fn default() -> Self {
        Self {
            address: ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080))),
            protocols: None,
            trusted_proxies: None,
            limits: LimitsFile::default(),
        }
    }
}

impl ListenerFile {
    fn settle(self) -> ListenerSettings {
        let speaks = |protocol| {
            self.protocols
                .as_ref()
                .is_none_or(|listed| listed.contains(&protocol))
        };
        ListenerSettings {
            h1: speaks(ListenerProtocol::Http1),
            h2: speaks(ListenerProtocol::Http2),
            address: self.address,
            trusted_proxies: networks(self.trusted_proxies.unwrap_or_default()),
            limits: self.limits.settle(),
        }
    }
}

impl LimitsFile {
    fn settle(self) -> LimitSettings {
        let limit = |written: Option<Span>, seconds| {
            written.map_or(Some(Duration::from_secs(seconds)), Span::limit)
        };
        let requests = self.keepalive_requests.unwrap_or(10_000);
        LimitSettings {
            body_timeout: limit(self.body_timeout, 30),
            keepalive_timeout: limit(self.keepalive_timeout, 65),
            keepalive_requests: (requests > 0).then_some(requests),
        }
    }
}

fn networks(written: Vec<Network>) -> Vec<IpNet> {
    written.into_iter().map(|network| network.0).collect()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ControlFile {
    address: Option<ListenAddress>,
    allow: Option<Vec<Network>>,
    allow_link_local: Option<bool>,
    hosts: Option<Vec<String>>,
    tls: Option<ControlTls>,
    tokens: Option<Vec<TokenFile>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    name: Name,
    sha256: Sha256Text,
    role: Role,
    upstreams: Option<Vec<NamePattern>>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Sha256Text([u8; 32]);

impl TryFrom<String> for Sha256Text {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong =
            "write the token's SHA-256 as 64 hexadecimal digits (printf %s TOKEN | sha256sum)";
        let mut sum = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(wrong);
        }
        for (byte, pair) in sum.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong)?;
        }
        Ok(Self(sum))
    }
}

impl ControlFile {
    fn settle(self) -> ControlSettings {
        let loopback = || {
            vec![
                IpAddr::from(Ipv4Addr::LOCALHOST),
                Ipv6Addr::LOCALHOST.into(),
            ]
        };
        let hosts = self.hosts.unwrap_or_default();
        let tokens = self.tokens.unwrap_or_default();
        ControlSettings {
            address: self.address.unwrap_or_else(|| {
                ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 9900)))
            }),
            allow: self.allow.map_or_else(
                || loopback().into_iter().map(IpNet::from).collect(),
                networks,
            ),
            allow_link_local: self.allow_link_local.unwrap_or(false),
            hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            tls: self.tls,
            tokens: tokens.into_iter().map(TokenFile::settle).collect(),
        }
    }
}

impl TokenFile {
    fn settle(self) -> Token {
        Token {
            name: self.name.to_string(),
            sha256: self.sha256.0,
            role: self.role,
            upstreams: self.upstreams.unwrap_or_else(|| vec![NamePattern::any()]),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StateFile {
    store: Option<StoreText>,
    history: HistoryFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HistoryFile {
    revisions: Option<u64>,
    age: Option<Span>,
    size: Option<ByteSize>,
}

impl StateFile {
    fn settle(self) -> StateSettings {
        let place = || StoreSettings::Sqlite("/var/lib/pointsman/state.db".into());
        // 0 means no limit.
        let size = self.history.size.map_or(1 << 30, |size| size.0);
        StateSettings {
            store: self.store.map_or_else(place, |store| store.0),
            history: History {
                revisions: self.history.revisions.unwrap_or(1000),
                age: self.history.age.unwrap_or(Span::from_secs(7 * 86_400)),
                size: if size == 0 { u64::MAX } else { size },
            },
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AccessLogFile {
    path: Option<LogText>,
    format: FormatText,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogFile {
    level: Option<LevelFile>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LevelFile {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LevelFile {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Off => LevelFilter::Off,
            Self::Error => LevelFilter::Error,
            Self::Warn => LevelFilter::Warn,
            Self::Info => LevelFilter::Info,
            Self::Debug => LevelFilter::Debug,
            Self::Trace => LevelFilter::Trace,
        }
    }
}
