//! Knows every module: builds the parts, wraps them as Pingora services, connects the ports, ends with the last request.

mod certificates;
mod configuration;
mod descriptors;
mod hand_over;
mod listen;
mod logging;
mod names;
mod services;
mod shutdown;
mod sources;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, atomic::AtomicBool};
use std::time::{Duration, Instant};

use anyhow::Context;
use pingora::server::{RunArgs, Server};

use crate::config::Config;
use crate::controller::{self, Controller, StartSettings};
use crate::edge::Connections;
use crate::fleet::{Fleet, FleetSettings};
use crate::ports::access_log::{AccessLog, WriterGuard};
use crate::ports::telemetry::Metrics;
use crate::store;
use hand_over::Keeper;
use shutdown::Event;
use tokio::sync::Notify;

/// Serves until a signal ends the process. `on_ready` is called when the listeners accept.
pub fn run(
    config: Config,
    reset_state: bool,
    on_ready: impl FnOnce() + Send + Sync + 'static,
) -> anyhow::Result<()> {
    logging::start(config.log_level);
    listen::try_all(&config)?;
    let metrics = Metrics::new();
    let opened = store::open(&config.state.store)?;
    let controller = start_controller(&config, reset_state, &opened, &metrics)?;
    let (access_log, writer) = AccessLog::open(&config.access_log, &metrics)
        .with_context(|| format!("cannot open the access log {:?}", config.access_log.target))?;
    let observed = Arc::new(Notify::new());
    let keeper = Keeper {
        registry: opened.registry,
        controller: controller.clone(),
        forbidden: config.control.forbidden_addresses(),
        observed: observed.clone(),
        node: config.server.node.to_string(),
    };
    keeper.take_over();
    let fleet = FleetSettings {
        node: config.server.node.to_string(),
        address: config.control.address.to_string(),
    };
    let fleet = Fleet::new(fleet, keeper.registry.clone(), controller.clone());
    let parts = Parts {
        config,
        controller,
        fleet,
        metrics,
        access_log,
        connections: Connections::default(),
        is_stopping: Arc::default(),
        observed,
        redis: opened.redis,
    };
    serve(parts, keeper, writer, Box::new(on_ready))
}

/// What the services are built from.
struct Parts {
    config: Config,
    controller: Controller,
    fleet: Fleet,
    metrics: Metrics,
    access_log: AccessLog,
    connections: Connections,
    /// Set by the first signal to end.
    is_stopping: Arc<AtomicBool>,
    /// Told at each verdict of the checks, when a server is ejected, and when a name comes to stand for other addresses.
    observed: Arc<Notify>,
    redis: Option<Arc<store::Redis>>,
}

fn start_controller(
    config: &Config,
    reset: bool,
    opened: &store::Opened,
    metrics: &Metrics,
) -> anyhow::Result<Controller> {
    let settings = StartSettings {
        seed: config.seed.clone(),
        reset,
        forbidden: config.control.forbidden_addresses(),
        history: config.state.history,
    };
    let controller = controller::start(opened.store.clone(), settings, metrics.clone())?;
    let snapshot = controller.snapshot().load_full();
    let compared = match snapshot.spec().is_as_written_in(&config.seed) {
        true => "as the file has it",
        false => {
            "which differs from the file: `pointsman ctl apply -f FILE` shows and installs the file's"
        }
    };
    log::info!("serving revision {}, {compared}", snapshot.revision());
    Ok(controller)
}

/// Runs the services on Pingora's threads; this one waits for the end.
fn serve(
    parts: Parts,
    keeper: Keeper,
    writer: WriterGuard,
    on_ready: Box<dyn FnOnce() + Send + Sync>,
) -> anyhow::Result<()> {
    let grace = parts.config.server.shutdown_grace;
    let connections = parts.connections.clone();
    let fleet = parts.fleet.clone();
    let is_stopping = parts.is_stopping.clone();
    let (events, happened) = mpsc::channel();
    let mut server = Server::new_with_opt_and_conf(None, configuration::of_server(&parts.config));
    server.bootstrap();
    services::add_all(&mut server, parts, keeper.clone(), on_ready, events.clone())?;
    let signals = shutdown::Signals::new(events.clone(), is_stopping);
    let pingora = std::thread::Builder::new().name("pingora".into());
    pingora.spawn(move || {
        server.run(RunArgs {
            shutdown_signal: Box::new(signals),
        });
        let _ = events.send(Event::Ended);
    })?;
    // Here, since the process ends with this thread, whatever the services are at.
    wait_for_end(&happened, &connections, grace, &writer).map(|()| {
        keeper.save();
        fleet.leave();
    })
}

/// Pingora sleeps through its whole grace period. This ends the process with its last connection,
/// or when the period is over.
fn wait_for_end(
    happened: &mpsc::Receiver<Event>,
    connections: &Connections,
    grace: Duration,
    writer: &WriterGuard,
) -> anyhow::Result<()> {
    let mut deadline: Option<Instant> = None;
    loop {
        let event = match deadline {
            None => happened.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => happened.recv_timeout(LOOK),
        };
        match event {
            Ok(Event::Stopping) if deadline.is_none() => {
                log::info!("stopping: no new connections, {} open", connections.open());
                deadline = Some(Instant::now() + grace);
            }
            Ok(Event::ReopenLogs) => writer.reopen(),
            Ok(Event::Failed(reason)) => anyhow::bail!(reason),
            // The second request to stop is meant.
            Ok(Event::Stopping | Event::Ended) | Err(RecvTimeoutError::Disconnected) => {
                return Ok(());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(deadline) = deadline {
            let open = connections.open();
            if open == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                log::warn!("the grace period is over: {open} connections are cut");
                return Ok(());
            }
        }
    }
}

/// How often the end looks whether the last connection has gone.
const LOOK: Duration = Duration::from_millis(5);
