use std::collections::HashSet;
use std::sync::Arc;

use crate::change::{Change, answering, first_id_of_host, host_route};
use crate::controller::host_keys::by_host;
use crate::spec::{HostPattern, Name, RouteSpec, Spec, Target};

/// The same changes, naming the routes that they make or change. The switch of a host looks at every route, here and wherever
/// the log is read: of many hosts that is a matter of seconds.
pub(super) fn spelled_out(spec: &Spec, changes: Vec<Change>) -> Vec<Change> {
    if changes.len() < MANY {
        return changes;
    }
    let own = by_host(&spec.routes);
    let is_wild = |route: &&Arc<RouteSpec>| {
        let mut hosts = route.hosts.iter();
        hosts.any(|host| !matches!(host, HostPattern::Exact(_)))
    };
    let wild: Vec<&Arc<RouteSpec>> = spec.routes.iter().filter(is_wild).collect();
    let mut ids: HashSet<Name> = spec
        .routes
        .iter()
        .filter_map(|route| route.id.clone())
        .collect();
    let mut one = |change: Change| {
        let Some((host, to)) = of_host(&change) else {
            return change;
        };
        let id = first_id_of_host(host);
        match own.get(host) {
            Some(route) if route.hosts.len() == 1 => Change::Switch {
                route: route.id.clone(),
                host: None,
                to: Some(to.clone()),
            },
            // Its own route without the port would answer for it.
            None if !host.contains(':') && ids.insert(id.clone()) => {
                let answers = answering(wild.iter().copied(), host);
                let route = host_route(host, to, answers.map(Arc::as_ref));
                Change::PutRoute { id, route }
            }
            _ => change,
        }
    };
    changes.into_iter().map(&mut one).collect()
}

/// Few are told as what they are.
const MANY: usize = 32;

fn of_host(change: &Change) -> Option<(&str, &Target)> {
    match change {
        Change::Switch {
            host: Some(host),
            to: Some(to),
            ..
        } => Some((host, to)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_switches_lead_where_each_by_itself_would() {
        let routes = r#"[{"id":"all","to":"blue"},{"id":"sub","hosts":["*.b"],"paths":["/","/x"],"labels":{"r":"1"},"to":"blue"},
            {"id":"h3.a","hosts":["h3.a"],"to":"blue"},{"id":"both","hosts":["h4.a","h5.a"],"to":"blue"},
            {"id":"host:h6.a","hosts":["other"],"to":"blue"},{"id":"host:h7.a","hosts":["h7.a"],"to":"blue","created_by":"switch"}]"#;
        let spec: Spec = serde_json::from_str(&format!(r#"{{"routes":{routes}}}"#)).unwrap();
        let hosts = (0..40).map(|n| format!("h{n}.{}", if n % 10 == 9 { "b" } else { "a" }));
        let hosts = hosts.chain(["h1.a:81".to_owned()]);
        let switches: Vec<Change> = hosts
            .map(|host| Change::Switch {
                route: None,
                host: Some(host),
                to: Some(Target::new("green").unwrap()),
            })
            .collect();
        let after = |changes: &[Change]| {
            let mut spec = spec.clone();
            for change in changes {
                change.apply(&mut spec, 7).unwrap();
            }
            serde_json::to_value(&spec).unwrap()
        };
        let spelled = spelled_out(&spec, switches.clone());
        assert_eq!(after(&spelled), after(&switches));
        let left = spelled.iter().filter(|change| of_host(change).is_some());
        assert_eq!(left.count(), 4);
        assert_eq!(spelled_out(&spec, switches[..5].to_vec()), switches[..5]);
    }
}
