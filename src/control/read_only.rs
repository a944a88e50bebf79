//! What an answer shows beside the stored fields comes back when an object is edited and sent again.
//! It is taken off, so that a GET can be followed by a PUT; an identity must be the one of the path.

use serde_json::{Map, Value};

use super::problem::Problem;
use crate::spec::{Address, Name, shortened};

/// Takes off `name`, `changed_at` and the servers' `status`. `base` is where the object stands in the body.
pub(super) fn upstream(value: &mut Value, name: &Name, base: &str) -> Result<(), Problem> {
    let Value::Object(fields) = value else {
        return Ok(());
    };
    let is_same = |text: &str| Name::new(text).is_ok_and(|given| given == *name);
    identity(fields, "name", is_same, name.as_str(), base)?;
    fields.remove("changed_at");
    if let Some(Value::Array(servers)) = fields.get_mut("servers") {
        servers.iter_mut().for_each(new_server);
    }
    Ok(())
}

/// Takes off `status`.
pub(super) fn new_server(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.remove("status");
    }
}

/// Takes off `address` and `status`.
pub(super) fn server(value: &mut Value, address: &Address, base: &str) -> Result<(), Problem> {
    new_server(value);
    let Value::Object(fields) = value else {
        return Ok(());
    };
    let is_same = |text: &str| Address::new(text).is_ok_and(|given| given == *address);
    identity(fields, "address", is_same, &address.to_string(), base)
}

/// Takes off `id` and `changed_at`.
pub(super) fn route(value: &mut Value, id: &Name, base: &str) -> Result<(), Problem> {
    let Value::Object(fields) = value else {
        return Ok(());
    };
    let is_same = |text: &str| Name::new(text).is_ok_and(|given| given == *id);
    identity(fields, "id", is_same, id.as_str(), base)?;
    fields.remove("changed_at");
    Ok(())
}

/// Refuses upstreams whose names differ in case only: a map of names would keep one of them.
pub(super) fn state(value: &Value, base: &str) -> Result<(), Problem> {
    let Some(Value::Object(upstreams)) = value.get("upstreams") else {
        return Ok(());
    };
    let mut seen = std::collections::HashSet::new();
    let mut names = upstreams.keys();
    match names.find(|name| !seen.insert(name.to_ascii_lowercase())) {
        Some(twice) => Err(Problem::field(
            format!("{base}/upstreams/{twice}"),
            "names are unique, whatever their case",
        )),
        None => Ok(()),
    }
}

fn identity(
    fields: &mut Map<String, Value>,
    key: &str,
    is_same: impl Fn(&str) -> bool,
    own: &str,
    base: &str,
) -> Result<(), Problem> {
    match fields.remove(key) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(text)) if is_same(&text) => Ok(()),
        Some(other) => Err(Problem::field(
            format!("{base}/{key}"),
            format!(
                "{} is another one than `{own}`: the identity cannot be changed",
                shortened(&other.to_string())
            ),
        )),
    }
}
