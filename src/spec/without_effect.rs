//! Settings that are taken, kept and shown before what they do is built.

use super::{Name, UpstreamSpec};

/// One line for a group with such settings; none if it has none.
pub fn without_effect(name: &Name, upstream: &UpstreamSpec) -> Option<String> {
    let keys = keys_without_effect(upstream);
    let verb = if keys.len() == 1 { "has" } else { "have" };
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    (!keys.is_empty()).then(|| {
        format!(
            "upstream `{name}`: {} {verb} no effect yet",
            keys.join(", ")
        )
    })
}

/// The lines of the groups that a change gave other such settings than they had.
pub fn newly_without_effect<'a>(
    changed: impl IntoIterator<Item = (&'a Name, &'a UpstreamSpec, Option<&'a UpstreamSpec>)>,
) -> Vec<String> {
    let is_new = |now: &UpstreamSpec, before: Option<&UpstreamSpec>| {
        before.map(keys_without_effect).unwrap_or_default() != keys_without_effect(now)
    };
    changed
        .into_iter()
        .filter(|(_, now, before)| is_new(now, *before))
        .filter_map(|(name, now, _)| without_effect(name, now))
        .collect()
}

/// Each key once, in alphabetical order.
fn keys_without_effect(upstream: &UpstreamSpec) -> Vec<&'static str> {
    let servers = upstream.servers.iter();
    let mut keys: Vec<_> = servers
        .flat_map(|server| server.keys_without_effect())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(servers: &str) -> Option<String> {
        let upstream = serde_json::from_str(&format!(r#"{{"servers":[{servers}]}}"#)).unwrap();
        without_effect(&Name::new("web").unwrap(), &upstream)
    }

    #[test]
    fn a_group_is_told_of_once_whatever_the_number_of_its_servers() {
        let one = r#"{"address":"10.0.0.1","max_fails":3,"fail_timeout":"10s"}"#;
        let other = r#"{"address":"10.0.0.2","max_fails":2,"fail_timeout":"4s"}"#;
        assert_eq!(told(r#""10.0.0.1""#), None);
        assert_eq!(
            told(one).unwrap(),
            "upstream `web`: `max_fails` has no effect yet"
        );
        assert_eq!(
            told(&format!("{one},{other}")).unwrap(),
            "upstream `web`: `fail_timeout`, `max_fails` have no effect yet"
        );
    }
}
