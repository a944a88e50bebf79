//! The file as written: one type for each section, everything optional.

mod control;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use log::LevelFilter;
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};

use super::reader::Reader;
use super::settings::{LimitSettings, ListenerSettings, ServerSettings, StateSettings};
use super::tree::{Content, Entry, Node};
use super::values::{
    ByteSize, FormatText, ListenAddress, ListenerInterface, LogText, Network, StoreText,
};
use super::{Config, seed};
use crate::ports::access_log::{AccessLogSettings, LogTarget};
use crate::spec::{Name, Span, Spec, explain};
use crate::store::{History, StoreSettings};
use control::ControlFile;

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
            access_log: self.access_log.settle(),
            log_level: self.log.level,
            seed: self.seed,
            warnings: Vec::new(),
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
    legacy: Option<Vec<ListenerInterface>>,
    legacy_allow: Option<Vec<Network>>,
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
    header_timeout: Option<Span>,
    header_size: Option<ByteSize>,
    header_count: Option<u32>,
    body_size: Option<ByteSize>,
    min_rate: Option<u32>,
    h2_streams: Option<u32>,
    h2_idle: Option<Span>,
    websocket_idle: Option<Span>,
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
            legacy: None,
            legacy_allow: None,
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
            legacy: self
                .legacy
                .unwrap_or_default()
                .into_iter()
                .map(|listed| listed.0)
                .collect(),
            legacy_allow: self.legacy_allow.map_or_else(loopback, networks),
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
        let size = |written: Option<ByteSize>, default| {
            let size = written.map_or(default, |size| size.0);
            if size == 0 {
                usize::MAX
            } else {
                usize::try_from(size).unwrap_or(usize::MAX)
            }
        };
        let count = self.header_count.map_or(100, u64::from);
        let rate = self.min_rate.unwrap_or(240);
        LimitSettings {
            header_timeout: limit(self.header_timeout, 10),
            header_size: size(self.header_size, 32 << 10),
            header_count: size(Some(ByteSize(count)), 0),
            body_size: self.body_size.map(|size| size.0).filter(|&size| size > 0),
            min_rate: (rate > 0).then_some(rate),
            h2_streams: self.h2_streams.filter(|&streams| streams > 0).unwrap_or(
                if self.h2_streams.is_some() {
                    u32::MAX
                } else {
                    128
                },
            ),
            h2_idle: limit(self.h2_idle, 180),
            websocket_idle: limit(self.websocket_idle, 3600),
            body_timeout: limit(self.body_timeout, 30),
            keepalive_timeout: limit(self.keepalive_timeout, 65),
            keepalive_requests: (requests > 0).then_some(requests),
        }
    }
}

fn loopback() -> Vec<IpNet> {
    let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
    vec![v4.into(), IpAddr::from(Ipv6Addr::LOCALHOST).into()]
}

fn networks(written: Vec<Network>) -> Vec<IpNet> {
    written.into_iter().map(|network| network.0).collect()
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

impl AccessLogFile {
    fn settle(self) -> AccessLogSettings {
        AccessLogSettings {
            target: self.path.map_or(LogTarget::Stdout, |path| path.0),
            format: self.format.into(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogFile {
    #[serde(deserialize_with = "level")]
    level: LevelFilter,
}

impl Default for LogFile {
    fn default() -> Self {
        let level = LevelFilter::Info;
        Self { level }
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LevelFilter, D::Error> {
    let text = String::deserialize(deserializer)?;
    let unknown = |_| de::Error::unknown_variant(&text, &LEVELS);
    text.parse().map_err(unknown)
}
