//! What Consul's answers say: nginx-upsync-module's keys, and the places of a service.

use serde_json::Value;

use super::base64;
use crate::spec::{Address, ForbiddenAddresses, Listing, Span, shortened};

/// The servers that an answer lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) servers: Vec<Server>,
    /// What is not taken, and why.
    pub(super) skipped: Vec<String>,
    /// Whether some of it does not even say which server it is about: then none can be said to be gone.
    pub(super) is_partial: bool,
}

/// One server, and how it is to be used, unless that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) settings: Option<Settings>,
}

/// What Consul says of a server; the defaults are those of nginx-upsync-module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) weight: u16,
    pub(super) max_fails: u32,
    pub(super) fail_timeout: Span,
    pub(super) backup: bool,
    pub(super) down: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            weight: 1,
            max_fails: 2,
            fail_timeout: Span::from_secs(10),
            backup: false,
            down: false,
        }
    }
}

impl Listed {
    /// Reads an answer. The error says why it is none.
    pub(super) fn read(
        listing: &Listing,
        body: Option<&[u8]>,
        forbidden: &ForbiddenAddresses,
    ) -> Result<Self, String> {
        let mut listed = Self::default();
        let Some(body) = body else {
            return Ok(listed);
        };
        let unread = |error: serde_json::Error| format!("the answer is no list in JSON: {error}");
        let items: Vec<Value> = serde_json::from_slice(body).map_err(unread)?;
        let folder = format!("{}/", listing.name());
        for item in &items {
            let read = match listing {
                Listing::Keys(_) => key(item, &folder),
                Listing::Catalogue(_) => place(item, &["ServiceAddress", "Address"]),
                Listing::Health(_) => checked(item),
            };
            listed.take(read, forbidden);
        }
        Ok(listed)
    }

    fn take(&mut self, read: Read, forbidden: &ForbiddenAddresses) {
        let (address, settings) = match read {
            Read::Server(address, settings) => (address, settings),
            Read::Other => return,
            Read::Skipped(why) => return self.skipped.push(why),
            Read::Unreadable(why) => {
                self.is_partial = true;
                return self.skipped.push(why);
            }
        };
        if let Some(reason) = forbidden.reason(&address) {
            return self.skipped.push(reason);
        }
        if self.servers.iter().any(|server| server.address == address) {
            return self.skipped.push(format!("`{address}` is listed twice"));
        }
        let settings = match settings {
            Ok(settings) => Some(settings),
            Err(why) => {
                self.skipped.push(format!("`{address}`: {why}"));
                None
            }
        };
        self.servers.push(Server { address, settings });
    }
}

/// What one item of an answer is.
enum Read {
    Server(Address, Result<Settings, String>),
    /// Nothing that anyone meant as a server.
    Other,
    /// No server, for this reason.
    Skipped(String),
    /// Perhaps a server, but not which one.
    Unreadable(String),
}

fn key(item: &Value, folder: &str) -> Read {
    let Some(key) = item.get("Key").and_then(Value::as_str) else {
        return Read::Unreadable("an item has no `Key`".to_owned());
    };
    let Some(name) = key.strip_prefix(folder) else {
        return Read::Unreadable(format!("key `{}` was not asked for", shortened(key)));
    };
    if name.is_empty() {
        return Read::Other;
    }
    match address(name) {
        Ok(address) => Read::Server(address, value(item.get("Value"))),
        Err(why) => Read::Skipped(format!("key {why}")),
    }
}

/// An address with its port: where none is given, nobody meant port 80.
fn address(text: &str) -> Result<Address, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let has_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if !has_port || (host.contains(':') && !host.ends_with(']')) {
        return Err(format!("`{}` is no `ip:port`", shortened(text)));
    }
    match Address::new(text) {
        Ok(address @ (Address::Ip(_) | Address::Name(..))) => Ok(address),
        Ok(_) => Err(format!("`{}` is no `ip:port`", shortened(text))),
        Err(error) => Err(error.to_string()),
    }
}

fn value(value: Option<&Value>) -> Result<Settings, String> {
    let text = match value {
        None | Some(Value::Null) => return Ok(Settings::default()),
        Some(Value::String(text)) => text,
        Some(_) => return Err("its value is no text".to_owned()),
    };
    let bytes = base64::decoded(text).ok_or("its value is no base64")?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Settings::default());
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => {
            let mut settings = Settings::default();
            for (name, value) in &fields {
                settings.set(name, value)?;
            }
            Ok(settings)
        }
        Ok(_) => Err("its value is no JSON object".to_owned()),
        Err(error) => Err(format!("its value is no JSON: {error}")),
    }
}

impl Settings {
    /// Takes a field; those of others are passed over, as nginx-upsync-module does.
    fn set(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let default = Self::default();
        let number = || number(value).ok_or_else(|| unfit(name, value, "a number"));
        match name {
            "weight" => {
                let weight = number()?.max(1);
                let most = || unfit(name, value, "at most 65535");
                self.weight = u16::try_from(weight).map_err(|_| most())?;
            }
            "max_fails" => {
                self.max_fails = match number()? {
                    ..0 => default.max_fails,
                    fails => u32::try_from(fails).map_err(|_| unfit(name, value, "a number"))?,
                };
            }
            "fail_timeout" => {
                self.fail_timeout = match span(value) {
                    Some(span) => span,
                    None => match number()? {
                        ..0 => default.fail_timeout,
                        seconds @ 0..=LONGEST => Span::from_secs(seconds.unsigned_abs()),
                        _ => return Err(unfit(name, value, "at most 3650 days")),
                    },
                }
            }
            "backup" => self.backup = flag(name, value)?,
            "down" => self.down = flag(name, value)?,
            _ => {}
        }
        Ok(())
    }
}

/// In seconds.
const LONGEST: i64 = 3650 * 86_400;

fn unfit(name: &str, value: &Value, rule: &str) -> String {
    format!("`{name}` is {rule}, not {}", shortened(&value.to_string()))
}

/// A number, or a text that is one.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_i64(),
    }
}

/// A length with its unit, as nginx writes it.
fn span(value: &Value) -> Option<Span> {
    let text = value.as_str()?;
    let has_unit = text.ends_with(|letter: char| letter.is_ascii_alphabetic());
    has_unit.then(|| serde_json::from_value(value.clone()).ok())?
}

fn flag(name: &str, value: &Value) -> Result<bool, String> {
    match (value, number(value)) {
        (Value::Bool(set), _) => Ok(*set),
        (_, Some(0)) => Ok(false),
        (_, Some(1)) => Ok(true),
        _ => Err(unfit(name, value, "0 or 1")),
    }
}

/// A place of the catalogue.
fn place(item: &Value, addresses: &[&str]) -> Read {
    let text = |key: &&str| item.get(*key).and_then(Value::as_str);
    let host = addresses
        .iter()
        .filter_map(text)
        .find(|host| !host.is_empty());
    service(
        host,
        item.get("ServicePort"),
        item.get("ServiceTags"),
        item.get("ServiceWeights"),
    )
}

/// A place with the results of its checks: it is down if one of them does not pass.
fn checked(item: &Value) -> Read {
    let at = |pointer: &str| item.pointer(pointer);
    let text = |pointer: &str| at(pointer).and_then(Value::as_str);
    let hosts = [text("/Service/Address"), text("/Node/Address")];
    let host = hosts.into_iter().flatten().find(|host| !host.is_empty());
    let checks = at("/Checks").and_then(Value::as_array);
    let is_passing = |check: &Value| check.get("Status").and_then(Value::as_str) == Some("passing");
    let is_down = checks.is_some_and(|checks| !checks.iter().all(is_passing));
    let read = service(
        host,
        at("/Service/Port"),
        at("/Service/Tags"),
        at("/Service/Weights"),
    );
    match read {
        Read::Server(address, settings) => {
            let with_checks = |settings: Settings| Settings {
                down: settings.down || is_down,
                ..settings
            };
            Read::Server(address, settings.map(with_checks))
        }
        other => other,
    }
}

fn service(
    host: Option<&str>,
    port: Option<&Value>,
    tags: Option<&Value>,
    weights: Option<&Value>,
) -> Read {
    let (Some(host), Some(port)) = (host, port.and_then(Value::as_u64)) else {
        return Read::Unreadable("a place has no address or no port".to_owned());
    };
    if port == 0 {
        return Read::Skipped(format!("`{}` has no port", shortened(host)));
    }
    let host = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    match address(&host) {
        Ok(address) => Read::Server(address, tagged(tags, weights)),
        Err(why) => Read::Skipped(why),
    }
}

/// `weight=5`, `max_fails=3`, `fail_timeout=10`, `down`, `backup` among the tags; the weight is Consul's own where no
/// tag has one.
fn tagged(tags: Option<&Value>, weights: Option<&Value>) -> Result<Settings, String> {
    let mut settings = Settings::default();
    if let Some(weight) = weights.and_then(|weights| weights.get("Passing")) {
        settings.set("weight", weight)?;
    }
    let tags = tags.and_then(Value::as_array);
    for tag in tags.into_iter().flatten().filter_map(Value::as_str) {
        match tag.split_once('=') {
            Some((name, value)) => settings.set(name, &Value::from(value))?,
            None if matches!(tag, "down" | "backup") => settings.set(tag, &Value::Bool(true))?,
            None => {}
        }
    }
    Ok(settings)
}
