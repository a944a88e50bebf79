//! The counters as series: names, help and units.

use std::fmt::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::counters::{CounterSet, RequestTotals};
use super::labels::{Label, StatusClass};
use super::{Inner, Metrics};
use crate::clock;

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut series = Series(&mut encoder);
        self.0.requests(&mut series)?;
        self.0.connections(&mut series)?;
        self.0.control(&mut series)
    }
}

impl Inner {
    fn requests(&self, series: &mut Series<'_, '_>) -> Result<(), Error> {
        let mut totals = RequestTotals::default();
        for shard in self.requests.iter() {
            shard.add_to(&mut totals);
        }
        let classes = StatusClass::ALL.iter().copied().zip(totals.classes);
        series.counters(
            "requests",
            "Requests that have ended, by the class of their status",
            "class",
            classes,
        )?;
        series.durations(&totals)?;
        series.set(
            "retries",
            "Attempts after the first of a request, by what ended the one before",
            "cause",
            &self.retries,
        )?;
        series.counter(
            "retries_denied",
            "Attempts that were not made because the group's retry budget was spent",
            load(&self.retries_denied),
        )?;
        series.counter(
            "ejections",
            "Times that failing requests took a server out",
            load(&self.ejections),
        )?;
        series.set(
            "generated_responses",
            "Requests that this process answered or ended itself, by reason",
            "reason",
            &self.generated,
        )
    }

    fn connections(&self, series: &mut Series<'_, '_>) -> Result<(), Error> {
        // Closed is read first: a connection that opens and closes in between then shows as open, not as less than none.
        let closed = load(&self.connections_closed);
        let accepted = load(&self.connections_accepted);
        series.counter(
            "connections_accepted",
            "Client connections accepted",
            accepted,
        )?;
        series.gauge(
            "connections_open",
            "Client connections open now",
            None,
            accepted.saturating_sub(closed),
        )?;
        series.set(
            "connections_rejected",
            "Client connections closed before they could say anything to the proxy, by cause",
            "cause",
            &self.connections_rejected,
        )?;
        series.set(
            "tls_handshakes",
            "TLS handshakes with clients that ended well, by kind",
            "kind",
            &self.handshakes,
        )?;
        series.set(
            "tls_handshake_failures",
            "TLS handshakes with clients that failed, by cause",
            "cause",
            &self.handshake_failures,
        )?;
        series.counter(
            "http2_requests_refused",
            "Requests over HTTP/2 without a line in the access log: malformed, with a head too large, or taken back at once",
            load(&self.http2_refused),
        )?;
        series.set(
            "http2_streams_reset",
            "Streams of clients ended with RST_STREAM, by its code",
            "code",
            &self.http2_resets,
        )?;
        series.set(
            "http2_connections_refused",
            "Connections of clients ended with GOAWAY for a fault, by its code",
            "code",
            &self.http2_goaways,
        )?;
        series.counter(
            "access_log_dropped",
            "Lines of the access log lost because they could not be written in time",
            load(&self.access_log_dropped),
        )
    }

    fn control(&self, series: &mut Series<'_, '_>) -> Result<(), Error> {
        series.set(
            "changes",
            "Changes submitted, by outcome",
            "outcome",
            &self.changes,
        )?;
        series.counter(
            "store_failures",
            "Reads and writes of the store that failed",
            load(&self.store_failures),
        )?;
        let agreed = load(&self.store_agreed_unix_ms);
        series.gauge(
            "store_staleness",
            "How long ago it was last known that the store holds what is served",
            Some(&Unit::Seconds),
            clock::unix_ms().saturating_sub(agreed) as f64 / 1e3,
        )?;
        series.gauge(
            "store_diverged",
            "1 if the store holds a state that the one served does not lead to",
            None,
            u64::from(self.store_diverged.load(Ordering::Relaxed)),
        )?;
        series.set(
            "health_probes",
            "Health probes that have ended, by result",
            "result",
            &self.probes,
        )?;
        series.set(
            "name_answers",
            "Answers of DNS for the names of servers, by what they were good for",
            "answer",
            &self.name_answers,
        )?;
        series.set(
            "source_answers",
            "Answers of sources for the servers of groups, by what they were good for",
            "answer",
            &self.source_answers,
        )?;
        series.gauge(
            "sources_failing",
            "Groups whose servers are not what their source says now",
            None,
            self.sources.failing() as u64,
        )?;
        series.gauge(
            "host_keys_refused",
            "Keys of hosts in Redis that are not taken, on the node that follows them",
            None,
            self.host_keys.refused() as u64,
        )?;
        series.gauge(
            "revision",
            "Number of the revision that serves traffic",
            None,
            load(&self.revision),
        )?;
        let published = load(&self.published_unix_ms) as f64 / 1e3;
        series.gauge(
            "last_publish_timestamp",
            "When the serving revision was published, in Unix time; 0 before the first",
            Some(&Unit::Seconds),
            published,
        )
    }
}

/// Writes whole families; every name gets the prefix `pointsman_`, a counter the suffix `_total`.
struct Series<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Series<'_, '_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let name = prefixed(name);
        let encoder = self
            .0
            .encode_descriptor(&name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn set<L: Label>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        set: &CounterSet<L>,
    ) -> Result<(), Error> {
        self.counters(name, help, label, set.iter())
    }

    fn counters<L: Label>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (L, u64)>,
    ) -> Result<(), Error> {
        let name = prefixed(name);
        let mut family = self
            .0
            .encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (value, count) in values {
            let labels = [(label, value.as_str())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: impl EncodeGaugeValue,
    ) -> Result<(), Error> {
        let name = prefixed(name);
        let encoder = self
            .0
            .encode_descriptor(&name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn durations(&mut self, totals: &RequestTotals) -> Result<(), Error> {
        let name = prefixed("request_duration");
        let mut encoder = self.0.encode_descriptor(
            &name,
            "Time from a request's first byte to the last of its response",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        encoder.encode_histogram::<NoLabelSet>(
            totals.seconds(),
            totals.count(),
            &totals.buckets(),
            None,
        )
    }
}

fn prefixed(name: &str) -> String {
    format!("pointsman_{name}")
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::DescriptorEncoder;

    use super::super::{ChangeOutcome, ProbeResult, Reason, RetryCause};
    use super::*;

    #[test]
    fn what_was_counted_is_what_the_text_shows() {
        let metrics = Metrics::new();
        metrics.request_ended(200, Duration::from_micros(300));
        metrics.request_ended(503, Duration::from_millis(2));
        metrics.retried(RetryCause::StaleConnection);
        metrics.generated(Reason::NoServer);
        metrics.change_ended(ChangeOutcome::Applied);
        metrics.store_failed();
        metrics.probed(ProbeResult::Timeout);
        metrics.access_log_dropped(7);
        metrics.published(42, 1_795_188_802_500);
        let text = metrics.encode();
        for line in [
            r#"pointsman_requests_total{class="2xx"} 1"#,
            r#"pointsman_requests_total{class="5xx"} 1"#,
            r#"pointsman_request_duration_seconds_sum 0.0023"#,
            r#"pointsman_request_duration_seconds_count 2"#,
            r#"pointsman_request_duration_seconds_bucket{le="0.00025"} 0"#,
            r#"pointsman_request_duration_seconds_bucket{le="0.0005"} 1"#,
            r#"pointsman_request_duration_seconds_bucket{le="+Inf"} 2"#,
            r#"pointsman_retries_total{cause="stale_connection"} 1"#,
            r#"pointsman_generated_responses_total{reason="no_server"} 1"#,
            r#"pointsman_changes_total{outcome="applied"} 1"#,
            "pointsman_store_failures_total 1",
            r#"pointsman_health_probes_total{result="timeout"} 1"#,
            "pointsman_access_log_dropped_total 7",
            "pointsman_revision 42",
            "pointsman_last_publish_timestamp_seconds 1795188802.5",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn a_connection_is_open_until_its_guard_is_dropped() {
        let metrics = Metrics::new();
        let first = metrics.connection_accepted();
        let _second = metrics.connection_accepted();
        drop(first);
        let text = metrics.encode();
        assert!(text.contains("\npointsman_connections_accepted_total 2\n"));
        assert!(text.contains("\npointsman_connections_open 1\n"));
    }

    #[test]
    fn requests_of_all_threads_are_summed() {
        let metrics = Metrics::new();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    (0..1_000).for_each(|_| metrics.request_ended(204, Duration::ZERO));
                });
            }
        });
        assert!(
            metrics
                .encode()
                .contains("\npointsman_requests_total{class=\"2xx\"} 8000\n")
        );
    }

    #[test]
    fn every_family_has_help_and_a_type_and_the_prefix() {
        let text = Metrics::new().encode();
        let helps = text.lines().filter(|l| l.starts_with("# HELP pointsman_"));
        let types = text.lines().filter(|l| l.starts_with("# TYPE pointsman_"));
        assert_eq!(helps.count(), types.count());
        let samples = text.lines().filter(|l| !l.starts_with('#'));
        assert!(samples.clone().count() > 50);
        samples.for_each(|l| assert!(l.starts_with("pointsman_"), "{l}"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[derive(Debug)]
    struct Refuses;

    impl Collector for Refuses {
        fn encode(&self, _: DescriptorEncoder<'_>) -> Result<(), Error> {
            Err(Error)
        }
    }

    #[test]
    fn an_extra_collector_that_fails_does_not_hide_the_rest() {
        let text = Metrics::new().encode_with(Refuses);
        assert!(text.contains("\npointsman_revision 0\n"));
        assert!(text.ends_with("# EOF\n"));
    }
}
