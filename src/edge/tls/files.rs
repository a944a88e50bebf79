use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::sign::CertifiedKey;

use super::certificate::{Certificates, Facts};
use crate::clock;
use crate::ports::pem::{self, WatchedFiles};

/// The PEM files of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Chosen by the name that the client asks for; the first is the default.
    pub certificates: Vec<CertificateFiles>,
    /// Who signs the certificates that clients must have.
    pub client_ca: Option<PathBuf>,
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TlsProblem {
    /// The key that names the file, from the listener's `tls` on: `/certificates/0/cert`.
    pub pointer: String,
    /// The file and the reason.
    pub message: String,
}

/// What is wrong with these files, and what only deserves a warning.
pub fn check(files: &TlsFiles) -> (Vec<TlsProblem>, Vec<TlsProblem>) {
    let (mut wrong, mut warnings) = (Vec::new(), Vec::new());
    for place in 0..files.certificates.len() {
        match files.certificate(place) {
            Ok((_, facts)) => warnings.extend(files.warning(place, &facts)),
            Err(problem) => wrong.push(problem),
        }
    }
    wrong.extend(files.client_ca().err());
    (wrong, warnings)
}

/// All that the files hold.
pub(super) struct Loaded {
    pub(super) certificates: Certificates,
    pub(super) client_ca: Option<ClientCa>,
    pub(super) warnings: Vec<TlsProblem>,
}

pub(super) struct ClientCa {
    pub(super) text: Vec<u8>,
    pub(super) roots: Arc<RootCertStore>,
}

impl Loaded {
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsProblem> {
        let mut certificates = Certificates::default();
        let mut warnings = Vec::new();
        for place in 0..files.certificates.len() {
            let (certificate, facts) = files.certificate(place)?;
            warnings.extend(files.warning(place, &facts));
            certificates.add(Arc::new(certificate), &facts.names);
        }
        Ok(Self {
            certificates,
            client_ca: files.client_ca()?,
            warnings,
        })
    }
}

impl TlsFiles {
    /// The certificate at this place, if its two files fit together.
    fn certificate(&self, place: usize) -> Result<(CertifiedKey, Facts), TlsProblem> {
        let pointer = |key: &str| format!("/certificates/{place}/{key}");
        let missing = || TlsProblem::internal(&"no such certificate");
        let CertificateFiles { cert, key } = self.certificates.get(place).ok_or_else(missing)?;
        let chain = pem::read(cert)
            .and_then(|text| pem::certificates(&text))
            .map_err(|reason| problem(pointer("cert"), cert, &reason))?;
        if chain
            .iter()
            .any(|certificate| Facts::of(certificate).is_none())
        {
            let reason = "holds something that is no X.509 certificate";
            return Err(problem(pointer("cert"), cert, reason));
        }
        let facts = chain.first().and_then(Facts::of);
        let facts =
            facts.ok_or_else(|| problem(pointer("cert"), cert, "holds no X.509 certificate"))?;
        let private_key = pem::read(key)
            .and_then(|text| pem::private_key(&text))
            .map_err(|reason| problem(pointer("key"), key, &reason))?;
        let certified = CertifiedKey::from_der(chain, private_key, &default_provider());
        let certified = certified.map_err(|error| {
            let reason = format!("does not fit {}: {error}", cert.display());
            problem(pointer("key"), key, &reason)
        })?;
        Ok((certified, facts))
    }

    fn client_ca(&self) -> Result<Option<ClientCa>, TlsProblem> {
        let Some(path) = &self.client_ca else {
            return Ok(None);
        };
        let wrong = |reason: &str| problem("/client_ca".to_owned(), path, reason);
        let text = pem::read(path).map_err(|reason| wrong(&reason))?;
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(&text).map_err(|reason| wrong(&reason))? {
            let added = roots.add(certificate);
            added.map_err(|error| {
                wrong(&format!("holds a certificate that cannot sign: {error}"))
            })?;
        }
        let roots = Arc::new(roots);
        Ok(Some(ClientCa { text, roots }))
    }

    fn warning(&self, place: usize, facts: &Facts) -> Option<TlsProblem> {
        let path = &self.certificates.get(place)?.cert;
        let reason = facts.doubt(clock::unix_ms() / 1000, place > 0)?;
        Some(problem(
            format!("/certificates/{place}/cert"),
            path,
            &reason,
        ))
    }

    /// The files, to be watched from now on.
    pub(super) fn watched(&self) -> WatchedFiles {
        let pairs = self.certificates.iter();
        let paths = pairs.flat_map(|pair| [&pair.cert, &pair.key]);
        WatchedFiles::new(paths.chain(&self.client_ca).cloned().collect())
    }
}

impl TlsProblem {
    pub(super) fn internal(reason: &dyn std::fmt::Display) -> Self {
        Self {
            pointer: String::new(),
            message: format!("TLS cannot be set up: {reason}"),
        }
    }
}

fn problem(pointer: String, path: &Path, reason: &str) -> TlsProblem {
    let message = format!("{} {reason}", path.display());
    TlsProblem { pointer, message }
}
