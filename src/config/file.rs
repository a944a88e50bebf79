//! The file as written: one type for each section, everything optional.

mod control;
mod dns;
mod listener;
mod state;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use log::LevelFilter;
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};

use super::reader::Reader;
use super::settings::ServerSettings;
use super::tree::{Content, Entry, Node};
use super::values::{FormatText, LogText, Network};
use super::{Config, seed};
use crate::edge::ConnectionLimits;
use crate::ports::access_log::{AccessLogSettings, LogTarget};
use crate::spec::{Name, Span, Spec, explain};
use control::ControlFile;
use dns::DnsFile;
use listener::ListenerFile;
use state::StateFile;

/// The file, section by section.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    server: ServerFile,
    listeners: Option<Vec<ListenerFile>>,
    control: ControlFile,
    state: StateFile,
    dns: DnsFile,
    access_log: AccessLogFile,
    log: LogFile,
    seed: Spec,
}

const SECTIONS: [&str; 10] = [
    "server",
    "listeners",
    "control",
    "state",
    "dns",
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
                "dns" => file.dns = section(key, value, reader),
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
            name_servers: self.dns.settle(),
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
    max_connections: Option<u32>,
    max_connections_per_ip: u32,
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
            connections: ConnectionLimits {
                total: limit(self.max_connections.unwrap_or(50_000)),
                per_address: limit(self.max_connections_per_ip),
            },
            shutdown_grace: self
                .shutdown_grace
                .map_or(Duration::from_secs(30), Span::duration),
            probe_concurrency: self.probe_concurrency.unwrap_or(64),
        }
    }
}

/// 0 means no limit.
fn limit(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
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
