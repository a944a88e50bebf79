use super::Upstream;
use crate::domain::balancer::Pick;
use crate::domain::server::{Health, InFlight, Server};
use crate::domain::sticky::{Bound, Sticky};
use crate::spec::Admin;

impl Upstream {
    /// How clients are bound to its servers, if they are.
    pub fn sticky(&self) -> Option<&Sticky> {
        self.sticky.as_deref()
    }

    /// Takes the secret that its cookies are signed with.
    pub fn prepare_sticky(&self, secret: &[u8]) {
        if let Some(sticky) = &self.sticky {
            sticky.prepare(secret, &self.name, &self.servers);
        }
    }

    /// Counts an attempt in flight at the server that the client is bound to, if that may go on with its clients.
    pub fn begin_at(&self, bound: &Bound, pick: &Pick<'_>) -> Option<InFlight> {
        let server = self.sticky.as_ref()?.server(bound.server)?;
        let is_part = self.labels.is_empty() || server.has_labels(&self.labels);
        let is_new = !pick.tried.contains(&server.id());
        let begun = (is_part && is_new && goes_on(server, pick.now)).then(|| server.clone())?;
        InFlight::try_begin(begun, pick.now)
    }
}

/// Whether a server goes on with the clients that it has. A draining one does: that is what draining is for.
pub(super) fn goes_on(server: &Server, now: u64) -> bool {
    server.weight() > 0
        && matches!(server.admin(), Admin::Up | Admin::Drain)
        && server.health() != Health::Down
        && !server.shared().ejection().is_out(now)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::server::ServerId;
    use crate::domain::snapshot::Snapshot;
    use crate::spec::{Name, Spec};

    const SECRET: &[u8] = b"thirty-two bytes or more of secret";

    fn snapshot(servers: &str, before: Option<&Snapshot>) -> Snapshot {
        let spec = format!(
            r#"{{"upstreams": {{"web": {{"health": {{}}, "sticky": {{"cookie": "c", "secret_file": "s"}}, "servers": {servers}}}}},
                "routes": [{{"to": "web"}}, {{"hosts": ["a"], "labels": {{"rack": "a"}}, "to": "web"}}]}}"#
        );
        let spec: Spec = serde_json::from_str(&spec).unwrap();
        let built = Snapshot::build(1, Arc::new(spec), before);
        if before.is_none() {
            web(&built).prepare_sticky(SECRET);
        }
        built
    }

    fn web(snapshot: &Snapshot) -> &Arc<Upstream> {
        snapshot.upstream(&Name::new("web").unwrap()).unwrap()
    }

    /// Whether a client of the first server gets it again, from this group.
    fn comes_back(upstream: &Upstream, tried: &[ServerId]) -> bool {
        bound(upstream).is_some_and(|bound| {
            let mut pick = Pick::new(tried, 1);
            pick.now = 10;
            upstream.begin_at(&bound, &pick).is_some()
        })
    }

    fn bound(upstream: &Upstream) -> Option<Bound> {
        let sticky = upstream.sticky()?;
        let first = crate::domain::server::Server::new(
            &crate::spec::ServerSpec::new("10.0.0.1".to_owned().try_into().unwrap()),
            false,
            Arc::new(crate::domain::server::ServerState::new(
                crate::spec::StartHealth::Up,
            )),
        );
        let value = sticky.value(&first, 100)?;
        sticky.read([value.as_bytes()].into_iter(), 1)
    }

    #[test]
    fn a_server_keeps_its_clients_while_it_is_up_or_draining_in_whatever_tier() {
        for (member, keeps) in [
            (r#""10.0.0.1""#, true),
            (r#"{"address": "10.0.0.1", "admin": "drain"}"#, true),
            (r#"{"address": "10.0.0.1", "backup": true}"#, true),
            (r#"{"address": "10.0.0.1", "tier": 7}"#, true),
            (r#"{"address": "10.0.0.1", "admin": "down"}"#, false),
            (r#"{"address": "10.0.0.1", "weight": 0}"#, false),
            (r#""10.0.0.3""#, false),
        ] {
            let snapshot = snapshot(&format!(r#"["10.0.0.2", {member}]"#), None);
            assert_eq!(comes_back(web(&snapshot), &[]), keeps, "{member}");
        }
    }

    #[test]
    fn one_that_is_unhealthy_ejected_full_or_tried_lets_its_clients_go() {
        let snapshot = snapshot(
            r#"[{"address": "10.0.0.1", "max_connections": 1}, "10.0.0.2"]"#,
            None,
        );
        let web = web(&snapshot);
        let first = &web.servers()[0];
        assert!(!comes_back(web, &[first.id()]));
        let busy = InFlight::try_begin(first.clone(), 10).unwrap();
        assert!(!comes_back(web, &[]));
        drop(busy);
        first.shared().set_health(Health::Down, 1);
        assert!(!comes_back(web, &[]));
        first.shared().set_health(Health::Up, 2);
        let (length, now) = (std::time::Duration::from_millis(50), 9);
        first.shared().ejection().eject(length, now);
        assert!(!comes_back(web, &[]));
        first.shared().ejection().readmit(10);
        assert!(comes_back(web, &[]));
    }

    #[test]
    fn a_part_of_the_group_keeps_the_clients_of_its_own_servers_only() {
        let labelled = r#"[{"address": "10.0.0.1", "labels": {"rack": "RACK"}}, {"address": "10.0.0.2", "labels": {"rack": "a"}}]"#;
        for (rack, keeps) in [("a", true), ("b", false)] {
            let snapshot = snapshot(&labelled.replace("RACK", rack), None);
            let route = snapshot.routes().find("a", "/").unwrap();
            let part = snapshot.serving(route, "a").unwrap();
            assert_eq!(comes_back(part, &[]), keeps);
            assert!(comes_back(web(&snapshot), &[]));
        }
    }

    #[test]
    fn the_next_snapshot_needs_no_secret_again_and_finds_new_servers() {
        let first = snapshot(r#"["10.0.0.2"]"#, None);
        assert!(!comes_back(web(&first), &[]));
        let next = snapshot(r#"["10.0.0.2", "10.0.0.1"]"#, Some(&first));
        assert!(comes_back(web(&next), &[]));
    }
}
