use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::{Deserialize, Deserializer, Serialize, de};

use utoipa::ToSchema;

use super::Address;

/// One member of a group as it is asked for.
///
/// Read from the short form (`"10.0.0.5:8080"`) or from an object.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ServerSpec {
    /// Where it listens; its identity within the group.
    pub address: Address,
    /// Its share of the traffic beside the others' weights, 0 to 65535. 0: no traffic.
    #[schema(default = 1, required = false)]
    pub weight: u16,
    /// What the operator wants.
    #[schema(required = false)]
    pub admin: Admin,
    /// Used only when no primary is available.
    #[schema(default = false, required = false)]
    pub backup: bool,
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
    /// A primary of weight 1 that is up.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            weight: 1,
            admin: Admin::Up,
            backup: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "server")]
struct Fields {
    address: Address,
    #[serde(default = "one")]
    weight: u16,
    #[serde(default)]
    admin: Admin,
    #[serde(default)]
    backup: bool,
}

fn one() -> u16 {
    1
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
        let Fields {
            address,
            weight,
            admin,
            backup,
        } = Fields::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ServerSpec {
            address,
            weight,
            admin,
            backup,
        })
    }
}
