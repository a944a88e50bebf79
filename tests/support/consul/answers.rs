//! What Consul keeps, and how it writes it.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Every change has an index; each key, each folder and each service has that of its last one, deletions too.
#[derive(Default)]
pub(super) struct Store {
    index: u64,
    keys: BTreeMap<String, (String, u64)>,
    /// Keys that were deleted, and when.
    graves: BTreeMap<String, u64>,
    services: BTreeMap<String, (Vec<Value>, u64)>,
}

impl Store {
    fn next(&mut self) -> u64 {
        // Consul's own start takes some.
        self.index = self.index.max(10) + 1;
        self.index
    }

    pub(super) fn put(&mut self, key: &str, value: &str) {
        let index = self.next();
        self.keys.insert(key.to_owned(), (value.to_owned(), index));
    }

    pub(super) fn delete(&mut self, key: &str) {
        let index = self.next();
        if self.keys.remove(key).is_some() {
            self.graves.insert(key.to_owned(), index);
        }
    }

    pub(super) fn register(&mut self, service: &str, places: &[Value]) {
        let index = self.next();
        let places = (places.to_vec(), index);
        self.services.insert(service.to_owned(), places);
    }

    pub(super) fn go_back(&mut self) {
        self.index = 2;
        self.graves.clear();
        let keys = self.keys.values_mut().map(|(_, index)| index);
        let services = self.services.values_mut().map(|(_, index)| index);
        keys.chain(services).for_each(|index| *index = 2);
    }

    /// Status, index, body.
    pub(super) fn answer(
        &self,
        target: &str,
        parameters: &BTreeMap<String, String>,
    ) -> (u16, u64, Vec<u8>) {
        let path = target.split('?').next().unwrap();
        if let Some(prefix) = path.strip_prefix("/v1/kv/") {
            return self.keys_below(prefix, parameters);
        }
        let is_health = path.starts_with("/v1/health/service/");
        let service = path.rsplit('/').next().unwrap();
        let (places, index) = self.services.get(service).cloned().unwrap_or_default();
        let shown = places.iter().filter(|place| {
            let checks = place["checks"].as_array().unwrap();
            !parameters.contains_key("passing") || checks.iter().all(|check| check == "passing")
        });
        let shown = shown.map(|place| {
            if is_health {
                health(place)
            } else {
                catalogue(place)
            }
        });
        let body = Value::Array(shown.collect()).to_string();
        (200, index.max(1), body.into_bytes())
    }

    fn keys_below(
        &self,
        prefix: &str,
        parameters: &BTreeMap<String, String>,
    ) -> (u16, u64, Vec<u8>) {
        let below = || self.keys.iter().filter(|(key, _)| key.starts_with(prefix));
        let graves = self
            .graves
            .iter()
            .filter(|(key, _)| key.starts_with(prefix));
        let indices = below()
            .map(|(_, (_, index))| index)
            .chain(graves.map(|(_, index)| index));
        let index = indices.max().copied().unwrap_or(self.index).max(1);
        if below().next().is_none() {
            return (404, index, Vec::new());
        }
        let list = match parameters.get("separator") {
            Some(separator) => {
                let cut = |key: &str| match key[prefix.len()..].split_once(separator.as_str()) {
                    Some((folder, _)) => format!("{prefix}{folder}{separator}"),
                    None => key.to_owned(),
                };
                let mut keys: Vec<String> = below().map(|(key, _)| cut(key)).collect();
                keys.dedup();
                json!(keys)
            }
            None => below()
                .map(|(key, (value, index))| entry(key, value, *index))
                .collect(),
        };
        (200, index, list.to_string().into_bytes())
    }
}

fn entry(key: &str, value: &str, index: u64) -> Value {
    let value = (!value.is_empty()).then(|| base64(value.as_bytes()));
    json!({
        "LockIndex": 0, "Key": key, "Flags": 0, "Value": value, "CreateIndex": index, "ModifyIndex": index,
    })
}

fn catalogue(place: &Value) -> Value {
    json!({
        "ID": "40e4a748-2192-161a-0510-9bf59fe950b5", "Node": "node", "Address": "192.0.2.1", "Datacenter": "dc1",
        "ServiceAddress": place["ip"], "ServicePort": place["port"], "ServiceTags": place["tags"],
        "ServiceWeights": { "Passing": 1, "Warning": 1 }, "ServiceName": "web",
    })
}

fn health(place: &Value) -> Value {
    let checks = place["checks"].as_array().unwrap().iter();
    let checks = checks.map(|status| json!({ "CheckID": "service:web", "Status": status }));
    json!({
        "Node": { "Node": "node", "Address": "192.0.2.1" },
        "Service": {
            "Service": "web", "Address": place["ip"], "Port": place["port"], "Tags": place["tags"],
            "Weights": { "Passing": 1, "Warning": 1 },
        },
        "Checks": checks.collect::<Vec<_>>(),
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap();
            text.push(if place <= chunk.len() {
                char::from(DIGITS[digit])
            } else {
                '='
            });
        }
    }
    text
}
