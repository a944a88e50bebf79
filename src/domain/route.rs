//! Where a request goes: host and path to a route.

use std::collections::HashMap;
use std::sync::Arc;

use super::shards::Shards;
use crate::spec::{HostPattern, Labels, Name, PathPattern, RouteSpec, Spec, Target, normal_host};

/// The routes of one snapshot, by host and then by path.
///
/// Choice: the host with its port before the host alone, before the longest `*.suffix`, before `*`;
/// within a host `=exact` before the longest prefix. A host whose routes do not cover the path falls
/// through to the next.
#[derive(Debug, Default, Clone)]
pub struct Routes {
    exact: Shards<Arc<str>, Arc<HostRoutes>>,
    suffix: Shards<Arc<str>, Arc<HostRoutes>>,
    any: Arc<HostRoutes>,
}

/// One route as it is found: its id and where it leads.
#[derive(Debug)]
pub struct Route {
    id: Name,
    to: Target,
    labels: Labels,
}

impl Route {
    /// Its id.
    pub fn id(&self) -> &Name {
        &self.id
    }

    /// Where it leads.
    pub fn to(&self) -> &Target {
        &self.to
    }

    /// The labels that its servers have.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }
}

impl Routes {
    /// The table for `spec`. Hosts that none of the changed routes names share their part with `before`.
    pub fn build(spec: &Spec, before: Option<(&Spec, &Self)>) -> Self {
        let Some((old, table)) = before else {
            return Self::of_hosts(spec, &hosts_of(spec.routes.iter()), Self::default());
        };
        let changed = spec.changed_routes(old);
        let hosts = hosts_of(changed.old.into_iter().chain(changed.new));
        Self::of_hosts(spec, &hosts, table.clone())
    }

    fn of_hosts(spec: &Spec, hosts: &[HostPattern], mut table: Self) -> Self {
        let mut by_host: HashMap<&HostPattern, Vec<&RouteSpec>> =
            hosts.iter().map(|host| (host, Vec::new())).collect();
        for route in &spec.routes {
            for host in &route.hosts {
                if let Some(found) = by_host.get_mut(host) {
                    found.push(route);
                }
            }
        }
        for (host, routes) in by_host {
            table.put(host, HostRoutes::build(&routes));
        }
        table
    }

    fn put(&mut self, host: &HostPattern, routes: HostRoutes) {
        let (table, host) = match host {
            HostPattern::Any => {
                self.any = Arc::new(routes);
                return;
            }
            HostPattern::Exact(host) => (&mut self.exact, host),
            HostPattern::Suffix(suffix) => (&mut self.suffix, suffix),
        };
        if routes.is_empty() {
            table.remove(&**host);
        } else {
            table.insert(host.as_str().into(), Arc::new(routes));
        }
    }

    /// The route of a request, by its Host header as received (empty when there is none) and its
    /// path without the query.
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        let host = normal_host(host);
        let name = without_port(&host);
        self.at(&self.exact, &host, path)
            .or_else(|| {
                if name.len() < host.len() {
                    self.at(&self.exact, name, path)
                } else {
                    None
                }
            })
            .or_else(|| self.below(name, path))
            .or_else(|| self.any.find(path))
    }

    fn at<'a>(
        &self,
        table: &'a Shards<Arc<str>, Arc<HostRoutes>>,
        host: &str,
        path: &str,
    ) -> Option<&'a Arc<Route>> {
        table.get(host)?.find(path)
    }

    fn below(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        if self.suffix.is_empty() {
            return None;
        }
        let dots = host.char_indices().filter(|(_, c)| *c == '.');
        dots.filter_map(|(dot, _)| host.get(dot + 1..))
            .find_map(|suffix| self.at(&self.suffix, suffix, path))
    }
}

/// A host as nginx's `$host` has it, but for the case: without its port and without a trailing dot.
pub fn bare_host(host: &str) -> &str {
    let name = without_port(host);
    name.strip_suffix('.').unwrap_or(name)
}

/// A host without its port; the colons within the brackets of an IPv6 address are none.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name.strip_suffix('.').unwrap_or(name),
        _ => host,
    }
}

fn hosts_of<'a>(routes: impl Iterator<Item = &'a Arc<RouteSpec>>) -> Vec<HostPattern> {
    routes
        .flat_map(|route| route.hosts.iter().cloned())
        .collect()
}

/// The routes of one host pattern, by path.
#[derive(Debug, Default)]
struct HostRoutes {
    exact: HashMap<String, Arc<Route>>,
    /// The longest first.
    prefixes: Vec<(String, Arc<Route>)>,
}

impl HostRoutes {
    /// Of two routes for the same path the first in file order counts.
    fn build(specs: &[&RouteSpec]) -> Self {
        let mut routes = Self::default();
        for spec in specs {
            let id = spec.id.clone().unwrap_or_else(|| spec.id_from_patterns());
            let route = Arc::new(Route {
                id,
                to: spec.to.clone(),
                labels: spec.labels.clone(),
            });
            for path in &spec.paths {
                match path {
                    PathPattern::Exact(path) => {
                        routes
                            .exact
                            .entry(path.clone())
                            .or_insert_with(|| route.clone());
                    }
                    PathPattern::Prefix(path) => {
                        routes.prefixes.push((path.clone(), route.clone()))
                    }
                }
            }
        }
        // A stable sort: file order stays within one length.
        routes
            .prefixes
            .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        routes
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    fn find(&self, path: &str) -> Option<&Arc<Route>> {
        let exact = if self.exact.is_empty() {
            None
        } else {
            self.exact.get(path)
        };
        let prefix = || {
            self.prefixes
                .iter()
                .find(|(prefix, _)| path.starts_with(prefix.as_str()))
        };
        exact.or_else(|| prefix().map(|(_, route)| route))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::change::Change;

    fn spec(routes: &str) -> Spec {
        let routes: Spec = serde_json::from_str(&format!(r#"{{"routes":{routes}}}"#)).unwrap();
        let mut spec = Spec::default();
        Change::PutState { state: routes }
            .apply(&mut spec, 1)
            .unwrap();
        spec
    }

    fn found(spec: &Spec, host: &str, path: &str) -> String {
        Routes::build(spec, None)
            .find(host, path)
            .map_or("-".into(), |route| route.id().to_string())
    }

    #[test]
    fn the_more_exact_host_and_then_the_more_exact_path_wins() {
        let spec = spec(
            r#"[{"id":"any","to":"w"},{"id":"suffix","hosts":["*.example"],"to":"w"},{"id":"long","hosts":["*.b.example"],"to":"w"},
                {"id":"host","hosts":["a.b.example"],"paths":["/api"],"to":"w"},{"id":"exact","hosts":["a.b.example"],"paths":["=/api"],"to":"w"},
                {"id":"port","hosts":["a.b.example:8080"],"to":"w"}]"#,
        );
        for (host, path, route) in [
            ("a.b.example", "/api", "exact"),
            ("A.B.Example.", "/api/x", "host"),
            ("a.b.example:443", "/apix", "host"),
            ("a.b.example:8080", "/api", "port"),
            ("a.b.example:81", "/api", "exact"),
            ("a.b.example", "/", "long"),
            ("x.example", "/", "suffix"),
            ("example", "/", "any"),
            ("", "/", "any"),
            ("[::1]:8080", "/", "any"),
        ] {
            assert_eq!(found(&spec, host, path), route, "{host}{path}");
        }
    }

    fn route() -> impl Strategy<Value = String> {
        let host = prop::sample::select(vec!["a.x", "b.x", "*.x", "*", "a.x:81"]);
        let path = prop::sample::select(vec!["/", "/a", "=/", "=/a"]);
        (
            0..6,
            prop::collection::vec(host, 1..3),
            prop::collection::vec(path, 1..3),
        )
            .prop_map(|(id, hosts, paths)| {
                format!(r#"{{"id":"r{id}","hosts":{hosts:?},"paths":{paths:?},"to":"w{id}"}}"#)
            })
    }

    proptest! {
        #[test]
        fn an_edited_table_is_the_table_built_anew(first in prop::collection::vec(route(), 0..5), edits in prop::collection::vec((route(), any::<bool>()), 1..6)) {
            let mut old = spec(&format!("[{}]", first.join(",")));
            let mut table = Routes::build(&old, None);
            for (route, put) in edits {
                let route: RouteSpec = serde_json::from_str(&route).unwrap();
                let id = route.id.clone().unwrap();
                let mut new = old.clone();
                let change = if put { Change::PutRoute { id, route } } else { Change::DeleteRoute { id } };
                let _ = change.apply(&mut new, 2);
                table = Routes::build(&new, Some((&old, &table)));
                let anew = Routes::build(&new, None);
                for host in ["a.x", "b.x", "c.x", "a.x:81", "z", ""] {
                    for path in ["/", "/a", "/ab", "*"] {
                        let id = |table: &Routes| table.find(host, path).map(|route| route.id().to_string());
                        prop_assert_eq!(id(&table), id(&anew));
                    }
                    prop_assert_eq!(new.route_of_host(host).map(|route| route.id.clone().unwrap().to_string()),
                                    anew.find(host, "/").map(|route| route.id().to_string()));
                }
                old = new;
            }
        }
    }
}
