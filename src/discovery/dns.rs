//! Questions over the network, by hickory-resolver: over UDP, over TCP what does not fit.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::{Addresses, Answer, Dns, Miss, NameServers, Service};
use crate::spec::DnsName;

/// Asks name servers.
pub(super) struct Hickory {
    servers: NameServers,
    /// With the dates of the system's files that it was made from.
    current: Mutex<Option<(Dates, TokioResolver)>>,
}

type Dates = [Option<SystemTime>; 2];

/// Whoever renews an address by DHCP, or moves to another network, writes these anew.
const SYSTEM_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

impl Hickory {
    pub(super) fn new(servers: NameServers) -> Self {
        Self {
            servers,
            current: Mutex::new(None),
        }
    }

    /// The resolver for now: the system's files may have changed.
    fn resolver(&self) -> Result<TokioResolver, Miss> {
        let dates = match self.servers {
            NameServers::System => SYSTEM_FILES.map(date),
            NameServers::These(_) => Dates::default(),
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, resolver)) = current.as_ref().filter(|(old, _)| *old == dates) {
            return Ok(resolver.clone());
        }
        let resolver = self.build().map_err(|error| {
            let files = SYSTEM_FILES.join(" and ");
            Miss::Failed(format!("no name server is known from {files}: {error}"))
        })?;
        *current = Some((dates, resolver.clone()));
        Ok(resolver)
    }

    fn build(&self) -> Result<TokioResolver, NetError> {
        let mut builder = match &self.servers {
            NameServers::System => TokioResolver::builder_tokio()?,
            NameServers::These(servers) => {
                let servers = servers.iter().map(name_server).collect();
                let config = ResolverConfig::from_name_servers(servers);
                let mut builder =
                    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
                let options = builder.options_mut();
                options.use_hosts_file = ResolveHosts::Never;
                options.timeout = PATIENCE;
                options.attempts = 1;
                builder
            }
        };
        // What is asked for here is asked for when the last answer has run out.
        builder.options_mut().cache_size = 0;
        builder.build()
    }

    async fn family(&self, host: &str, kind: RecordType) -> Result<Lookup, Miss> {
        let lookup = self.resolver()?.lookup(host, kind).await;
        lookup.map_err(|error| miss(&error, kind))
    }
}

/// For one try. A second one follows: packets get lost.
const PATIENCE: Duration = Duration::from_secs(2);

fn date(path: &str) -> Option<SystemTime> {
    Path::new(path)
        .metadata()
        .and_then(|file| file.modified())
        .ok()
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

#[async_trait]
impl Dns for Hickory {
    async fn addresses(&self, host: &DnsName) -> Addresses {
        let v4 = self.family(host.as_str(), RecordType::A).await;
        // Where search domains are tried, both families must be of the same name.
        let found = v4
            .as_ref()
            .ok()
            .map(|lookup| lookup.query().name().to_ascii());
        let host = found.as_deref().unwrap_or(host.as_str());
        let v6 = self.family(host, RecordType::AAAA).await;
        let v4 = v4.and_then(|lookup| answer(&lookup, ip));
        let mut v6 = v6.and_then(|lookup| answer(&lookup, ip));
        if v4.is_ok() {
            v6 = v6.and_then(reachable);
        }
        Addresses { v4, v6 }
    }

    async fn services(&self, name: &DnsName) -> Result<Answer<Service>, Miss> {
        let lookup = self.family(name.as_str(), RecordType::SRV).await?;
        answer(&lookup, service)
    }
}

fn answer<T>(lookup: &Lookup, read: fn(&RData) -> Option<T>) -> Result<Answer<T>, Miss> {
    let (mut records, mut ttl) = (Vec::new(), u32::MAX);
    for record in lookup.answers() {
        if let Some(read) = read(&record.data) {
            records.push(read);
            ttl = ttl.min(record.ttl);
        }
    }
    match records.is_empty() {
        true => Err(Miss::Empty("the answer has no such record".to_owned())),
        false => Ok(Answer {
            records,
            ttl: Duration::from_secs(ttl.into()),
        }),
    }
}

fn ip(record: &RData) -> Option<IpAddr> {
    match record {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

/// A target of `.` says that there is no such service (RFC 2782).
fn service(record: &RData) -> Option<Service> {
    let RData::SRV(record) = record else {
        return None;
    };
    Some(Service {
        priority: record.priority,
        target: DnsName::new(&record.target.to_ascii())?,
        port: record.port,
        weight: record.weight,
    })
}

/// On a machine without IPv6 a connection to one of its addresses fails at once, so half of the requests to a
/// host with both families would need a second attempt.
fn reachable(answer: Answer<IpAddr>) -> Result<Answer<IpAddr>, Miss> {
    let has_route = |ip: &IpAddr| match ip {
        IpAddr::V6(ip) => has_route(*ip),
        IpAddr::V4(_) => true,
    };
    let records: Vec<IpAddr> = answer.records.into_iter().filter(has_route).collect();
    match records.is_empty() {
        true => Err(Miss::Empty("no route to its IPv6 addresses".to_owned())),
        false => Ok(Answer {
            records,
            ttl: answer.ttl,
        }),
    }
}

/// Connecting a UDP socket sends nothing, but needs a route.
fn has_route(ip: Ipv6Addr) -> bool {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    UdpSocket::bind(any).is_ok_and(|socket| socket.connect((ip, 9)).is_ok())
}

fn miss(error: &NetError, kind: RecordType) -> Miss {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => {
            match response_code {
                ResponseCode::NXDomain => Miss::Empty("the name does not exist (NXDOMAIN)".into()),
                ResponseCode::NoError => Miss::Empty(format!("it has no {kind} record")),
                other => Miss::Failed(format!("the name server answers {other}")),
            }
        }
        NetError::Dns(DnsError::ResponseCode(code)) => {
            Miss::Failed(format!("the name server answers {code}"))
        }
        NetError::Timeout => Miss::Failed("no answer from a name server in time".into()),
        other => Miss::Failed(other.to_string()),
    }
}
