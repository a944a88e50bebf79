use std::collections::HashMap;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

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
        let by_wildcard = || {
            let (_, parent) = name.split_once('.')?;
            self.named.get(&format!("*.{parent}"))
        };
        let found = self.named.get(&name).or_else(by_wildcard);
        found.map(Vec::as_slice)
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
