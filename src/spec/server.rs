use std::collections::BTreeMap;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

use super::{Address, Span};

/// What servers are told apart by, each with its value: `{ rack: b2 }`.
pub type Labels = BTreeMap<String, String>;

/// One member of a group as it is asked for.
///
/// Read from the short form (`"10.0.0.5:8080"`) or from an object. Written without what came later
/// than the first stored states and is at its default, so that these keep their text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ServerSpec {
    /// Where it listens; its identity within the group.
    pub address: Address,
    /// Its share of the traffic beside the others' weights, 0 to 65535. 0: no traffic.
    #[serde(default = "default_weight")]
    #[schema(default = 1, required = false)]
    pub weight: u16,
    /// What the operator wants.
    #[serde(default)]
    #[schema(required = false)]
    pub admin: Admin,
    /// Used only when no primary is available.
    #[serde(default)]
    #[schema(default = false, required = false)]
    pub backup: bool,
    /// Servers of tier 0 are used first, those of another tier when no server of those before is
    /// available; `backup` is the last tier.
    #[serde(default, skip_serializing_if = "is_first")]
    #[schema(default = 0, required = false)]
    pub tier: u16,
    /// What routes may choose it by.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[schema(required = false)]
    pub labels: Labels,
    /// Requests that it works on at a time; 0: no limit.
    #[serde(default, skip_serializing_if = "is_unlimited")]
    #[schema(default = 0, required = false)]
    pub max_connections: u32,
    /// Failures within `fail_timeout` that eject it for `fail_timeout`; 0: never.
    #[serde(
        default = "default_max_fails",
        skip_serializing_if = "is_default_max_fails"
    )]
    #[schema(default = 1, required = false)]
    pub max_fails: u32,
    /// How long failures are counted together, and how long an ejection lasts.
    #[serde(
        default = "default_fail_timeout",
        skip_serializing_if = "is_default_fail_timeout"
    )]
    #[schema(default = "10s", required = false)]
    pub fail_timeout: Span,
    /// How long its share grows to the whole when it starts to take requests; `0s`: at once.
    #[serde(default, skip_serializing_if = "is_at_once")]
    #[schema(default = "0s", required = false)]
    pub slow_start: Span,
    /// Whether the group's source has it down: then it takes nothing, whatever `admin` says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(default = false, required = false)]
    pub down_at_source: bool,
}

/// What the operator wants of a server. Checks never change it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    /// Takes requests.
    #[default]
    Up,
    /// Finishes what it has, takes nothing new.
    Drain,
    /// Takes nothing.
    Down,
}

impl ServerSpec {
    /// A primary of weight 1 that is up, everything else at its default.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            weight: default_weight(),
            admin: Admin::Up,
            backup: false,
            tier: 0,
            labels: Labels::new(),
            max_connections: 0,
            max_fails: default_max_fails(),
            fail_timeout: default_fail_timeout(),
            slow_start: Span::default(),
            down_at_source: false,
        }
    }

    /// What is wanted of it, by the operator and by the group's source: down if either says so.
    pub fn wanted(&self) -> Admin {
        match self.down_at_source {
            true => Admin::Down,
            false => self.admin,
        }
    }

    /// Whether it has all of these labels.
    pub fn has_labels(&self, labels: &Labels) -> bool {
        let mut labels = labels.iter();
        labels.all(|(key, value)| self.labels.get(key) == Some(value))
    }
}

fn default_weight() -> u16 {
    1
}

fn default_max_fails() -> u32 {
    1
}

fn default_fail_timeout() -> Span {
    Span::from_secs(10)
}

fn is_first(tier: &u16) -> bool {
    *tier == 0
}

fn is_unlimited(most: &u32) -> bool {
    *most == 0
}

fn is_default_max_fails(number: &u32) -> bool {
    *number == default_max_fails()
}

fn is_default_fail_timeout(span: &Span) -> bool {
    *span == default_fail_timeout()
}

fn is_at_once(span: &Span) -> bool {
    *span == Span::default()
}

impl Serialize for ServerSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The derived one: `remote` makes it a function of the type.
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ServerSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShortOrObject)
    }
}

struct ShortOrObject;

impl<'de> de::Visitor<'de> for ShortOrObject {
    type Value = ServerSpec;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a server: `ip:port` or an object with `address`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ServerSpec, E> {
        Address::deserialize(StrDeserializer::new(text)).map(ServerSpec::new)
    }

    fn visit_map<M: de::MapAccess<'de>>(self, map: M) -> Result<ServerSpec, M::Error> {
        // The derived one, without the short form.
        ServerSpec::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> ServerSpec {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_server_of_an_older_state_keeps_its_text() {
        let old = r#"{"address":"10.0.0.1:80","weight":2,"admin":"drain","backup":true}"#;
        assert_eq!(serde_json::to_string(&read(old)).unwrap(), old);
        let short = r#"{"address":"10.0.0.1:80","weight":1,"admin":"up","backup":false}"#;
        assert_eq!(
            serde_json::to_string(&read(r#""10.0.0.1""#)).unwrap(),
            short
        );
    }

    #[test]
    fn what_differs_from_the_default_is_kept() {
        let set = r#"{"address":"10.0.0.1:80","weight":1,"admin":"up","backup":false,"max_connections":9,"max_fails":0,"fail_timeout":"1m","slow_start":"500ms"}"#;
        assert_eq!(serde_json::to_string(&read(set)).unwrap(), set);
        let default = r#"{"address":"10.0.0.1:80","max_connections":0,"max_fails":1,"fail_timeout":"10s","slow_start":"0s"}"#;
        assert_eq!(read(default), read(r#""10.0.0.1:80""#));
    }

    #[test]
    fn a_server_is_read_only_as_far_as_its_keys_are_known() {
        for bad in [
            r#"{"address":"10.0.0.1","tier":-1}"#,
            r#"{"address":"10.0.0.1","max_fails":-1}"#,
            r#"{"address":"10.0.0.1","max_connections":"9"}"#,
            r#"{"address":"10.0.0.1","fail_timeout":10}"#,
            r#"{"weight":1}"#,
            "7",
        ] {
            assert!(serde_json::from_str::<ServerSpec>(bad).is_err(), "{bad}");
        }
    }
}
