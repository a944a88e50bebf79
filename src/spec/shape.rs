use serde_json::Value;

/// Where a text has a list although an object was read from it: derived readers take the fields of an
/// object also as a list, in the order of the source. `read` is what was read, written again.
/// A JSON pointer; none if there is no such place.
pub fn list_for_object(given: &Value, read: &Value) -> Option<String> {
    match (given, read) {
        (Value::Array(_), Value::Object(_)) => Some(String::new()),
        (Value::Array(given), Value::Array(read)) => {
            let pairs = given.iter().zip(read).enumerate();
            let mut found = pairs.filter_map(|(index, (given, read))| {
                Some(format!("/{index}{}", list_for_object(given, read)?))
            });
            found.next()
        }
        (Value::Object(given), Value::Object(read)) => given.iter().find_map(|(key, given)| {
            let inner = list_for_object(given, read.get(key)?)?;
            let key = key.replace('~', "~0").replace('/', "~1");
            Some(format!("/{key}{inner}"))
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::UpstreamSpec;

    #[test]
    fn a_list_in_the_place_of_an_object_is_found() {
        for (given, place) in [
            (json!([]), Some("")),
            (json!({ "timeouts": ["1s"] }), Some("/timeouts")),
            (json!({ "servers": [["10.0.0.1:80"]] }), None),
            (
                json!({ "servers": ["10.0.0.1:80"], "retry": { "on": ["502"] } }),
                None,
            ),
        ] {
            let Ok(read) = serde_json::from_value::<UpstreamSpec>(given.clone()) else {
                assert_eq!(place, None);
                continue;
            };
            let read = serde_json::to_value(read).unwrap();
            assert_eq!(list_for_object(&given, &read).as_deref(), place, "{given}");
        }
    }
}
