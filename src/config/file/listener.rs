use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::super::settings::{LimitSettings, ListenerSettings};
use super::super::values::{ByteSize, ListenAddress, ListenerInterface, Network};
use super::{limit, loopback, networks};
use crate::edge::ProxyProtocol;
use crate::edge::tls::{CertificateFiles, TlsFiles};
use crate::spec::Span;

/// A listener as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenerFile {
    address: ListenAddress,
    protocols: Option<Vec<ListenerProtocol>>,
    #[serde(default)]
    proxy_protocol: ProxyProtocolText,
    trusted_proxies: Option<Vec<Network>>,
    legacy: Option<Vec<ListenerInterface>>,
    legacy_allow: Option<Vec<Network>>,
    tls: Option<TlsFile>,
    #[serde(default)]
    limits: LimitsFile,
}

#[derive(Debug, Deserialize, PartialEq)]
enum ListenerProtocol {
    #[serde(rename = "http/1.1")]
    Http1,
    #[serde(rename = "h2")]
    Http2,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    certificates: Vec<CertificateFile>,
    client_ca: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateFile {
    cert: PathBuf,
    key: PathBuf,
}

impl TlsFile {
    fn settle(self) -> TlsFiles {
        let pair = |CertificateFile { cert, key }| CertificateFiles { cert, key };
        TlsFiles {
            certificates: self.certificates.into_iter().map(pair).collect(),
            client_ca: self.client_ca,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProxyProtocolText {
    #[default]
    Off,
    Accept,
    Require,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsFile {
    header_timeout: Option<Span>,
    header_size: Option<ByteSize>,
    header_count: Option<u32>,
    body_size: Option<ByteSize>,
    min_rate: Option<u32>,
    h2_streams: Option<u32>,
    h2_idle: Option<Span>,
    websocket_idle: Option<Span>,
    body_timeout: Option<Span>,
    keepalive_timeout: Option<Span>,
    keepalive_requests: Option<u32>,
    handshake_timeout: Option<Span>,
}

impl Default for ListenerFile {
    fn default() -> Self {
        Self {
            address: ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080))),
            protocols: None,
            proxy_protocol: ProxyProtocolText::Off,
            trusted_proxies: None,
            legacy: None,
            legacy_allow: None,
            tls: None,
            limits: LimitsFile::default(),
        }
    }
}

impl ListenerFile {
    pub(super) fn settle(self) -> ListenerSettings {
        let speaks = |protocol| {
            self.protocols
                .as_ref()
                .is_none_or(|listed| listed.contains(&protocol))
        };
        ListenerSettings {
            h1: speaks(ListenerProtocol::Http1),
            h2: speaks(ListenerProtocol::Http2),
            address: self.address,
            proxy_protocol: match self.proxy_protocol {
                ProxyProtocolText::Off => None,
                ProxyProtocolText::Accept => Some(ProxyProtocol::Accept),
                ProxyProtocolText::Require => Some(ProxyProtocol::Require),
            },
            trusted_proxies: networks(self.trusted_proxies.unwrap_or_default()),
            legacy: self
                .legacy
                .unwrap_or_default()
                .into_iter()
                .map(|listed| listed.0)
                .collect(),
            legacy_allow: self.legacy_allow.map_or_else(loopback, networks),
            tls: self.tls.map(TlsFile::settle),
            limits: self.limits.settle(),
        }
    }
}

impl LimitsFile {
    fn settle(self) -> LimitSettings {
        let time = |written: Option<Span>, seconds| {
            written.map_or(Some(Duration::from_secs(seconds)), Span::limit)
        };
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        LimitSettings {
            header_timeout: time(self.header_timeout, 10),
            header_size: whole(self.header_size.map_or(32 << 10, |size| size.0)),
            header_count: whole(self.header_count.unwrap_or(100).into()),
            body_size: self.body_size.map(|size| size.0).filter(|&size| size > 0),
            min_rate: limit(self.min_rate.unwrap_or(240)),
            h2_streams: self.h2_streams.unwrap_or(128),
            h2_idle: time(self.h2_idle, 180),
            websocket_idle: time(self.websocket_idle, 3600),
            body_timeout: time(self.body_timeout, 30),
            keepalive_timeout: time(self.keepalive_timeout, 65),
            handshake_timeout: time(self.handshake_timeout, 5),
            keepalive_requests: limit(self.keepalive_requests.unwrap_or(10_000)),
        }
    }
}
