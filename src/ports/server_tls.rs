//! TLS towards servers: the files that groups name, read before connections need them, and read again when they change.

use std::any::Any;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use pingora_core::connectors::TransportConnector;
use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::pem::{self, WatchedFiles};
use crate::clock;
use crate::domain::tls::Tls;
use crate::spec::{Broken, TlsSpec};

/// Opens connections to servers of HTTP/1, for requests and for checks. It reads the system's authorities once, for all of them.
pub static CONNECTOR: LazyLock<TransportConnector> =
    LazyLock::new(|| TransportConnector::new(None));

/// What connections with one TLS setting use. All groups with the same setting share it.
pub struct ServerTls {
    spec: TlsSpec,
    /// Read once for each attempt, and written when a file has changed.
    used: RwLock<Result<Arc<Credentials>, String>>,
    files: Mutex<WatchedFiles>,
    /// When something was last said about handshakes that fail, in Unix time.
    told: AtomicU64,
}

/// What the files of one TLS setting hold.
pub struct Credentials {
    /// The authorities that are trusted; none: the system's.
    pub ca: Option<Arc<CaType>>,
    /// Our own certificate.
    pub own: Option<Arc<CertKey>>,
    /// Differs where the setting or the content of its files does: connections that were made with one are not for others.
    pub key: u64,
}

impl ServerTls {
    /// What was prepared for a group.
    pub fn of(tls: &Tls) -> Option<&Self> {
        tls.prepared()?.downcast_ref()
    }

    /// What to connect with from now on, or why nothing can be.
    pub fn credentials(&self) -> Result<Arc<Credentials>, String> {
        self.used
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Makes a connection to this server one with the group's trust and our certificate, or tells why there can be none.
    pub fn secure(peer: &mut HttpPeer, tls: &Tls) -> Result<(), String> {
        let used = Self::of(tls).ok_or("TLS is not prepared")?;
        let credentials = used.credentials()?;
        let verifies = tls.spec().verify != Some(false);
        // Pingora verifies nothing where there is no name.
        if verifies && peer.sni.is_empty() {
            return Err(NO_NAME.to_owned());
        }
        peer.options.verify_cert = verifies;
        peer.options.verify_hostname = verifies;
        peer.options.ca.clone_from(&credentials.ca);
        peer.client_cert_key.clone_from(&credentials.own);
        peer.group_key = credentials.key;
        Ok(())
    }

    /// Says in the log why a handshake failed; every ten seconds at most, since requests are many.
    pub fn tell(&self, server: &str, reason: &dyn std::fmt::Display) {
        let now = clock::unix_ms();
        let told = self.told.load(Ordering::Relaxed);
        let is_due = told == 0 || now.saturating_sub(told) >= SILENCE;
        let swap = |told| {
            let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
            self.told.compare_exchange(told, now, success, failure)
        };
        if is_due && swap(told).is_ok() {
            log::warn!("no TLS connection to {server}: {reason}");
        }
    }

    fn look(&self) {
        let mut files = lock(&self.files);
        files.look(
            &format!("TLS to servers with {}", named(&self.spec)),
            || {
                let read = Credentials::read(&self.spec).map_err(|broken| texts(&broken))?;
                *self.used.write().unwrap_or_else(PoisonError::into_inner) = Ok(Arc::new(read));
                Ok(Vec::new())
            },
        );
    }
}

/// Why a server is not asked for its certificate.
const NO_NAME: &str = "the server has no name that could be verified";

/// The name in a Host header, as certificates have it: without a port, and an address without brackets.
pub fn name_in(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

/// In milliseconds.
const SILENCE: u64 = 10_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The TLS settings in use. Cheap to clone, and all clones are one.
#[derive(Clone, Default)]
pub struct ServerTlsTable(Arc<Mutex<HashMap<TlsSpec, Weak<ServerTls>>>>);

impl ServerTlsTable {
    /// Reads the files that a group names, unless another with the same setting has: else tells what is wrong with them.
    pub fn prepare(&self, tls: &Tls) -> Result<(), Vec<Broken>> {
        if tls.prepared().is_some() {
            return Ok(());
        }
        let made = match self.known(tls.spec()) {
            Some(known) => known,
            None => {
                let files = WatchedFiles::new(paths(tls.spec()));
                let read = Credentials::read(tls.spec())?;
                self.add(tls.spec(), files, Ok(Arc::new(read)))
            }
        };
        tls.prepare(made);
        Ok(())
    }

    /// The same for a state that is not ours to refuse: with files that cannot be used, no connection comes about until
    /// they can. Tells what is wrong with them.
    pub fn prepare_anyway(&self, tls: &Tls) -> Vec<Broken> {
        let Err(broken) = self.prepare(tls) else {
            return Vec::new();
        };
        let files = WatchedFiles::new(paths(tls.spec())).not_used(texts(&broken));
        tls.prepare(self.add(tls.spec(), files, Err(texts(&broken))));
        broken
    }

    /// Looks once whether files have changed.
    pub fn look(&self) {
        let mut all = lock(&self.0);
        all.retain(|_, tls| tls.strong_count() > 0);
        let all: Vec<_> = all.values().filter_map(Weak::upgrade).collect();
        // Without the lock: a file system can be slow.
        all.iter().for_each(|tls| tls.look());
    }

    fn known(&self, spec: &TlsSpec) -> Option<Arc<dyn Any + Send + Sync>> {
        let known = lock(&self.0).get(spec)?.upgrade()?;
        Some(known)
    }

    fn add(
        &self,
        spec: &TlsSpec,
        files: WatchedFiles,
        used: Result<Arc<Credentials>, String>,
    ) -> Arc<dyn Any + Send + Sync> {
        let made = Arc::new(ServerTls {
            spec: spec.clone(),
            used: RwLock::new(used),
            files: Mutex::new(files),
            told: AtomicU64::new(0),
        });
        lock(&self.0).insert(spec.clone(), Arc::downgrade(&made));
        made
    }
}

/// What is wrong with the files; pointers begin at the group's `tls`.
pub fn check(spec: &TlsSpec) -> Vec<Broken> {
    Credentials::read(spec).err().unwrap_or_default()
}

/// Where in the state a key of a group's `tls` stands: at the group itself, or in the defaults.
pub fn placed(broken: Broken, place: &str, own: Option<&TlsSpec>) -> Broken {
    let is_own = own.is_some_and(|own| match broken.pointer.as_str() {
        "/ca" => own.ca.is_some(),
        "/cert" => own.cert.is_some(),
        "/key" => own.key.is_some(),
        _ => true,
    });
    match is_own {
        true => broken.below(&format!("{place}/tls")),
        false => broken.below("/defaults/tls"),
    }
}

impl Credentials {
    fn read(spec: &TlsSpec) -> Result<Self, Vec<Broken>> {
        let mut reading = Reading::default();
        let ca = reading.file("/ca", spec.ca.as_deref(), authorities);
        let chain = reading.file("/cert", spec.cert.as_deref(), chain);
        let cert = spec.cert.as_deref().unwrap_or_default();
        let own = reading.file("/key", spec.key.as_deref(), |text| match chain {
            Some(chain) => own(chain, cert, text).map(Some),
            None => pem::private_key(text).map(|_| None),
        });
        if !reading.broken.is_empty() {
            return Err(reading.broken);
        }
        let digest = reading.digest.finalize();
        let first = digest.iter().take(8);
        Ok(Self {
            ca,
            own: own.flatten().map(Arc::new),
            // 0 is the key of connections without TLS.
            key: first.fold(0, |key, byte| key << 8 | u64::from(*byte)) | 1,
        })
    }
}

#[derive(Default)]
struct Reading {
    digest: Sha256,
    broken: Vec<Broken>,
}

impl Reading {
    fn file<T>(
        &mut self,
        pointer: &str,
        path: Option<&str>,
        parse: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Option<T> {
        self.digest.update([u8::from(path.is_some())]);
        let path = path?;
        let read = pem::read(Path::new(path)).and_then(|text| {
            self.digest.update(text.len().to_le_bytes());
            self.digest.update(&text);
            parse(&text)
        });
        let told = |reason: &String| {
            let broken = Broken::new(pointer, format!("{path} {reason}"));
            self.broken.push(broken);
        };
        read.inspect_err(told).ok()
    }
}

fn authorities(text: &[u8]) -> Result<Arc<CaType>, String> {
    let found = pem::certificates(text)?;
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        let added = roots.add(certificate.clone());
        added.map_err(|error| format!("holds a certificate that cannot sign: {error}"))?;
    }
    let wrapped = sound(found)?.into_iter();
    Ok(wrapped
        .map(|raw| WrappedX509::new(raw, parse_x509))
        .collect())
}

fn chain(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    sound(pem::certificates(text)?)
}

/// What Pingora takes as certificates: it would panic at others.
fn sound(certificates: Vec<CertificateDer<'static>>) -> Result<Vec<Vec<u8>>, String> {
    let raw = certificates.into_iter().map(|certificate| {
        let raw = certificate.as_ref().to_vec();
        match X509Certificate::from_der(&raw) {
            Ok(_) => Ok(raw),
            Err(_) => Err("holds no X.509 certificate".to_owned()),
        }
    });
    raw.collect()
}

/// The certificate with its key, if the two fit together.
fn own(chain: Vec<Vec<u8>>, cert: &str, text: &[u8]) -> Result<CertKey, String> {
    let key = pem::private_key(text)?;
    let raw = key.secret_der().to_vec();
    let certificates = chain.iter().cloned().map(CertificateDer::from).collect();
    CertifiedKey::from_der(certificates, key, &default_provider())
        .map_err(|error| format!("does not fit {cert}: {error}"))?;
    // As Pingora reads it, without a word about its kind.
    PrivateKeyDer::try_from(raw.as_slice()).map_err(str::to_owned)?;
    Ok(CertKey::new(chain, raw))
}

fn texts(broken: &[Broken]) -> String {
    let texts: Vec<_> = broken
        .iter()
        .map(|broken| broken.message.as_str())
        .collect();
    texts.join("; ")
}

fn paths(spec: &TlsSpec) -> Vec<PathBuf> {
    let files = [&spec.ca, &spec.cert, &spec.key];
    files.into_iter().flatten().map(PathBuf::from).collect()
}

fn named(spec: &TlsSpec) -> String {
    let files = [("ca", &spec.ca), ("cert", &spec.cert), ("key", &spec.key)];
    let named = files
        .iter()
        .filter_map(|(key, path)| Some(format!("{key} {}", path.as_ref()?)));
    named.collect::<Vec<_>>().join(", ")
}
