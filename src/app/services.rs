use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::proxy::http_proxy;
use pingora::server::{Server, ShutdownWatch};
use pingora::services::background::{BackgroundService, background_service};
use pingora::services::listening::Service;
use pingora_core::listeners::ListenerConfig;
use pingora_core::protocols::l4::stream::L4BufferSettings;
use tokio::sync::{Notify, watch};

use super::certificates::{self, Certificates};
use super::configuration::KEPT_CONNECTIONS;
use super::descriptors;
use super::hand_over::Keeper;
use super::names::Names;
use super::shutdown::Event;
use super::sources::{KeysOfHosts, Sources};
use super::{Parts, listen};
use crate::clock;
use crate::config::{LimitSettings, ListenAddress, ListenerSettings};
use crate::control::Control;
use crate::controller::Controller;
use crate::domain;
use crate::edge::tls::{Tls, Turns, Watch};
use crate::edge::{Edge, Entrance, GuardLimits, Http2Limits, Place};
use crate::fleet::Fleet;
use crate::health::{HealthChecker, HealthSettings, Observer, ProbeEnd};
use crate::ports::telemetry::{Metrics, ProbeResult};
use crate::proxy::{ClientLimits, LegacyMount, LoopGuard, Pool, Proxy, ProxySettings};
use crate::spec::{Address, Name};
use crate::strict::HeadLimits;

/// Adds everything that runs: the data plane, the control endpoint, health checks, readiness.
pub(super) fn add_all(
    server: &mut Server,
    parts: Parts,
    keeper: Keeper,
    on_ready: Box<dyn FnOnce() + Send + Sync>,
    events: Sender<Event>,
) -> anyhow::Result<()> {
    let (ready, is_ready) = watch::channel(false);
    let addresses = parts
        .config
        .listeners
        .iter()
        .map(|listener| listener.address.clone())
        .collect();
    let app = Control::new(
        parts.config.control.for_control(&parts.config),
        parts.controller.clone(),
        parts.fleet.clone(),
        parts.metrics.clone(),
        is_ready,
    );
    let mut watch = Watch::default();
    server.add_service(edge(server, &parts, &app, &mut watch)?);
    let certificates = Certificates {
        listeners: Mutex::new(watch),
        servers: parts.controller.server_tls().clone(),
    };
    server.add_service(background_service("certificates", certificates));
    server.add_service(control(&parts, app)?);
    let mut health = background_service("health", health(&parts));
    health.threads = Some(1);
    server.add_service(health);
    let (names, are_settled) = Names::new(&parts);
    let mut names = background_service("names", names);
    names.threads = Some(1);
    server.add_service(names);
    let (sources, are_listed) = Sources::new(&parts, keeper.registry.clone());
    let mut sources = background_service("sources", sources);
    sources.threads = Some(1);
    server.add_service(sources);
    let mut settling = vec![are_settled, are_listed];
    if let Some((keys, are_read)) = KeysOfHosts::new(&parts, keeper.registry.clone()) {
        let mut keys = background_service("host keys", keys);
        keys.threads = Some(1);
        server.add_service(keys);
        settling.push(are_read);
    }
    server.add_service(background_service("registry", keeper));
    let mut signing = background_service("fleet", Signing(parts.fleet.clone()));
    signing.threads = Some(1);
    server.add_service(signing);
    let readiness = Readiness {
        addresses,
        settling,
        ready,
        on_ready: Mutex::new(Some(on_ready)),
        events,
    };
    server.add_service(background_service("readiness", readiness));
    Ok(())
}

/// Where a limit of 0 means none.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);

/// One service for all listeners, so that they share its worker threads.
fn edge(
    server: &Server,
    parts: &Parts,
    control: &Control,
    watch: &mut Watch,
) -> anyhow::Result<Service<Edge<pingora::proxy::HttpProxy<Proxy>>>> {
    let addresses = parts.config.listeners.iter();
    let loops = LoopGuard::new(addresses.map(|listener| listener.address.clone().into()));
    let pool = Arc::new(Pool::new(parts.config.server.threads, KEPT_CONNECTIONS));
    let entrance = |listener: &ListenerSettings, tls: Option<Tls>| {
        let settings = ProxySettings {
            trusted_proxies: listener.trusted_proxies.clone(),
            scheme: if tls.is_some() { "https" } else { "http" },
            listener: listener.address.to_string(),
            limits: client_limits(&listener.limits),
            loops: loops.clone(),
            is_stopping: parts.is_stopping.clone(),
            ejected: parts.observed.clone(),
        };
        let snapshot = parts.controller.snapshot().clone();
        let (metrics, log) = (parts.metrics.clone(), parts.access_log.clone());
        let proxy = Proxy::new(settings, snapshot, metrics, log, pool.clone());
        let proxy = proxy.with_legacy(legacy(listener, control));
        let mut proxy = http_proxy(&server.configuration, proxy);
        let mut options = pingora::apps::HttpServerOptions::default();
        // Pingora counts how often the connection is used again, after its first request.
        let requests = listener.limits.keepalive_requests;
        options.keepalive_request_limit = requests.map(|requests| requests.saturating_sub(1));
        proxy.server_options = Some(options);
        Entrance {
            place: place(&listener.address),
            http1: listener.h1,
            http2: listener.h2,
            proxy_protocol: listener.proxy_protocol,
            trusted_proxies: listener.trusted_proxies.clone(),
            tls,
            handshake_timeout: listener.limits.handshake_timeout,
            silence: listener.limits.keepalive_timeout.unwrap_or(FOR_EVER),
            limits: Arc::new(guard_limits(&listener.limits)),
            http2_limits: Http2Limits {
                streams: listener.limits.h2_streams,
                requests: listener.limits.keepalive_requests,
                idle: listener.limits.h2_idle,
                header_size: u32::try_from(listener.limits.header_size).unwrap_or(u32::MAX),
            },
            proxy: Arc::new(proxy),
        }
    };
    let mut entrances = Vec::new();
    let turns = Turns::of(parts.config.server.threads);
    for listener in &parts.config.listeners {
        entrances.push(entrance(
            listener,
            certificates::open(listener, &turns, watch)?,
        ));
    }
    let edge = Edge::new(
        entrances,
        parts.connections.clone(),
        descriptors::within(parts.config.server.connections, descriptors::raise()),
        parts.metrics.clone(),
    );
    let mut service = Service::new("edge".into(), edge);
    for listener in &parts.config.listeners {
        service.add_listener(at(&listener.address).l4_buffer(read_buffer(listener)));
    }
    Ok(service)
}

/// Without TLS whoever reads a connection has a buffer of its own, and Pingora's 64 KiB for each would only be
/// copied from; TLS reads a record in small parts.
fn read_buffer(listener: &ListenerSettings) -> L4BufferSettings {
    let size = if listener.tls.is_some() { 16 << 10 } else { 0 };
    L4BufferSettings::default().read(size)
}

fn client_limits(limits: &LimitSettings) -> ClientLimits {
    ClientLimits {
        body_timeout: limits.body_timeout,
        min_rate: limits.min_rate,
        websocket_idle: limits.websocket_idle,
        header_count: limits.header_count,
        body_size: limits.body_size,
    }
}

fn guard_limits(limits: &LimitSettings) -> GuardLimits {
    GuardLimits {
        head: HeadLimits {
            size: limits.header_size,
            count: limits.header_count,
        },
        header_timeout: limits.header_timeout,
        body_timeout: limits.body_timeout,
        body_size: limits.body_size,
        keepalive_timeout: limits.keepalive_timeout,
        min_rate: limits.min_rate,
    }
}

/// What answers on this listener before routing, if anything does.
fn legacy(listener: &ListenerSettings, control: &Control) -> Option<LegacyMount> {
    let mount = || LegacyMount {
        handler: control.legacy(&listener.legacy),
        allow: listener.legacy_allow.clone(),
    };
    (!listener.legacy.is_empty()).then(mount)
}

fn control(parts: &Parts, app: Control) -> anyhow::Result<Service<Control>> {
    let settings = &parts.config.control;
    let mut service = Service::new("control".into(), app);
    service.threads = Some(1);
    match (&settings.address, &settings.tls) {
        (ListenAddress::Tcp(address), Some(tls)) => {
            let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
            let tls = TlsSettings::intermediate(&path(&tls.cert), &path(&tls.key))
                .context("control.tls")?;
            service.add_tls_with_settings(&address.to_string(), None, tls);
        }
        (address @ ListenAddress::Tcp(_), None) => service.add_listener(at(address)),
        // Who may write to the socket is an administrator: its owner alone. Pingora would let everyone in.
        (address @ ListenAddress::Unix(_), _) => {
            service.add_listener(at(address).permissions(Permissions::from_mode(0o600)));
        }
    }
    Ok(service)
}

fn at(address: &ListenAddress) -> ListenerConfig {
    match address {
        ListenAddress::Tcp(address) => ListenerConfig::tcp(address.to_string()),
        ListenAddress::Unix(path) => ListenerConfig::uds(path.to_string_lossy()),
    }
}

fn place(address: &ListenAddress) -> Place {
    match address {
        ListenAddress::Tcp(address) => Place::Tcp(*address),
        ListenAddress::Unix(path) => Place::Unix(path.clone()),
    }
}

fn health(parts: &Parts) -> Health {
    let settings = HealthSettings {
        probe_concurrency: parts.config.server.probe_concurrency,
        forbidden: parts.config.control.forbidden_addresses(),
    };
    let observer = Arc::new(Watcher {
        metrics: parts.metrics.clone(),
        observed: parts.observed.clone(),
    });
    let checker = HealthChecker::new(
        settings,
        parts.controller.snapshot().clone(),
        observer,
        clock::unix_ms,
    );
    Health {
        checker: Mutex::new(Some(checker)),
        controller: parts.controller.clone(),
    }
}

/// How much the checks' thread yields (`nice`): a quarter of a core is its when requests want all of it, so that they
/// cannot starve it.
const NICE: i32 = 5;

/// A probe can wait a millisecond, a request should not: where both want a core, requests go first.
fn yield_to_requests() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        log::warn!("health checks have the same priority as requests: {error}");
    }
}

/// The checks of all groups, as a service with a thread of its own.
struct Health {
    checker: Mutex<Option<HealthChecker>>,
    controller: Controller,
}

#[async_trait]
impl BackgroundService for Health {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let checker = self
            .checker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(checker) = checker else { return };
        yield_to_requests();
        let stopping = async move {
            let _ = shutdown.wait_for(|stopping| *stopping).await;
        };
        checker.run(self.controller.revisions(), stopping).await;
    }
}

/// This node's part in the fleet, as a service with a thread of its own.
struct Signing(Fleet);

#[async_trait]
impl BackgroundService for Signing {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let stopping = async move {
            let _ = shutdown.wait_for(|stopping| *stopping).await;
        };
        self.0.run(stopping).await;
    }
}

/// What checks see, as metrics and for the hand-over; the checker itself writes verdicts to the log.
struct Watcher {
    metrics: Metrics,
    observed: Arc<Notify>,
}

impl Observer for Watcher {
    fn probed(&self, end: ProbeEnd) {
        self.metrics.probed(match end {
            ProbeEnd::Pass => ProbeResult::Pass,
            ProbeEnd::Fail => ProbeResult::Fail,
            ProbeEnd::Timeout => ProbeResult::Timeout,
            ProbeEnd::Discarded => ProbeResult::Discarded,
        });
    }

    fn verdict(
        &self,
        _upstream: &Name,
        _address: &Address,
        _health: domain::server::Health,
        _reason: &str,
    ) {
        self.observed.notify_one();
    }
}

/// Says when every listener accepts, and the first answers of DNS and of Consul and the keys of hosts are there or late.
struct Readiness {
    addresses: Vec<ListenAddress>,
    settling: Vec<watch::Receiver<bool>>,
    ready: watch::Sender<bool>,
    on_ready: Mutex<Option<Box<dyn FnOnce() + Send + Sync>>>,
    events: Sender<Event>,
}

#[async_trait]
impl BackgroundService for Readiness {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        if let Err(reason) = listen::wait_for_all(&self.addresses).await {
            let _ = self.events.send(Event::Failed(reason));
            return;
        }
        // Requests are served meanwhile. Whoever asks /readyz before it sends some is spared those to groups
        // without a server, and a start without DNS or Consul is still one.
        let settled = async {
            for mut settled in self.settling.iter().cloned() {
                let _ = settled.wait_for(|settled| *settled).await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, settled).await;
        self.ready.send_replace(true);
        log::info!("ready: every listener accepts");
        let on_ready = self
            .on_ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(on_ready) = on_ready {
            on_ready();
        }
        let _ = shutdown.wait_for(|stopping| *stopping).await;
        self.ready.send_replace(false);
    }
}

/// Long for a name server and for Consul if they are there, short for a start.
const PATIENCE: Duration = Duration::from_secs(2);
