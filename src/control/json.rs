//! Bodies, read strictly: one meaning or none.

use std::fmt;

use serde::Serialize;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer};
use serde_json::{Map, Number, Value};
use serde_path_to_error::Segment;

use super::problem::{Code, Problem};
use crate::spec::{explain, list_for_object, shortened};

/// Parses a JSON text (RFC 8259). A key that stands twice in one object is refused: readers differ
/// in which of the two they take. Nesting ends at 128 (serde_json's limit).
pub(super) fn parse(text: &[u8]) -> Result<Value, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    Strict
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| Problem::new(Code::InvalidJson, error))
}

/// A value as its type. `place` is where it stands in the state, for the words of the error; the
/// pointer in the answer is `base` and what follows within the value.
pub(super) fn decode<T: DeserializeOwned + Serialize>(
    value: Value,
    place: &[&str],
    base: &str,
) -> Result<T, Problem> {
    let read: T = serde_path_to_error::deserialize(&value).map_err(|error| {
        let mut place: Vec<String> = place.iter().map(|&segment| segment.to_owned()).collect();
        let mut pointer = base.to_owned();
        for segment in error.path() {
            let segment = match segment {
                Segment::Seq { index } => index.to_string(),
                Segment::Map { key } => key.clone(),
                Segment::Enum { .. } | Segment::Unknown => continue,
            };
            pointer.push('/');
            pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
            place.push(segment);
        }
        Problem::field(pointer, explain(&place, &error.inner().to_string()))
    })?;
    let written = serde_json::to_value(&read).unwrap_or_default();
    match list_for_object(&value, &written) {
        Some(inner) => Err(Problem::field(
            format!("{base}{inner}"),
            "expected a mapping, not a list",
        )),
        None => Ok(read),
    }
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(de::Error::custom(format_args!(
                    "the key `{}` stands twice",
                    shortened(&key)
                )));
            }
            let value = entries.next_value_seed(Strict)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> bool {
        parse(text.as_bytes()).is_err_and(|problem| problem.code() == Code::InvalidJson)
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_at_any_depth() {
        assert!(refused(r#"{"a":1,"a":1}"#));
        assert!(refused(r#"[{"b":{"a":1,"\u0061":2}}]"#));
        assert!(!refused(r#"[{"a":1},{"a":{"a":2}}]"#));
    }

    #[test]
    fn nesting_has_an_end() {
        assert!(refused(&"[".repeat(100_000)));
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(!refused(&deep));
    }

    #[test]
    fn what_follows_the_value_is_refused() {
        for text in [
            "{} {}",
            "{}x",
            "{",
            "",
            "nul",
            "\u{feff}{}",
            "{a:1}",
            "[1,]",
        ] {
            assert!(refused(text), "{text:?}");
        }
        assert!(parse(b"\"\xff\"").is_err());
        assert!(!refused(" {} \n"));
    }
}
