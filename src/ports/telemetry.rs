//! What the process counts about itself. Any part adds through a [`Metrics`] handle; the control endpoint
//! writes all of it as text.
//!
//! Labels come from closed enums only, never from a request, so the number of series is fixed.

mod collect;
mod counters;
mod labels;
mod reason;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub use labels::{
    ChangeOutcome, HandshakeFailure, HandshakeResult, Http2Code, Label, NameAnswer, ProbeResult,
    Rejection, RetryCause, SourceAnswer, StatusClass,
};
pub use reason::Reason;

use super::host_keys::HostKeyReport;
use super::shard::Shards;
use super::sources::SourceTable;
use counters::{CounterSet, RequestCounters};

/// The process's counters: a handle, cheap to clone and to add to (relaxed atomics; those of a request are kept per
/// thread and summed when read).
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

impl Metrics {
    /// The content type of [`Metrics::encode`]: OpenMetrics 1.0, which Prometheus reads since 2.5.
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// All counters at zero.
    #[allow(
        clippy::new_without_default,
        reason = "a second set of counters is a mistake worth spelling out"
    )]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            requests: Shards::new(RequestCounters::default),
            retries: CounterSet::default(),
            retries_denied: AtomicU64::new(0),
            ejections: AtomicU64::new(0),
            generated: CounterSet::default(),
            connections_accepted: AtomicU64::new(0),
            connections_closed: AtomicU64::new(0),
            connections_rejected: CounterSet::default(),
            handshakes: CounterSet::default(),
            handshake_failures: CounterSet::default(),
            http2_refused: AtomicU64::new(0),
            http2_resets: CounterSet::default(),
            http2_goaways: CounterSet::default(),
            access_log_dropped: AtomicU64::new(0),
            changes: CounterSet::default(),
            store_failures: AtomicU64::new(0),
            store_agreed_unix_ms: AtomicU64::new(0),
            store_diverged: AtomicBool::new(false),
            probes: CounterSet::default(),
            name_answers: CounterSet::default(),
            source_answers: CounterSet::default(),
            sources: SourceTable::default(),
            host_keys: HostKeyReport::default(),
            revision: AtomicU64::new(0),
            published_unix_ms: AtomicU64::new(0),
        }))
    }

    /// A request has ended with `status` after `duration`, from its first byte to the last of the response.
    pub fn request_ended(&self, status: u16, duration: Duration) {
        if let Some(mine) = self.0.requests.mine() {
            mine.add(StatusClass::of(status), duration);
        }
    }

    /// A request was not tried again because its group's budget is spent.
    pub fn retry_denied(&self) {
        add(&self.0.retries_denied, 1);
    }

    /// Failing requests have ejected a server.
    pub fn ejected(&self) {
        add(&self.0.ejections, 1);
    }

    /// A request goes to another server because of `cause`.
    pub fn retried(&self, cause: RetryCause) {
        self.0.retries.increment(cause);
    }

    /// A request was answered or ended by this process itself, not by a server.
    pub fn generated(&self, reason: Reason) {
        self.0.generated.increment(reason);
    }

    /// A client connection was accepted; it counts as open until the guard is dropped.
    pub fn connection_accepted(&self) -> OpenConnection {
        add(&self.0.connections_accepted, 1);
        OpenConnection(self.clone())
    }

    /// A client connection was closed before it could say anything to the proxy.
    pub fn connection_rejected(&self, cause: Rejection) {
        self.0.connections_rejected.increment(cause);
    }

    /// A TLS handshake with a client has ended well.
    pub fn handshake_ended(&self, result: HandshakeResult) {
        self.0.handshakes.increment(result);
    }

    /// A TLS handshake with a client has failed.
    pub fn handshake_failed(&self, cause: HandshakeFailure) {
        self.0.handshake_failures.increment(cause);
    }

    /// So many requests over HTTP/2 were refused before they came to the proxy.
    pub fn http2_refused(&self, requests: u64) {
        add(&self.0.http2_refused, requests);
    }

    /// A stream of a client was ended with RST_STREAM.
    pub fn http2_reset(&self, code: Http2Code) {
        self.0.http2_resets.increment(code);
    }

    /// A client's connection was ended with GOAWAY, for a fault.
    pub fn http2_goaway(&self, code: Http2Code) {
        self.0.http2_goaways.increment(code);
    }

    /// So many lines of the access log were lost.
    pub fn access_log_dropped(&self, lines: u64) {
        add(&self.0.access_log_dropped, lines);
    }

    /// Lines of the access log lost so far.
    pub fn access_log_dropped_total(&self) -> u64 {
        self.0.access_log_dropped.load(Ordering::Relaxed)
    }

    /// A change was submitted and came out as `outcome`.
    pub fn change_ended(&self, outcome: ChangeOutcome) {
        self.0.changes.increment(outcome);
    }

    /// The store failed to read or write.
    pub fn store_failed(&self) {
        add(&self.0.store_failures, 1);
    }

    /// At `unix_ms` the store held what is served.
    pub fn store_agreed(&self, unix_ms: u64) {
        self.0
            .store_agreed_unix_ms
            .store(unix_ms, Ordering::Relaxed);
        self.0.store_diverged.store(false, Ordering::Relaxed);
    }

    /// Whether the store holds a state that the one served does not lead to.
    pub fn store_diverged(&self, is_so: bool) {
        self.0.store_diverged.store(is_so, Ordering::Relaxed);
    }

    /// A health probe has ended.
    pub fn probed(&self, result: ProbeResult) {
        self.0.probes.increment(result);
    }

    /// DNS was asked for a name of servers.
    pub fn name_answered(&self, answer: NameAnswer) {
        self.0.name_answers.increment(answer);
    }

    /// The source of a group answered.
    pub fn source_answered(&self, answer: SourceAnswer) {
        self.0.source_answers.increment(answer);
    }

    /// What was last heard from each source.
    pub fn sources(&self) -> &SourceTable {
        &self.0.sources
    }

    /// What is known of hosts' keys.
    pub fn host_keys(&self) -> &HostKeyReport {
        &self.0.host_keys
    }

    /// `revision` serves traffic since `unix_ms`.
    pub fn published(&self, revision: u64, unix_ms: u64) {
        self.0.revision.store(revision, Ordering::Relaxed);
        self.0.published_unix_ms.store(unix_ms, Ordering::Relaxed);
    }

    /// Adds these counters to a registry, which then shows their current values at each scrape.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    /// All counters as OpenMetrics text; see [`Metrics::CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut registry = Registry::default();
        self.register(&mut registry);
        encode_all(&registry)
    }

    /// The same, followed by the series of `extra`: those per upstream and server, which live in the snapshot.
    ///
    /// ```
    /// use pointsman::ports::telemetry::Metrics;
    /// use prometheus_client::collector::Collector;
    /// use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
    /// use prometheus_client::metrics::{MetricType, gauge::ConstGauge};
    ///
    /// #[derive(Debug)]
    /// struct ServerSeries(Vec<(String, String, bool)>);
    ///
    /// impl Collector for ServerSeries {
    ///     fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    ///         let mut family = encoder.encode_descriptor(
    ///             "pointsman_server_up", "Whether the server may be picked", None, MetricType::Gauge)?;
    ///         for (upstream, server, up) in &self.0 {
    ///             let labels = [("upstream", upstream.as_str()), ("server", server.as_str())];
    ///             ConstGauge::new(i64::from(*up)).encode(family.encode_family(&labels)?)?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let text = Metrics::new().encode_with(ServerSeries(vec![("web".into(), "10.0.0.1:80".into(), true)]));
    /// assert!(text.contains(r#"pointsman_server_up{upstream="web",server="10.0.0.1:80"} 1"#));
    /// ```
    pub fn encode_with(&self, extra: impl Collector) -> String {
        let mut registry = Registry::default();
        self.register(&mut registry);
        registry.register_collector(Box::new(extra));
        encode_all(&registry)
    }
}

/// An open client connection: dropped when it closes.
#[derive(Debug)]
#[must_use = "the connection counts as open for as long as this lives"]
pub struct OpenConnection(Metrics);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        add(&self.0.0.connections_closed, 1);
    }
}

#[derive(Debug)]
struct Inner {
    requests: Shards<RequestCounters>,
    retries: CounterSet<RetryCause>,
    retries_denied: AtomicU64,
    ejections: AtomicU64,
    generated: CounterSet<Reason>,
    connections_accepted: AtomicU64,
    /// A counter of its own: accepted less closed is open, and neither ever goes back.
    connections_closed: AtomicU64,
    connections_rejected: CounterSet<Rejection>,
    handshakes: CounterSet<HandshakeResult>,
    handshake_failures: CounterSet<HandshakeFailure>,
    http2_refused: AtomicU64,
    http2_resets: CounterSet<Http2Code>,
    http2_goaways: CounterSet<Http2Code>,
    access_log_dropped: AtomicU64,
    changes: CounterSet<ChangeOutcome>,
    store_failures: AtomicU64,
    /// 0 = never.
    store_agreed_unix_ms: AtomicU64,
    store_diverged: AtomicBool,
    probes: CounterSet<ProbeResult>,
    name_answers: CounterSet<NameAnswer>,
    source_answers: CounterSet<SourceAnswer>,
    sources: SourceTable,
    host_keys: HostKeyReport,
    revision: AtomicU64,
    /// 0 = nothing published yet.
    published_unix_ms: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn encode_all(registry: &Registry) -> String {
    let mut text = String::with_capacity(16 * 1024);
    if text::encode(&mut text, registry).is_err() {
        // Writing to a String cannot fail; an `extra` that refuses must not hide what came before it.
        text.push_str("# EOF\n");
    }
    text
}
