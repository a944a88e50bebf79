//! What a group and the defaults may say each by itself, and not together.

use serde::Serialize;
use serde_json::Value;

use super::{Broken, HealthSpec, Name, OutlierSpec, TlsSpec, UpstreamSpec};

/// Every rule that a group breaks by what it takes from `defaults`; pointers begin at the state, where the field stands
/// that breaks it.
pub fn broken_rules_of_merged(
    name: &Name,
    upstream: &UpstreamSpec,
    defaults: &UpstreamSpec,
) -> Vec<Broken> {
    let health = Section {
        key: "health",
        or: HealthSpec::or,
        rules: HealthSpec::broken_rules,
    };
    let outlier = Section {
        key: "outlier",
        or: |own: &OutlierSpec, other| own.clone().or(other.clone()),
        rules: OutlierSpec::broken_rules,
    };
    let tls = Section {
        key: "tls",
        or: |own: &TlsSpec, other| own.clone().or(other.clone()),
        rules: TlsSpec::broken_rules,
    };
    let mut broken = health.broken(name, upstream.health.as_ref(), defaults.health.as_ref());
    broken.extend(outlier.broken(name, upstream.outlier.as_ref(), defaults.outlier.as_ref()));
    broken.extend(tls.broken(name, upstream.tls.as_ref(), defaults.tls.as_ref()));
    broken
}

/// A part of a group that is taken from the defaults field by field.
struct Section<T> {
    key: &'static str,
    or: fn(&T, &T) -> T,
    rules: fn(&T) -> Vec<Broken>,
}

impl<T: Serialize> Section<T> {
    fn broken(&self, name: &Name, own: Option<&T>, default: Option<&T>) -> Vec<Broken> {
        let Some((own, default)) = own.zip(default) else {
            return Vec::new();
        };
        let mut broken = (self.rules)(&(self.or)(own, default));
        if broken.is_empty() {
            return broken;
        }
        let alone = [(self.rules)(own), (self.rules)(default)].concat();
        broken.retain(|rule| !alone.contains(rule));
        let (own, default) = (fields(own), fields(default));
        let taken = default.as_object().into_iter().flat_map(|all| all.keys());
        let taken: Vec<_> = taken
            .filter(|key| own.get(key.as_str()).is_none())
            .map(|key| format!("`{key}`"))
            .collect();
        let told = |Broken { pointer, message }| {
            let place = match own.pointer(&pointer) {
                Some(_) => format!("/upstreams/{name}"),
                None => "/defaults".to_owned(),
            };
            Broken {
                pointer: format!("{place}/{}{pointer}", self.key),
                message: format!(
                    "{message} (`{name}` has {} from `defaults`)",
                    taken.join(", ")
                ),
            }
        };
        broken.into_iter().map(told).collect()
    }
}

/// Those that are set.
fn fields(section: &impl Serialize) -> Value {
    serde_json::to_value(section).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(own: &str, defaults: &str) -> Vec<String> {
        let name = Name::new("web").unwrap();
        let [own, defaults] = [own, defaults].map(|json| serde_json::from_str(json).unwrap());
        let broken = broken_rules_of_merged(&name, &own, &defaults).into_iter();
        broken
            .map(|Broken { pointer, message }| format!("{pointer}: {message}"))
            .collect()
    }

    #[test]
    fn what_does_not_go_together_is_told_with_where_it_comes_from() {
        for (own, defaults, expected) in [
            (
                r#"{"health": {"service": "x"}}"#,
                r#"{"health": {"type": "http", "fall": 2}}"#,
                &[
                    "/upstreams/web/health/service: `service` is asked for by `type: grpc` alone (`web` has `fall`, `type` from `defaults`)",
                ][..],
            ),
            (
                r#"{"health": {"interval": "1s"}}"#,
                r#"{"health": {"interval_changing": "2s"}}"#,
                &[
                    "/defaults/health/interval_changing: it hastens a verdict: at most as long as `interval` (`web` has `interval_changing` from `defaults`)",
                ],
            ),
            (
                r#"{"outlier": {"eject_max": "5s"}}"#,
                r#"{"outlier": {"eject": "10s"}}"#,
                &[
                    "/upstreams/web/outlier/eject_max: the longest time out: at least `eject` (`web` has `eject` from `defaults`)",
                ],
            ),
        ] {
            assert_eq!(broken(own, defaults), expected, "{own} {defaults}");
        }
    }

    #[test]
    fn what_a_group_has_no_use_for_is_not_taken_from_the_defaults() {
        for (own, defaults) in [
            (
                r#"{"health": {"type": "tcp"}}"#,
                r#"{"health": {"path": "/up", "host": "a", "statuses": [200], "body": "ok"}}"#,
            ),
            (
                r#"{"health": {"type": "http"}}"#,
                r#"{"health": {"type": "grpc", "service": "x", "sni": "a"}}"#,
            ),
            (
                r#"{"health": {"path": "/up"}}"#,
                r#"{"health": {"request": "GET / HTTP/1.0\r\n\r\n"}}"#,
            ),
            (
                r#"{"health": {"request": "GET / HTTP/1.0\r\n\r\n"}}"#,
                r#"{"health": {"path": "/up"}}"#,
            ),
        ] {
            assert!(broken(own, defaults).is_empty(), "{own} {defaults}");
            let [own, defaults] = [own, defaults].map(|json| {
                serde_json::from_str::<UpstreamSpec>(json)
                    .unwrap()
                    .health
                    .unwrap()
            });
            assert_eq!(own.or(&defaults), own);
        }
        let own: HealthSpec = serde_json::from_str(r#"{"type": "https"}"#).unwrap();
        let defaults: HealthSpec =
            serde_json::from_str(r#"{"type": "http", "path": "/up", "fall": 2}"#).unwrap();
        let merged = own.or(&defaults);
        assert_eq!(
            (merged.path.as_deref(), merged.fall),
            (Some("/up"), Some(2))
        );
    }

    #[test]
    fn what_is_wrong_by_itself_is_told_by_those_who_look_at_each() {
        for (own, defaults) in [
            (
                r#"{"health": {"fall": 0}}"#,
                r#"{"health": {"type": "tcp"}}"#,
            ),
            (
                r#"{"health": {"type": "none"}}"#,
                r#"{"health": {"path": "/", "type": "http"}}"#,
            ),
            (
                r#"{"health": {}}"#,
                r#"{"health": {"type": "tcp", "path": "/"}}"#,
            ),
            (
                r#"{"tls": {"cert": "a", "key": "b"}}"#,
                r#"{"tls": {"ca": "c"}}"#,
            ),
            ("{}", r#"{"outlier": {"eject": "10s", "eject_max": "5s"}}"#),
        ] {
            assert!(broken(own, defaults).is_empty(), "{own} {defaults}");
        }
    }
}
