//! What a change means for the keys of hosts (`state.host_keys`), so that they say where hosts were switched to. Only
//! a host's own route counts: one that names it and answers `GET /`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::change::Change;
use crate::spec::{CreatedBy, Name, RouteSpec, Spec, Target, normal_host};
use crate::store::HostKeyEdit;

/// The edits of hosts' keys that go with a step from one state to the next.
pub(super) fn edits(before: &Spec, next: &Spec, changes: &[Change]) -> Vec<HostKeyEdit> {
    let part = next.changed_routes(before);
    let (old, new) = (by_host(part.old), by_host(part.new));
    let gone = old.keys().filter(|host| !new.contains_key(*host));
    let gone = gone.map(|&host| HostKeyEdit::Delete { host: host.into() });
    let stay = new.iter().flat_map(|(host, route)| {
        let was = old.get(host).copied();
        edits_of(host, was, route, changes)
    });
    gone.chain(stay).collect()
}

fn edits_of(
    host: &str,
    was: Option<&RouteSpec>,
    is: &RouteSpec,
    changes: &[Change],
) -> Vec<HostKeyEdit> {
    if was.is_some_and(|was| was.id == is.id && was.to == is.to) {
        return Vec::new();
    }
    let (host, value) = (host.to_owned(), is.to.to_string());
    let is_alone = is.hosts.len() == 1;
    if !is_alone || !(is_made(is) || is_switched(&host, is, changes)) {
        return vec![HostKeyEdit::Follow { host, value }];
    }
    let note = was.and_then(|was| note(&host, was));
    let set = HostKeyEdit::Set { host, value };
    std::iter::once(set).chain(note).collect()
}

fn is_made(route: &RouteSpec) -> bool {
    route.created_by == Some(CreatedBy::Switch)
}

/// Whether one of the changes is a switch of this route, and not another edit of it.
fn is_switched(host: &str, route: &RouteSpec, changes: &[Change]) -> bool {
    changes.iter().any(|change| match change {
        Change::Switch {
            route: Some(id), ..
        } => route.id.as_ref() == Some(id),
        Change::Switch {
            host: Some(named), ..
        } => normal_host(named) == host,
        _ => false,
    })
}

/// Keeps where a host led by this route, if an operator wrote that: when its key goes, it goes back there.
pub fn note(host: &str, route: &RouteSpec) -> Option<HostKeyEdit> {
    let id = route.id.as_ref().filter(|_| !is_made(route))?;
    Some(HostKeyEdit::Note {
        host: host.to_owned(),
        default: format!("{id} {}", route.to),
    })
}

/// What [`note`] kept: a route, and where it led.
pub fn noted(default: &str) -> Option<(Name, Target)> {
    let (id, to) = default.split_once(' ')?;
    Some((Name::new(id).ok()?, Target::new(to).ok()?))
}

/// The route of each host that has one of its own.
pub fn by_host<'a>(
    routes: impl IntoIterator<Item = &'a Arc<RouteSpec>>,
) -> HashMap<&'a str, &'a RouteSpec> {
    let mut found: HashMap<&str, (u8, &RouteSpec)> = HashMap::new();
    for route in routes {
        let Some(rank) = route.root_rank() else {
            continue;
        };
        for host in route.exact_hosts() {
            let best = found.entry(host).or_insert((rank, route));
            if best.0 < rank {
                *best = (rank, route);
            }
        }
    }
    found
        .into_iter()
        .map(|(host, (_, route))| (host, route))
        .collect()
}

/// The hosts that a switch made a route for, and where each leads: those whose keys must be there.
pub fn switched(spec: &Spec) -> Vec<(String, String)> {
    let own = by_host(&spec.routes);
    let made = own
        .into_iter()
        .filter(|(_, route)| is_made(route) && route.hosts.len() == 1);
    made.map(|(host, route)| (host.to_owned(), route.to.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"[{"id":"all","to":"blue"},{"id":"mine","hosts":["mine"],"to":"blue"},
        {"id":"both","hosts":["x","y"],"to":"blue"},
        {"id":"host:old","hosts":["old"],"to":"green","created_by":"switch"}]"#;

    /// What these changes of [`BEFORE`] mean.
    fn meant(changes: &str) -> Vec<String> {
        let before: Spec = serde_json::from_str(&format!(r#"{{"routes":{BEFORE}}}"#)).unwrap();
        let changes: Vec<Change> = serde_json::from_str(changes).unwrap();
        let mut next = before.clone();
        for change in &changes {
            change.apply(&mut next, 7).unwrap();
        }
        let mut told: Vec<String> = edits(&before, &next, &changes)
            .iter()
            .map(|edit| match edit {
                HostKeyEdit::Set { host, value } => format!("set {host} {value}"),
                HostKeyEdit::Follow { host, value } => format!("follow {host} {value}"),
                HostKeyEdit::Delete { host } => format!("delete {host}"),
                HostKeyEdit::Note { host, default } => format!("note {host} {default}"),
                HostKeyEdit::Forget { host } => format!("forget {host}"),
            })
            .collect();
        told.sort();
        told
    }

    #[test]
    fn a_switch_sets_the_key_and_notes_what_an_operator_wrote() {
        let switch = |host: &str| {
            meant(&format!(
                r#"[{{"op":"switch","host":"{host}","to":"green"}}]"#
            ))
        };
        assert_eq!(switch("New:80"), ["set new green"]);
        assert_eq!(switch("mine"), ["note mine mine blue", "set mine green"]);
        assert_eq!(switch("x"), ["note x both blue", "set x green"]);
        assert_eq!(switch("old"), Vec::<String>::new());
        let route = |id: &str| meant(&format!(r#"[{{"op":"switch","route":"{id}","to":"red"}}]"#));
        assert_eq!(route("host:old"), ["set old red"]);
        assert_eq!(route("all"), Vec::<String>::new());
        assert_eq!(route("both"), ["follow x red", "follow y red"]);
    }

    #[test]
    fn other_changes_of_routes_only_keep_a_key_that_is_there() {
        let told = meant(r#"[{"op":"switch","host":"old","to":null}]"#);
        assert_eq!(told, ["delete old"]);
        let told = meant(r#"[{"op":"patch_route","id":"mine","route":{"to":"green"}}]"#);
        assert_eq!(told, ["follow mine green"]);
        let told = meant(r#"[{"op":"delete_route","id":"both"}]"#);
        assert_eq!(told, ["delete x", "delete y"]);
        let state = r#"{"routes":[{"id":"n","hosts":["n"],"to":"blue"},
            {"id":"host:s","hosts":["s"],"to":"red","created_by":"switch"}]}"#;
        let told = meant(&format!(r#"[{{"op":"put_state","state":{state}}}]"#));
        let gone = ["delete mine", "delete old", "delete x", "delete y"];
        assert_eq!(told[..4], gone);
        assert_eq!(told[4..], ["follow n blue", "set s red"]);
    }

    #[test]
    fn what_was_noted_is_read_again() {
        let route: RouteSpec =
            serde_json::from_str(r#"{"id":"mine","hosts":["a"],"to":"[::1]:80"}"#).unwrap();
        let Some(HostKeyEdit::Note { default, .. }) = note("a", &route) else {
            panic!("nothing noted")
        };
        let (id, to) = noted(&default).unwrap();
        assert_eq!((id.as_str(), to), ("mine", route.to));
        assert_eq!(noted("mine"), None);
    }
}
