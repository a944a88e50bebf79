use std::collections::HashMap;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::ports::client_connection::SeenCertificate;

/// A listener's certificates, to be chosen from by the name that a client asks for.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    default: Option<Arc<CertifiedKey>>,
    /// Those of each name, in the file's order: there may be one for each kind of key. A wildcard stands here with its
    /// star.
    named: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Certificates {
    /// The first one is the default.
    pub(super) fn add(&mut self, certificate: Arc<CertifiedKey>, names: &[String]) {
        for name in names {
            let named = self.named.entry(name.clone()).or_default();
            named.push(certificate.clone());
        }
        self.default.get_or_insert(certificate);
    }

    /// Those for this name: by the name itself before those by a wildcard, which stands for exactly one label.
    fn of(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let name = name.to_ascii_lowercase();
        let found = self.named.get(&name).or_else(|| self.by_wildcard(&name));
        found.map(Vec::as_slice)
    }

    fn by_wildcard(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let (_, parent) = name.split_once('.')?;
        self.named.get(&format!("*.{parent}"))
    }

    /// All that are for this name, in lower case.
    fn covering(&self, name: &str) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let exact = self.named.get(name);
        exact.into_iter().chain(self.by_wildcard(name)).flatten()
    }

    fn is_only_one(&self) -> bool {
        let mut all = self.named.values().flatten().chain(&self.default);
        let first = all.next();
        all.all(|other| first.is_some_and(|first| Arc::ptr_eq(first, other)))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let of_name = hello.server_name().and_then(|name| self.of(name));
        let candidates = of_name.unwrap_or(self.default.as_slice());
        let can_use = |candidate: &&Arc<CertifiedKey>| {
            let schemes = hello.signature_schemes();
            candidate.key.choose_scheme(schemes).is_some()
        };
        let usable = candidates.iter().find(can_use);
        usable.or(candidates.first()).cloned()
    }
}

/// What a client saw that asked for a name.
#[derive(Debug)]
pub(super) struct Seen {
    certificates: Arc<Certificates>,
    name: String,
}

impl Seen {
    /// None where there is nothing else to see.
    pub(super) fn new(certificates: Arc<Certificates>, name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        (!certificates.is_only_one()).then_some(Self { certificates, name })
    }
}

impl SeenCertificate for Seen {
    /// A host that no certificate is for, such as an address, is for all of them. Where there are several for the name that
    /// was asked for, any of them may have been seen: they differ in the kind of key.
    fn is_of_other(&self, host: &str) -> bool {
        let host = host.rsplit_once(':').map_or(host, |(name, _port)| name);
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.eq_ignore_ascii_case(&self.name) {
            return false;
        }
        let host = host.to_ascii_lowercase();
        let seen = self.certificates.of(&self.name);
        let seen = seen.unwrap_or(self.certificates.default.as_slice());
        let is_seen = |one: &Arc<CertifiedKey>| seen.iter().any(|other| Arc::ptr_eq(one, other));
        let mut covering = self.certificates.covering(&host).peekable();
        covering.peek().is_some() && !covering.any(is_seen)
    }
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Its DNS names, in lower case.
    pub(super) names: Vec<String>,
    /// In Unix time.
    not_before: i64,
    not_after: i64,
}

impl Facts {
    /// None: it is no certificate.
    pub(super) fn of(certificate: &CertificateDer<'static>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let validity = certificate.validity();
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let names = alternatives.map_or(&[][..], |found| &found.value.general_names);
        let names = names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        Some(Self {
            names: names.collect(),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// Why clients will probably not accept it, or never see it.
    pub(super) fn doubt(&self, now: u64, needs_name: bool) -> Option<String> {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let date = |seconds: i64| {
            let time = jiff::Timestamp::from_second(seconds);
            time.map_or_else(|_| seconds.to_string(), |time| time.to_string())
        };
        if now > self.not_after {
            return Some(format!("expired on {}", date(self.not_after)));
        }
        if now < self.not_before {
            return Some(format!("is not valid before {}", date(self.not_before)));
        }
        let is_never_chosen = needs_name && self.names.is_empty();
        is_never_chosen.then(|| {
            "has no DNS name (subjectAltName) and is not the first: it is never chosen".to_owned()
        })
    }
}
