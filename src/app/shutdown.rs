use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the main thread waits for.
pub(super) enum Event {
    /// A signal asked for the end.
    Stopping,
    /// The access log's file is to be opened anew.
    ReopenLogs,
    /// A part cannot go on.
    Failed(String),
    /// Pingora has ended.
    Ended,
}

/// Turns signals into events: SIGTERM, SIGINT and SIGQUIT finish the open requests and end, a second
/// one ends at once; SIGUSR1 reopens the access log; SIGHUP changes nothing, so that a lost terminal
/// does not stop the edge.
pub(super) struct Signals {
    events: Sender<Event>,
    is_stopping: Arc<AtomicBool>,
}

impl Signals {
    /// `is_stopping` is set by the first signal to end.
    pub(super) fn new(events: Sender<Event>, is_stopping: Arc<AtomicBool>) -> Self {
        Self {
            events,
            is_stopping,
        }
    }

    fn send(&self, event: Event) {
        // Without a main thread there is nothing left to tell.
        let _ = self.events.send(event);
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let asked = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::quit(),
        ]
        .map(signal);
        let others = [SignalKind::user_defined1(), SignalKind::hangup()].map(signal);
        let ([Ok(mut term), Ok(mut int), Ok(mut quit)], [Ok(mut usr1), Ok(mut hup)]) =
            (asked, others)
        else {
            self.send(Event::Failed("cannot listen for signals".into()));
            return ShutdownSignal::FastShutdown;
        };
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = quit.recv() => break,
                _ = usr1.recv() => self.send(Event::ReopenLogs),
                _ = hup.recv() => log::info!("SIGHUP: nothing to do; the state changes through the control endpoint"),
            }
        }
        self.is_stopping.store(true, Ordering::Relaxed);
        self.send(Event::Stopping);
        let again = self.events.clone();
        tokio::spawn(second(again, term, int, quit));
        ShutdownSignal::GracefulTerminate
    }
}

async fn second(events: Sender<Event>, mut term: Signal, mut int: Signal, mut quit: Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        _ = quit.recv() => {}
    }
    let _ = events.send(Event::Stopping);
}
