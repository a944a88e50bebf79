//! Rules that a well-formed state may still break. One place for all who read one: the file,
//! the control API, a peer.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;

use super::{
    HealthSpec, HostHeader, HostPattern, Labels, Name, OutlierSpec, RetrySpec, RouteSpec,
    ServerSpec, Spec, StickySpec, TlsSpec, UpstreamSpec, broken_rules_of_merged, shortened,
};

/// A broken rule: where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// A JSON pointer (RFC 6901) from the top of what was looked at.
    pub pointer: String,
    /// The rule, with the value that breaks it.
    pub message: String,
}

impl Broken {
    /// A rule broken at this pointer.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
        }
    }

    /// The same rule seen from further up.
    pub fn below(self, place: &str) -> Self {
        Self {
            pointer: format!("{place}{}", self.pointer),
            ..self
        }
    }
}

/// Every broken rule of a state; pointers begin at the state. Costs the whole state: a change looks
/// at what it changed, by the functions below.
pub fn broken_rules(spec: &Spec) -> Vec<Broken> {
    let defaults = below("/defaults", broken_rules_of_defaults(&spec.defaults));
    let upstreams = spec.upstreams.iter().flat_map(|(name, upstream)| {
        let merged = broken_rules_of_merged(name, upstream, &spec.defaults);
        let own = broken_rules_of_upstream(upstream);
        below(format!("/upstreams/{name}"), own).chain(merged)
    });
    let routes =
        spec.routes.iter().enumerate().flat_map(|(index, route)| {
            below(format!("/routes/{index}"), broken_rules_of_route(route))
        });
    let all: Vec<_> = spec.routes.iter().collect();
    defaults
        .chain(upstreams)
        .chain(routes)
        .chain(broken_rules_among_routes(spec, &all))
        .chain(unknown_targets(spec))
        .collect()
}

/// Every broken rule of one group; pointers begin at the group.
pub fn broken_rules_of_upstream(upstream: &UpstreamSpec) -> Vec<Broken> {
    let mut broken = rules_of_settings(upstream);
    broken.extend(duplicate_servers(&upstream.servers));
    broken.extend(rules_of_servers(&upstream.servers));
    if !upstream.servers.is_empty() && upstream.servers.iter().all(|server| server.weight == 0) {
        let message = "every server has weight 0: none would get a request";
        broken.push(Broken::new("/servers", message));
    }
    broken
}

/// Every broken rule of the defaults; pointers begin at them.
pub fn broken_rules_of_defaults(defaults: &UpstreamSpec) -> Vec<Broken> {
    let mut broken = rules_of_settings(defaults);
    if !defaults.servers.is_empty() {
        let message = "servers belong to one upstream, `defaults` cannot have any";
        broken.push(Broken::new("/servers", message));
    }
    if defaults.source.is_some() {
        let message = "a source belongs to one upstream, `defaults` cannot have one";
        broken.push(Broken::new("/source", message));
    }
    broken
}

/// Every broken rule of one route by itself; pointers begin at the route.
pub fn broken_rules_of_route(route: &RouteSpec) -> Vec<Broken> {
    let mut broken = Vec::new();
    if route.hosts.is_empty() {
        broken.push(Broken::new(
            "/hosts",
            "a route needs a host; `\"*\"` is every host",
        ));
    }
    if route.paths.is_empty() {
        broken.push(Broken::new(
            "/paths",
            "a route needs a path; `/` is every path",
        ));
    }
    if !route.labels.is_empty() && route.to.needs_no_group() {
        let message = "labels choose among the servers of an upstream: `to` needs the name of one";
        broken.push(Broken::new("/labels", message));
    }
    let labels = unfit_labels(&route.labels);
    broken.extend(labels.map(|rule| Broken::new("/labels", rule)));
    broken
}

/// Each server by itself.
fn rules_of_servers(servers: &[ServerSpec]) -> impl Iterator<Item = Broken> {
    let servers = servers.iter().enumerate();
    servers.flat_map(|(index, server)| {
        let both = server.backup && server.tier > 0;
        let message = "`backup: true` is the last tier: write one of them";
        let both = both.then(|| Broken::new(format!("/servers/{index}/tier"), message));
        let labels = unfit_labels(&server.labels);
        let labels = labels.map(|rule| Broken::new(format!("/servers/{index}/labels"), rule));
        both.into_iter().chain(labels)
    })
}

fn unfit_labels(labels: &Labels) -> Option<String> {
    let fits = |text: &String| (1..=255).contains(&text.len()) && !text.contains(char::is_control);
    let unfit = labels
        .iter()
        .find(|(key, value)| !fits(key) || !fits(value));
    unfit.map(|(key, _)| {
        let key = shortened(key);
        format!("label {key:?}: names and values have 1 to 255 bytes and no control characters")
    })
}

/// Routes that share an id, or a host and path, with one of `changed`; pointers begin at the state.
pub fn broken_rules_among_routes(spec: &Spec, changed: &[&Arc<RouteSpec>]) -> Vec<Broken> {
    // Each route is only compared to what changed: a set of all would cost more than the change.
    let hosts: HashSet<&HostPattern> = changed.iter().flat_map(|route| &route.hosts).collect();
    let new_ids: HashSet<&Name> = changed
        .iter()
        .filter_map(|route| route.id.as_ref())
        .collect();
    let mut broken = Vec::new();
    let (mut ids, mut places) = (HashSet::new(), HashMap::new());
    for (index, route) in spec.routes.iter().enumerate() {
        if let Some(id) = route.id.as_ref().filter(|id| new_ids.contains(id))
            && !ids.insert(id)
        {
            let message =
                format!("another route has the id `{id}` (case does not tell them apart)");
            broken.push(Broken::new(format!("/routes/{index}/id"), message));
        }
        let hosts = route.hosts.iter().filter(|host| hosts.contains(host));
        for place in hosts.flat_map(|host| route.paths.iter().map(move |path| (host, path))) {
            let first = *places.entry(place).or_insert(index);
            if first != index {
                let message = already_routed(spec, first, place);
                broken.push(Broken::new(format!("/routes/{index}"), message));
                break;
            }
        }
    }
    broken
}

/// Routes to groups that do not exist; pointers begin at the state. A restored state may have them:
/// such a route answers 502.
pub fn unknown_targets(spec: &Spec) -> Vec<Broken> {
    let unknown = |(index, route): (usize, &std::sync::Arc<RouteSpec>)| {
        let known = route.to.needs_no_group()
            || route
                .to
                .name()
                .is_some_and(|name| spec.upstreams.contains_key(name));
        let message = || {
            format!(
                "`{}` is neither an upstream nor an address `ip:port`",
                route.to
            )
        };
        (!known).then(|| Broken::new(format!("/routes/{index}/to"), message()))
    };
    spec.routes.iter().enumerate().filter_map(unknown).collect()
}

fn below(prefix: impl Display, broken: Vec<Broken>) -> impl Iterator<Item = Broken> {
    broken.into_iter().map(move |broken| Broken {
        pointer: format!("{prefix}{}", broken.pointer),
        ..broken
    })
}

fn already_routed(spec: &Spec, first: usize, (host, path): (impl Display, impl Display)) -> String {
    let first = spec.routes.get(first).and_then(|route| route.id.as_ref());
    let first = first.map(|id| format!(" by `{id}`")).unwrap_or_default();
    let (host, path) = (host.to_string(), path.to_string());
    let (host, path) = (shortened(&host), shortened(&path));
    format!("host `{host}` with path `{path}` is already routed{first}")
}

fn duplicate_servers(servers: &[ServerSpec]) -> Vec<Broken> {
    let mut seen = HashSet::new();
    let mut broken = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        if !seen.insert(&server.address) {
            let message = format!("server `{}` is listed twice", server.address);
            broken.push(Broken::new(format!("/servers/{index}/address"), message));
        }
    }
    broken
}

/// What a group and the defaults have in common.
fn rules_of_settings(upstream: &UpstreamSpec) -> Vec<Broken> {
    let mut broken = Vec::new();
    if let Some(HostHeader::Fixed(host)) = &upstream.host {
        broken.extend(unfit_host(host).map(|message| Broken::new("/host", message)));
    }
    let sticky = upstream.sticky.iter().flat_map(StickySpec::broken_rules);
    broken.extend(below("/sticky", sticky.collect()));
    let tls = upstream.tls.iter().flat_map(TlsSpec::broken_rules);
    broken.extend(below("/tls", tls.collect()));
    broken.extend(upstream.retry.iter().flat_map(rules_of_retry));
    let outlier = upstream.outlier.iter().flat_map(OutlierSpec::broken_rules);
    broken.extend(below("/outlier", outlier.collect()));
    let health = upstream.health.iter().flat_map(HealthSpec::broken_rules);
    broken.extend(below("/health", health.collect()));
    broken
}

fn rules_of_retry(retry: &RetrySpec) -> Option<Broken> {
    let attempts = retry.attempts.filter(|n| !(1..=16).contains(n))?;
    let message = format!("{attempts} attempts: write 1 (never retry) to 16");
    Some(Broken::new("/retry/attempts", message))
}

/// A Host header is `uri-host [ ":" port ]` (RFC 9110 section 7.2).
pub(super) fn unfit_host(host: &str) -> Option<String> {
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let fit = !host.is_empty() && host.len() <= LONGEST_HOST && host.chars().all(fits);
    (!fit).then(|| {
        let host = shortened(host);
        format!("{host:?} is not a host: write `www.example.org` or `host:port`")
    })
}

/// A DNS name has at most 253 characters (RFC 1035 section 2.3.4); a port adds six.
const LONGEST_HOST: usize = 259;

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(json: &str) -> Vec<String> {
        broken_rules(&serde_json::from_str(json).unwrap())
            .into_iter()
            .map(|broken| format!("{}: {}", broken.pointer, broken.message))
            .collect()
    }

    #[test]
    fn a_sound_state_breaks_no_rule() {
        let none: Vec<String> = Vec::new();
        assert_eq!(broken("{}"), none);
        let state = r#"{"upstreams": {"web": {"servers": ["10.0.0.1", "10.0.0.2"], "health": {}}, "empty": {}},
            "routes": [{"id": "a", "to": "WEB"}, {"id": "b", "hosts": ["b"], "to": "10.0.0.9:80"}]}"#;
        assert_eq!(broken(state), none);
    }

    #[test]
    fn every_broken_rule_is_found_at_once() {
        let state = r#"{
            "defaults": {"servers": ["10.0.0.1"], "retry": {"attempts": 17}},
            "upstreams": {"web": {"host": "a b", "servers": ["10.0.0.1", "10.0.0.1:80"],
                                  "health": {"interval": "0s", "timeout": "2h", "fall": 0, "port": 0, "statuses": [],
                                             "path": "x", "request": "y", "type": "tcp", "host": "a\r\nb"}},
                          "idle": {"servers": [{"address": "10.0.0.1", "weight": 0, "tier": 1, "backup": true, "labels": {"": "x"}}]}},
            "routes": [{"id": "a", "to": "web"}, {"id": "A", "to": "nowhere"}, {"hosts": [], "paths": [], "to": "web"},
                       {"hosts": ["l"], "to": "{host}", "labels": {"a": "b"}}]}"#;
        insta::assert_snapshot!(broken(state).join("\n"), @r##"
/defaults/retry/attempts: 17 attempts: write 1 (never retry) to 16
/defaults/servers: servers belong to one upstream, `defaults` cannot have any
/upstreams/idle/servers/0/tier: `backup: true` is the last tier: write one of them
/upstreams/idle/servers/0/labels: label "": names and values have 1 to 255 bytes and no control characters
/upstreams/idle/servers: every server has weight 0: none would get a request
/upstreams/web/host: "a b" is not a host: write `www.example.org` or `host:port`
/upstreams/web/health/interval: time between two probes: more than 0s, at most 1d
/upstreams/web/health/timeout: time for a probe: more than 0s, at most 1h
/upstreams/web/health/fall: write 1 or more
/upstreams/web/health/port: a port is a number from 1 to 65535
/upstreams/web/health/statuses: no status would pass: name one
/upstreams/web/health/path: a path begins with `/` and has no spaces, control characters or `#`
/upstreams/web/health/request: `request` is sent instead of `path`: write one of them
/upstreams/web/health/host: "a\r\nb" is not a host: write `www.example.org` or `host:port`
/upstreams/web/health/path: `path` is asked for by `type: http` and `https` alone
/upstreams/web/health/statuses: `statuses` are looked at by `type: http` and `https` alone
/upstreams/web/health/host: `host` is sent by no check with `type: tcp`
/upstreams/web/health/request: `request` is sent by `type: http` and `https` alone
/upstreams/web/servers/1/address: server `10.0.0.1:80` is listed twice
/routes/2/hosts: a route needs a host; `"*"` is every host
/routes/2/paths: a route needs a path; `/` is every path
/routes/3/labels: labels choose among the servers of an upstream: `to` needs the name of one
/routes/1/id: another route has the id `A` (case does not tell them apart)
/routes/1: host `*` with path `/` is already routed by `a`
/routes/1/to: `nowhere` is neither an upstream nor an address `ip:port`
"##);
    }
}
