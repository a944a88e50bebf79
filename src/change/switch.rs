use std::sync::Arc;

use super::{ChangeError, put_route};
use crate::spec::{
    CreatedBy, HostPattern, Name, PathPattern, RouteSpec, Spec, Target, normal_host,
};

/// Points a route, or a host's route, at `to`.
pub(super) fn apply(
    spec: &mut Spec,
    route: &Option<Name>,
    host: &Option<String>,
    to: &Option<Target>,
    at: u64,
) -> Result<(), ChangeError> {
    match (route, host, to) {
        (Some(id), None, Some(to)) => switch_route(spec, id, to, at),
        (Some(id), None, None) => delete_route(spec, id),
        (None, Some(host), Some(to)) => switch_host(spec, host, to, at),
        (None, Some(host), None) => delete_host_route(spec, host),
        _ => Err(ChangeError::Field {
            pointer: "/route".into(),
            message: "a switch names either a `route` or a `host`".into(),
        }),
    }
}

fn switch_route(spec: &mut Spec, id: &Name, to: &Target, at: u64) -> Result<(), ChangeError> {
    let route = spec
        .route(id)
        .ok_or_else(|| ChangeError::NoRoute(id.clone()))?;
    let next = RouteSpec {
        to: to.clone(),
        ..RouteSpec::clone(route)
    };
    put_route(spec, id, next, at);
    Ok(())
}

fn delete_route(spec: &mut Spec, id: &Name) -> Result<(), ChangeError> {
    let found = spec.place_of_route(id);
    let place = found.ok_or_else(|| ChangeError::NoRoute(id.clone()))?;
    let route = spec.routes.get(place);
    if route.and_then(|route| route.created_by) != Some(CreatedBy::Switch) {
        return Err(ChangeError::NotASwitch(id.clone()));
    }
    spec.routes.remove(place);
    Ok(())
}

/// A host with a route of its own has that route switched. Any other gets one: a copy of the route
/// that answers `GET /` for it. A route that it shares with other hosts loses it.
fn switch_host(spec: &mut Spec, host: &str, to: &Target, at: u64) -> Result<(), ChangeError> {
    let HostPattern::Exact(host) = pattern(host)? else {
        return Err(bad_host("a switch is for one host"));
    };
    let own = HostPattern::Exact(host.clone());
    let answering = spec.route_of_host(&host).cloned();
    if let Some(route) = &answering
        && let Some(id) = &route.id
        && route.hosts.contains(&own)
    {
        if let [_] = route.hosts.as_slice() {
            return switch_route(spec, id, to, at);
        }
        let mut rest = RouteSpec::clone(route);
        rest.hosts.retain(|pattern| *pattern != own);
        put_route(spec, id, rest, at);
    }
    let made = RouteSpec {
        changed_at: at,
        ..host_route(&host, to, answering.as_deref())
    };
    let id = free_id(spec, &host);
    put_route(spec, &id, made, at);
    Ok(())
}

/// The route that a switch makes for a host in normal form: a copy of the one that answers for it.
pub fn host_route(host: &str, to: &Target, answering: Option<&RouteSpec>) -> RouteSpec {
    let labels = answering.map(|route| route.labels.clone());
    // An address has no labels to choose by.
    let labels = labels.filter(|_| !to.needs_no_group());
    let paths = answering.map_or_else(
        || vec![PathPattern::Prefix("/".into())],
        |route| route.paths.clone(),
    );
    RouteSpec {
        id: None,
        hosts: vec![HostPattern::Exact(host.to_owned())],
        paths,
        to: to.clone(),
        labels: labels.unwrap_or_default(),
        created_by: Some(CreatedBy::Switch),
        changed_at: 0,
    }
}

fn delete_host_route(spec: &mut Spec, host: &str) -> Result<(), ChangeError> {
    let own = HostPattern::Exact(normal_host(host).into_owned());
    let is_its_own = |route: &RouteSpec| {
        route.created_by == Some(CreatedBy::Switch) && route.hosts.as_slice() == [own.clone()]
    };
    // Nearly always it has the first id that a host gets.
    let first = spec
        .route(&id_of_host(host, 1))
        .filter(|route| is_its_own(route));
    let found = first.or_else(|| spec.routes.iter().find(|route| is_its_own(route)));
    match found.and_then(|route| route.id.clone()) {
        Some(id) => delete_route(spec, &id),
        None => Err(ChangeError::NoHostRoute(host.to_owned())),
    }
}

/// An id for the host's route that no other route has: an operator may have taken the first, or given
/// the route that was made for this host to others too.
fn free_id(spec: &Spec, host: &str) -> Name {
    let mut ids = (1..).map(|number| id_of_host(host, number));
    // Among one more ids than there are routes, one is free.
    let most = spec.routes.len() + 1;
    ids.by_ref()
        .take(most)
        .find(|id| spec.route(id).is_none())
        .unwrap_or_else(|| id_of_host(host, most + 1))
}

/// The id of the route that a switch makes for a host, if no other route has it.
pub fn first_id_of_host(host: &str) -> Name {
    id_of_host(host, 1)
}

fn id_of_host(host: &str, number: usize) -> Name {
    let host = normal_host(host).replace(['[', ']'], "");
    match number {
        1 => Name::from_any(&format!("host:{}", &host)),
        // A name is cut at its end, where the number stands.
        number => Name::from_any(&format!("host-{number}:{host}")),
    }
}

fn pattern(host: &str) -> Result<HostPattern, ChangeError> {
    HostPattern::new(host).map_err(|error| bad_host(&error.to_string()))
}

fn bad_host(message: &str) -> ChangeError {
    ChangeError::Field {
        pointer: "/host".into(),
        message: message.to_owned(),
    }
}

impl Spec {
    /// The route that answers `GET /` for a host in normal form, by the rule of `domain::route`:
    /// the host with its port before the host alone, before the longest suffix, before any.
    pub fn route_of_host(&self, host: &str) -> Option<&Arc<RouteSpec>> {
        answering(self.routes.iter(), host)
    }
}

/// [`Spec::route_of_host`] among some routes, in file order.
pub fn answering<'a>(
    routes: impl DoubleEndedIterator<Item = &'a Arc<RouteSpec>>,
    host: &str,
) -> Option<&'a Arc<RouteSpec>> {
    let without_port = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let rank = |route: &RouteSpec| {
        let path = route.root_rank()?;
        let host = route
            .hosts
            .iter()
            .filter_map(|pattern| host_rank(pattern, host, without_port))
            .max()?;
        Some((host, path))
    };
    let ranked = routes.filter_map(|route| Some((rank(route)?, route)));
    // The first of equals: file order decides.
    ranked
        .rev()
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, route)| route)
}

fn host_rank(pattern: &HostPattern, host: &str, without_port: &str) -> Option<usize> {
    match pattern {
        HostPattern::Exact(exact) if exact == host => Some(usize::MAX),
        HostPattern::Exact(exact) if exact == without_port => Some(usize::MAX - 1),
        HostPattern::Suffix(suffix) => {
            let below = without_port.strip_suffix(suffix.as_str())?.ends_with('.');
            below.then(|| suffix.len() + 1)
        }
        HostPattern::Any => Some(0),
        HostPattern::Exact(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::change::{Change, ChangeError};
    use crate::spec::Spec;

    fn state(routes: &str) -> Spec {
        serde_json::from_str(&format!(r#"{{"routes":{routes}}}"#)).unwrap()
    }

    fn switched(spec: &mut Spec, host: &str, to: &str) -> Result<(), ChangeError> {
        let change: Change =
            serde_json::from_str(&format!(r#"{{"op":"switch","host":"{host}","to":{to}}}"#))
                .unwrap();
        change.apply(spec, 7)
    }

    fn seen(spec: &Spec) -> Vec<String> {
        let hosts = |hosts: &[crate::spec::HostPattern]| {
            hosts
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(",")
        };
        spec.routes
            .iter()
            .map(|route| {
                format!(
                    "{} {} -> {}",
                    route.id.as_ref().unwrap(),
                    hosts(&route.hosts),
                    route.to
                )
            })
            .collect()
    }

    #[test]
    fn a_host_without_a_route_gets_a_copy_of_the_one_that_answers_for_it() {
        let mut spec = state(r#"[{"id":"all","to":"blue"}]"#);
        switched(&mut spec, "A.example:80", "\"green\"").unwrap();
        assert_eq!(
            seen(&spec),
            ["all * -> blue", "host:a.example a.example -> green"]
        );
        switched(&mut spec, "a.example", "null").unwrap();
        assert_eq!(seen(&spec), ["all * -> blue"]);
        assert_eq!(
            switched(&mut spec, "a.example", "null"),
            Err(ChangeError::NoHostRoute("a.example".into()))
        );
    }

    #[test]
    fn a_switch_overwrites_no_route_that_has_its_id() {
        let mut spec = state(
            r#"[{"id":"host:a","hosts":["a","b"],"to":"blue","created_by":"switch"},{"id":"host:c","hosts":["d"],"to":"blue"}]"#,
        );
        switched(&mut spec, "a", "\"green\"").unwrap();
        switched(&mut spec, "c", "\"green\"").unwrap();
        let expected = [
            "host:a b -> blue",
            "host:c d -> blue",
            "host-2:a a -> green",
            "host-2:c c -> green",
        ];
        assert_eq!(seen(&spec), expected);
        switched(&mut spec, "a", "null").unwrap();
        assert_eq!(seen(&spec).len(), 3);
        let long = "a".repeat(250);
        switched(&mut spec, &format!("{long}.x"), "\"green\"").unwrap();
        switched(&mut spec, &format!("{long}.y"), "\"green\"").unwrap();
        assert_eq!(seen(&spec).len(), 5);
    }

    #[test]
    fn a_host_leaves_the_route_that_it_shares() {
        let mut spec = state(r#"[{"id":"both","hosts":["a","b"],"to":"blue"}]"#);
        switched(&mut spec, "a", "\"green\"").unwrap();
        assert_eq!(seen(&spec), ["both b -> blue", "host:a a -> green"]);
    }

    #[test]
    fn a_route_of_its_own_is_switched_in_place() {
        let mut spec = state(
            r#"[{"id":"mine","hosts":["a"],"to":"blue"},{"id":"sub","hosts":["a"],"paths":["/x"],"to":"blue"}]"#,
        );
        switched(&mut spec, "a", "\"127.0.0.1:9\"").unwrap();
        assert_eq!(seen(&spec), ["mine a -> 127.0.0.1:9", "sub a -> blue"]);
    }
}
