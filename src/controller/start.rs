use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};

use tokio::sync::watch;

use super::follower::Follower;
use super::plan::Base;
use super::standing::Standing;
use super::writer::Writer;
use super::{Controller, WAITING, host_keys, secrets, tls};
use crate::change::Change;
use crate::clock;
use crate::domain::snapshot::{Snapshot, shared};
use crate::ports::server_tls::ServerTlsTable;
use crate::ports::telemetry::Metrics;
use crate::spec::{Digest, ForbiddenAddresses, Meta, Revision, Spec};
use crate::store::{self, Head, History, Store, StoreError, Stored};

/// What the controller starts from.
pub struct StartSettings {
    /// The file's half: the first revision of an empty store.
    pub seed: Spec,
    /// Whether the file's half is installed as the next revision although the store has a state.
    pub reset: bool,
    /// Which addresses no server may have.
    pub forbidden: ForbiddenAddresses,
    /// How much history is kept.
    pub history: History,
}

/// Why there is no state to serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be read, or the first state not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No thread for the writer.
    #[error("cannot start the writer's thread: {0}")]
    Thread(#[from] std::io::Error),
    /// Files that groups name cannot be used.
    #[error("{0}")]
    Files(String),
}

/// Loads the last state, or stores the file's as the first; publishes it; starts the writer.
pub fn start(
    store: Arc<dyn Store>,
    settings: StartSettings,
    metrics: Metrics,
) -> Result<Controller, StartError> {
    let mut stored = match store.load()? {
        Some(stored) => stored,
        None => seeded(&*store, &settings.seed)?,
    };
    if settings.reset && !stored.spec.is_as_written_in(&settings.seed) {
        stored = appended(&*store, Some(&stored), &settings.seed, "run --reset-state")?;
    }
    let snapshot = Arc::new(Snapshot::build(stored.number, stored.spec, None));
    let server_tls = ServerTlsTable::default();
    tls::read_all(&server_tls, &snapshot)?;
    secrets::read_all(&snapshot)?;
    let (publisher, reader) = shared(Snapshot::default());
    let (announce, revisions) = watch::channel(0);
    let head = Head {
        number: stored.number,
        digest: stored.digest,
    };
    let (serve, served) = watch::channel(head);
    let (jobs, waiting) = mpsc::sync_channel(WAITING);
    let jobs = Arc::new(jobs);
    let (alive, ended) = mpsc::channel();
    let standing = Standing::new(metrics.clone());
    let follower = Follower {
        store: store.clone(),
        served,
        jobs: Arc::downgrade(&jobs),
        ended,
        standing: standing.clone(),
    };
    publisher.publish(snapshot.clone());
    announce.send_replace(stored.number);
    metrics.published(stored.number, clock::unix_ms());
    let writer = Writer {
        base: Base {
            digest: stored.digest,
            snapshot,
            establishes: None,
        },
        serve,
        standing: standing.clone(),
        publisher,
        store: store.clone(),
        announce,
        metrics,
        forbidden: settings.forbidden,
        history: settings.history,
        is_saving: Arc::new(AtomicBool::new(false)),
        server_tls: server_tls.clone(),
    };
    std::thread::Builder::new()
        .name("controller".into())
        .spawn(move || writer.run(&waiting))?;
    std::thread::Builder::new()
        .name("follower".into())
        .spawn(move || follower.run())?;
    Ok(Controller {
        jobs,
        revisions,
        standing,
        _alive: Arc::new(alive),
        snapshot: reader,
        server_tls,
        store,
    })
}

/// Stores the first revision. Who loses the race for it takes the winner's.
fn seeded(store: &dyn Store, seed: &Spec) -> Result<Stored, StoreError> {
    match appended(store, None, seed, "first start") {
        Err(StoreError::Conflict { newest }) => {
            store.load()?.ok_or(StoreError::Conflict { newest })
        }
        other => other,
    }
}

fn appended(
    store: &dyn Store,
    last: Option<&Stored>,
    seed: &Spec,
    reason: &str,
) -> Result<Stored, StoreError> {
    let (expected, parent) = last.map_or((None, Digest::default()), |last| {
        (Some(last.number), last.digest)
    });
    let before = last.map(|last| Spec::clone(&last.spec)).unwrap_or_default();
    let mut spec = before.clone();
    let number = expected.unwrap_or(0) + 1;
    let change = Change::PutState {
        state: seed.clone(),
    };
    if let Err(error) = change.apply(&mut spec, number) {
        return Err(StoreError::Diverged {
            number,
            why: error.to_string(),
        });
    }
    let meta = Meta {
        time: clock::unix_ms(),
        author: "file".into(),
        reason: reason.into(),
        ..Meta::default()
    };
    let diff = if last.is_some() {
        crate::change::entries(&before, &spec)
    } else {
        Vec::new()
    };
    let changes = vec![change];
    let edits = host_keys::edits(&before, &spec, &changes);
    let revision = Revision {
        number,
        meta,
        changes,
        diff,
        parent,
    };
    store.commit_with(expected, std::slice::from_ref(&revision), &edits)?;
    Ok(Stored {
        number,
        digest: store::digest(&revision),
        spec: Arc::new(spec),
    })
}
