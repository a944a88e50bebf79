//! What the configuration's documentation describes and this version does not do yet.
//!
//! Such a key or value is refused by that name, never ignored and never called unknown. A key that
//! gets built leaves this table.

/// Keys by the place of their object; `*` stands for any one name or index. The configuration file
/// and the bodies of the control API have the same keys in the same places.
const KEYS: &[(&str, &[&str])] = &[
    ("control/tls", &["client_ca"]),
    (
        "routes/*",
        &[
            "methods",
            "headers",
            "rewrite",
            "request_headers",
            "response_headers",
            "redirect",
            "respond",
        ],
    ),
];

/// Values by the place of their key.
const VALUES: &[(&str, &[&str])] = &[("control/legacy/*", &["plus"])];

/// Whether `key` is documented for the object at `place` but not built yet.
/// A place is a path from the top of the state or the file: `["upstreams", "web", "health"]`.
pub fn is_planned(place: &[&str], key: &str) -> bool {
    listed(KEYS, place, key)
}

/// Whether `value` is documented for the key at `place` but not built yet.
pub(super) fn is_planned_value(place: &[&str], value: &str) -> bool {
    listed(VALUES, place, value)
}

/// Whether a path has this form. `defaults` holds what any of `upstreams` may.
pub(super) fn is_at(place: &[&str], form: &str) -> bool {
    let (head, rest): (&[&str], &[&str]) = match place.split_first() {
        Some((&"defaults", rest)) => (&["upstreams", "*"], rest),
        _ => (&[], place),
    };
    let mut form = form.split('/').filter(|segment| !segment.is_empty());
    head.iter().chain(rest).all(|segment| {
        form.next()
            .is_some_and(|wanted| wanted == "*" || wanted == *segment)
    }) && form.next().is_none()
}

fn listed(table: &[(&str, &[&str])], place: &[&str], word: &str) -> bool {
    table
        .iter()
        .any(|(form, words)| is_at(place, form) && words.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_what_an_upstream_may() {
        assert!(is_planned(&["routes", "0"], "methods"));
        assert!(!is_planned(&["upstreams", "web"], "balance"));
        assert!(!is_planned(&["routes"], "methods"));
        assert!(is_planned_value(&["control", "legacy", "0"], "plus"));
    }
}
