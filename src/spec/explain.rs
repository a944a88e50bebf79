//! What a reader of the file or of an API answer is told when a text does not fit its type.

use super::shortened;
use super::unsupported::{is_at, is_planned, is_planned_value};

/// Rewrites serde's message about the value at `place` for the person who wrote it.
///
/// An unknown key or value is told apart from one that is planned, and the nearest known one is
/// suggested. `place` is the error's path from the top of the state or the file, such as
/// `["upstreams", "web", "servers", "0", "weigth"]`.
pub fn explain<S: AsRef<str>>(place: &[S], message: &str) -> String {
    let place: Vec<&str> = place.iter().map(AsRef::as_ref).collect();
    let message = without_position(message);
    if let Some((key, known)) = unknown(message, "unknown field `") {
        let container = match place.split_last() {
            Some((last, container)) if *last == key => container,
            _ => &place,
        };
        return unknown_key(container, key, &known);
    }
    if let Some((value, known)) = unknown(message, "unknown variant `") {
        return unknown_value(&place, value, &known);
    }
    if let Some(key) = message.strip_prefix("missing field `") {
        return format!("`{} is missing", key);
    }
    planned_target(&place, message).unwrap_or_else(|| mismatch(message))
}

/// The known word that was most likely meant.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > LONGEST_SLIP {
        return None;
    }
    let distance = |candidate: &&&str| strsim::damerau_levenshtein(word, candidate);
    let close = |candidate: &&&str| {
        let slips = distance(candidate);
        // One slip for each three letters; a shortened word is meant too.
        slips <= (candidate.len() / 3).max(1) || word.len() > 2 && candidate.starts_with(word)
    };
    known.iter().filter(close).min_by_key(distance).copied()
}

/// In bytes. No known word is half as long, and comparing takes the product of both lengths.
const LONGEST_SLIP: usize = 64;

/// Keys that only Pointsman itself writes.
const OWN_KEYS: [&str; 2] = ["changed_at", "created_by"];

/// The word and what was expected instead, from serde's fixed wording
/// (`serde::de::Error::unknown_field` and `unknown_variant`).
fn unknown<'a>(message: &'a str, prefix: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let (word, rest) = message.strip_prefix(prefix)?.split_once("`, ")?;
    let quoted = rest.split('`').skip(1).step_by(2);
    Some((word, quoted.filter(|key| !OWN_KEYS.contains(key)).collect()))
}

fn unknown_key(container: &[&str], key: &str, known: &[&str]) -> String {
    if is_planned(container, key) {
        format!("`{key}` is not supported yet")
    } else {
        format!("unknown key `{}`; {}", shortened(key), hint(key, known))
    }
}

fn unknown_value(place: &[&str], value: &str, known: &[&str]) -> String {
    if is_planned_value(place, value) {
        format!("`{value}` is not supported yet")
    } else {
        format!(
            "unknown value `{}`; {}",
            shortened(value),
            hint(value, known)
        )
    }
}

fn hint(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// The form of a route's target that comes later.
fn planned_target(place: &[&str], message: &str) -> Option<String> {
    let is_list = message.starts_with("invalid type: sequence");
    (is_list && is_at(place, "routes/*/to"))
        .then(|| "a weighted list is not supported yet".to_owned())
}

/// serde's `invalid type: X, expected Y` (or `invalid value`) in words that are not Rust's.
fn mismatch(message: &str) -> String {
    let parts = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "));
    match parts {
        Some((found, expected)) => {
            let found = shortened(thing(found));
            format!("expected {}, not {found}", wanted(expected))
        }
        None => message.to_owned(),
    }
}

fn wanted(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number that is not negative",
        "a sequence" => "a list",
        "a map" => "a mapping",
        // serde_yaml's word for the name of a variant.
        "a Value::Tagged enum" => "a string",
        _ if expected.starts_with("struct ") => "a mapping",
        _ => expected,
    }
}

fn thing(found: &str) -> &str {
    match found {
        "unit value" | "null" => "nothing",
        "sequence" => "a list",
        "map" => "a mapping",
        _ => found,
    }
}

/// serde_json adds the place in the body, which the pointer tells better.
fn without_position(message: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let split = message.rsplit_once(" at line ");
    let numbers = split.and_then(|(_, place)| place.split_once(" column "));
    match (split, numbers) {
        (Some((bare, _)), Some((line, column))) if digits(line) && digits(column) => bare,
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RouteSpec, UpstreamSpec};
    use super::*;

    fn upstream(json: &str) -> String {
        let error = serde_json::from_str::<UpstreamSpec>(json).unwrap_err();
        explain(&["upstreams", "web"], &error.to_string())
    }

    #[test]
    fn a_typo_is_answered_with_the_nearest_key() {
        assert_eq!(
            upstream(r#"{"servres": []}"#),
            "unknown key `servres`; did you mean `servers`?"
        );
        assert_eq!(upstream(r#"{"source": {}}"#), "`consul` is missing");
        assert_eq!(nearest("zzz", &["balance", "host"]), None);
        assert_eq!(nearest("addr", &["address", "admin"]), Some("address"));
        // Comparing it with every known key would take a second.
        assert_eq!(nearest(&"a".repeat(8 << 20), &["address", "admin"]), None);
    }

    #[test]
    fn a_wrong_type_is_told_without_words_of_rust() {
        assert_eq!(
            upstream(r#"{"keepalive": "many"}"#),
            "expected a whole number that is not negative, not string \"many\""
        );
        assert_eq!(
            upstream(r#"{"servers": 1}"#),
            "expected a list, not integer `1`"
        );
        let error = serde_json::from_str::<RouteSpec>("{}").unwrap_err();
        assert_eq!(
            explain(&["routes", "0"], &error.to_string()),
            "`to` is missing"
        );
    }

    #[test]
    fn the_planned_form_of_a_target_is_not_supported_yet() {
        let json = r#"{"to": [{"to":"a","weight":1}]}"#;
        let error = serde_json::from_str::<RouteSpec>(json).unwrap_err();
        assert_eq!(
            explain(&["routes", "0", "to"], &error.to_string()),
            "a weighted list is not supported yet"
        );
    }
}
