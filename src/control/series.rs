use std::fmt::Error;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::api::Api;
use crate::domain::names::Named;
use crate::domain::server::Server;
use crate::domain::snapshot::Snapshot;
use crate::domain::upstream::Upstream;
use crate::fleet::{NodeState, Roster};

/// The series of the snapshot, for each group and each server, and those of the fleet.
#[derive(Debug)]
pub(super) struct Series {
    snapshot: Arc<Snapshot>,
    /// What was learnt of the nodes, and how long ago.
    roster: Arc<Roster>,
    age: Duration,
}

impl Collector for Series {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.of_groups(&mut encoder)?;
        self.of_servers(&mut encoder)?;
        self.of_names(&mut encoder)?;
        self.of_fleet(&mut encoder)
    }
}

impl Series {
    pub(super) fn of(api: &Api) -> Self {
        let (roster, age) = api.fleet.roster();
        Self {
            snapshot: api.snapshot(),
            roster,
            age,
        }
    }

    fn of_groups(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        self.upstreams(
            encoder,
            "pointsman_upstream_usable_servers",
            "Servers of the group that could take requests",
            |upstream| upstream.usable_servers(),
        )?;
        self.upstreams(
            encoder,
            "pointsman_upstream_servers",
            "Servers of the group",
            |upstream| upstream.servers().len(),
        )?;
        self.upstreams(
            encoder,
            "pointsman_upstream_all_down",
            "Whether the group has servers and none of them could take requests",
            |upstream| usize::from(upstream.is_outage()),
        )?;
        self.upstreams(
            encoder,
            "pointsman_queue_length",
            "Requests that wait for a server of the group with room",
            |upstream| upstream.queue().waiting(),
        )
    }

    fn of_servers(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        self.gauges(
            encoder,
            "pointsman_server_up",
            "Whether the server could take requests: admin up, health not down",
            |server| i64::from(server.is_usable()),
        )?;
        self.gauges(
            encoder,
            "pointsman_server_in_flight",
            "Requests that the server works on now",
            |server| i64::from(server.shared().in_flight()),
        )?;
        self.counters(
            encoder,
            "pointsman_server_requests",
            "Attempts sent to the server",
            |server| server.shared().requests(),
        )?;
        self.counters(
            encoder,
            "pointsman_server_failures",
            "Attempts sent to the server that failed",
            |server| server.shared().failures(),
        )
    }

    fn of_names(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        self.names(
            encoder,
            "pointsman_name_resolved",
            "Whether DNS answered for the name when it was asked last",
            |named| {
                let observed = named.state().observed();
                i64::from(observed.asked_at > 0 && observed.failing_since.is_none())
            },
        )?;
        self.names(
            encoder,
            "pointsman_name_addresses",
            "Addresses that the name stands for now",
            |named| {
                let places = named
                    .resolved()
                    .map_or(0, |resolved| resolved.places().len());
                i64::try_from(places).unwrap_or(i64::MAX)
            },
        )
    }

    /// Not for each node, since nodes come and go under new names: which one it is says `/v1/fleet`.
    fn of_fleet(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut family = encoder.encode_descriptor(
            "pointsman_fleet_nodes",
            "Nodes on record in the store, by how they do",
            None,
            MetricType::Gauge,
        )?;
        for state in NodeState::ALL {
            let nodes = self.roster.nodes.iter();
            let count = nodes.filter(|node| node.state == state).count();
            let labels = [("state", state.as_str())];
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        let live = self.roster.nodes.iter().filter(|node| node.state.is_live());
        let lag = live.map(|node| node.lag).max().unwrap_or(0);
        let encoded = encoder.encode_descriptor(
            "pointsman_fleet_lag",
            "Revisions that the slowest live node is behind the newest that a live node serves",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::try_from(lag).unwrap_or(i64::MAX)).encode(encoded)?;
        let encoded = encoder.encode_descriptor(
            "pointsman_fleet_disagreements",
            "Servers that some live nodes see down and others do not",
            None,
            MetricType::Gauge,
        )?;
        let count = self.roster.disagreements().len();
        ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)).encode(encoded)?;
        let encoded = encoder.encode_descriptor(
            "pointsman_fleet_age",
            "How long ago the store told what is known of the nodes",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        ConstGauge::new(self.age.as_secs_f64()).encode(encoded)
    }

    fn upstreams(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&Upstream) -> usize,
    ) -> Result<(), Error> {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for upstream in self.snapshot.upstreams() {
            let labels = [("upstream", upstream.name().as_str())];
            let value = i64::try_from(value(upstream)).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauges(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&Server) -> i64,
    ) -> Result<(), Error> {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (upstream, server) in self.servers() {
            let labels = labels(upstream, server);
            ConstGauge::new(value(server)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counters(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&Server) -> u64,
    ) -> Result<(), Error> {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (upstream, server) in self.servers() {
            let labels = labels(upstream, server);
            ConstCounter::new(value(server)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn names(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&Named) -> i64,
    ) -> Result<(), Error> {
        let mut names: Vec<_> = self.snapshot.names().iter().collect();
        if names.is_empty() {
            return Ok(());
        }
        names.sort_unstable_by_key(|named| named.address());
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for named in names {
            let labels = [("name", named.address().to_string())];
            ConstGauge::new(value(named)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn servers(&self) -> impl Iterator<Item = (&Upstream, &Server)> {
        self.snapshot.upstreams().flat_map(|upstream| {
            let servers = upstream.servers().iter();
            servers.map(move |server| (&**upstream, &**server))
        })
    }
}

fn labels<'a>(upstream: &'a Upstream, server: &'a Server) -> [(&'a str, &'a str); 2] {
    [
        ("upstream", upstream.name().as_str()),
        ("server", server.label()),
    ]
}
