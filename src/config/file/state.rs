//! `state`: where revisions are kept.

use std::path::PathBuf;

use serde::Deserialize;

use super::super::settings::StateSettings;
use super::super::values::{ByteSize, StoreText, some_path};
use crate::spec::{Span, shortened};
use crate::store::{History, RedisSettings, Secret, StoreSettings};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StateFile {
    store: Option<StoreText>,
    local_copy: Option<PathBuf>,
    history: HistoryFile,
    redis: RedisFile,
    host_keys: Option<HostKeysFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HistoryFile {
    revisions: Option<u64>,
    age: Option<Span>,
    size: Option<ByteSize>,
}

/// What a URL cannot say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RedisFile {
    ca: Option<PathBuf>,
    sentinels: Vec<HostPort>,
    master: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HostKeysFile {
    prefix: KeyPrefix,
}

/// What keys of hosts begin with.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "String")]
struct KeyPrefix(String);

impl TryFrom<String> for KeyPrefix {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        // Neither a pattern for `SCAN`, nor the beginning of a key of ours.
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "._:/-".contains(letter);
        if text.len() > 255 || !text.chars().all(fits) {
            return Err(
                "`prefix` is empty or what the keys begin with: letters, digits, `.`, `_`, `:`, `/` and `-`, 255 at most"
                    .into(),
            );
        }
        Ok(Self(text))
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct HostPort(String);

impl TryFrom<String> for HostPort {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        host_port(&text, 26379).map(Self)
    }
}

impl StateFile {
    pub(super) fn settle(self) -> StateSettings {
        // 0 means no limit.
        let size = self.history.size.map_or(1 << 30, |size| size.0);
        let mut store = self.store.map_or_else(
            || StoreSettings::Sqlite("/var/lib/pointsman/state.db".into()),
            |store| store.0,
        );
        if let StoreSettings::Redis(redis) = &mut store {
            redis.ca = self.redis.ca;
            redis.sentinels = self.redis.sentinels.into_iter().map(|it| it.0).collect();
            redis.master = self.redis.master;
            let place = || "/var/lib/pointsman/last-good.db".into();
            redis.local_copy = Some(self.local_copy.unwrap_or_else(place));
        }
        StateSettings {
            store,
            host_keys: self.host_keys.map(|keys| keys.prefix.0),
            history: History {
                revisions: self.history.revisions.unwrap_or(1000),
                age: self.history.age.unwrap_or(Span::from_secs(7 * 86_400)),
                size: if size == 0 { u64::MAX } else { size },
            },
        }
    }
}

impl TryFrom<String> for StoreText {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let path = text.strip_prefix("sqlite:").and_then(some_path);
        let url = [("redis://", false), ("rediss://", true)]
            .into_iter()
            .find_map(|(scheme, tls)| Some((text.strip_prefix(scheme)?, tls)));
        match (text.as_str(), path, url) {
            ("memory", ..) => Ok(Self(StoreSettings::Memory)),
            (_, Some(path), _) => Ok(Self(StoreSettings::Sqlite(path))),
            (_, _, Some((rest, tls))) => {
                redis(rest, tls).map(|redis| Self(StoreSettings::Redis(Box::new(redis))))
            }
            // It may hold a password: only the scheme is shown.
            (text, ..) => Err(format!(
                "`{}` is no store: write `memory`, `sqlite:PATH` or `redis://HOST:PORT/DB`",
                shortened(text.split_once("://").map_or(text, |(scheme, _)| scheme))
            )),
        }
    }
}

/// `[USER:PASSWORD@]HOST:PORT[,HOST:PORT...][/DB][?prefix=NAME]`
fn redis(text: &str, tls: bool) -> Result<RedisSettings, String> {
    let (rest, query) = text.split_once('?').unwrap_or((text, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    if !credentials.is_empty() && !credentials.contains(':') {
        return Err("write `user:password@`, or `:password@` for the default user".into());
    }
    if credentials.contains(['@', '#', '[', ']', ' ']) {
        return Err(
            "a user or password with one of `@:/?#[] ` has it percent-encoded, as `%40`".into(),
        );
    }
    let database = match database {
        "" => 0,
        number => number
            .parse()
            .map_err(|_| "behind the `/` stands the number of the database".to_owned())?,
    };
    let addresses: Result<Vec<String>, String> =
        hosts.split(',').map(|host| host_port(host, 6379)).collect();
    Ok(RedisSettings {
        addresses: addresses?,
        tls,
        ca: None,
        credentials: Secret(credentials.to_owned()),
        database,
        prefix: prefix(query)?,
        sentinels: Vec::new(),
        master: None,
        local_copy: None,
    })
}

fn prefix(query: &str) -> Result<String, String> {
    let mut prefix = "pointsman".to_owned();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("prefix", name)) => name.clone_into(&mut prefix),
            _ => return Err("the only parameter is `prefix=NAME`".into()),
        }
    }
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "._:-".contains(letter);
    if prefix.is_empty() || prefix.len() > 255 || !prefix.chars().all(fits) {
        return Err(
            "`prefix` is a name: letters, digits, `.`, `_`, `:` and `-`, 255 at most".into(),
        );
    }
    Ok(prefix)
}

/// `host`, `host:port`, `[v6]:port`; with the port.
fn host_port(text: &str, default: u16) -> Result<String, String> {
    let wrong = || format!("`{}` is no `host:port`", shortened(text));
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        None => default,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(wrong)?,
    };
    let is_v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    if is_v6 || (!host.is_empty() && host.chars().all(fits)) {
        return Ok(format!("{host}:{port}"));
    }
    Err(wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn errors(text: &str) -> String {
        Config::from_text("f", text).unwrap_err().to_string()
    }

    fn parse(text: &str) -> Result<RedisSettings, String> {
        match StoreText::try_from(text.to_owned())?.0 {
            StoreSettings::Redis(redis) => Ok(*redis),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_url_names_servers_a_user_a_database_and_a_prefix() {
        let plain = parse("redis://cache").unwrap();
        assert_eq!(plain.addresses, ["cache:6379"]);
        assert_eq!((plain.database, plain.prefix.as_str()), (0, "pointsman"));
        let full = parse("rediss://edge:p%40ss@a:1,[::1]:2,10.0.0.1/3?prefix=eu:edge").unwrap();
        assert_eq!(full.addresses, ["a:1", "[::1]:2", "10.0.0.1:6379"]);
        assert_eq!((full.database, full.prefix.as_str()), (3, "eu:edge"));
        assert!(full.tls && full.credentials.0 == "edge:p%40ss");
        assert!(!format!("{full:?}{}", full.place()).contains("p%40ss"));
    }

    #[test]
    fn what_is_no_url_of_redis_is_refused_without_its_password() {
        for bad in [
            "redis://",
            "redis://a:0",
            "redis://a:x",
            "redis://a b",
            "redis://user@a",
            "redis://u:p@ss@a",
            "redis://a/x",
            "redis://a?prefix=",
            "redis://a?prefix={x}",
            "redis://a?password=p",
            "mongodb://u:pass@a",
        ] {
            let error = parse(bad).expect_err(bad);
            assert!(!error.contains("pass@"), "{error}");
        }
    }

    #[test]
    fn keys_of_hosts_are_in_redis_and_begin_plainly() {
        insta::assert_snapshot!(errors("state: {host_keys: {prefix: ''}}"), @r##"f:1:20: hosts have keys in Redis: write `state.store` with `redis://` or `rediss://`"##);
        insta::assert_snapshot!(errors("state: {store: 'redis://h', host_keys: {prefx: a}}"), @r##"f:1:41: unknown key `prefx`; did you mean `prefix`?"##);
        insta::assert_snapshot!(errors("state: {store: 'redis://h', host_keys: {prefix: '{a}*'}}"), @r##"f:1:49: `prefix` is empty or what the keys begin with: letters, digits, `.`, `_`, `:`, `/` and `-`, 255 at most"##);
        let prefix = |text: &str| {
            let text = format!("state: {{store: 'redis://h', host_keys: {text}}}");
            Config::from_text("f", &text).unwrap().state.host_keys
        };
        assert_eq!(prefix("null"), None);
        assert_eq!(prefix("{}"), Some(String::new()));
        assert_eq!(prefix("{prefix: 'host:'}"), Some("host:".into()));
    }
}
