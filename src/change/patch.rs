use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ChangeError;
use crate::spec::list_for_object;

/// The object after a JSON merge patch (RFC 7396): `null` removes a field, objects are merged,
/// everything else is replaced.
pub(super) fn patched<T: Serialize + DeserializeOwned>(
    object: &T,
    patch: &Value,
) -> Result<T, ChangeError> {
    if !patch.is_object() {
        return Err(ChangeError::Field {
            pointer: String::new(),
            message: "a merge patch is an object".into(),
        });
    }
    let mut value = serde_json::to_value(object).map_err(|error| field("", &error))?;
    merge(&mut value, patch);
    let patched = serde_path_to_error::deserialize(&value)
        .map_err(|error| field(&pointer(error.path()), &error.inner().to_string()))?;
    let written = serde_json::to_value(&patched).map_err(|error| field("", &error))?;
    match list_for_object(&value, &written) {
        Some(place) => Err(field(&place, &"expected a mapping, not a list")),
        None => Ok(patched),
    }
}

fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(serde_json::Map::new());
    }
    let Value::Object(value) = value else { return };
    for (key, patch) in patch {
        if patch.is_null() {
            value.remove(key);
        } else {
            merge(value.entry(key).or_insert(Value::Null), patch);
        }
    }
}

/// The place of an error as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                text.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")))
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    text
}

fn field(pointer: &str, message: &impl ToString) -> ChangeError {
    ChangeError::Field {
        pointer: pointer.to_owned(),
        message: message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_follows_the_table_of_rfc_7396() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (
                json!({"a": "b", "b": "c"}),
                json!({"a": null}),
                json!({"b": "c"}),
            ),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"a": [{"b": "c"}]}),
                json!({"a": [1]}),
                json!({"a": [1]}),
            ),
            (
                json!({"e": null}),
                json!({"a": 1}),
                json!({"e": null, "a": 1}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ];
        for (object, patch, expected) in cases {
            assert_eq!(patched::<Value>(&object, &patch).unwrap(), expected);
        }
    }
}
