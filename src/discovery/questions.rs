//! The questions about one name, and what is kept of earlier answers where a new one fails.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Addresses, Answer, Discovery, Miss, Service};
use crate::domain::names::{MOST_PLACES, Place};
use crate::spec::{Address, DnsName};

/// What is asked about one name.
pub(super) struct Questions {
    discovery: Arc<Discovery>,
    name: Address,
    /// The last good answers.
    last: HashMap<(DnsName, Family), Vec<IpAddr>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Family {
    V4,
    V6,
}

/// What a name stands for.
pub(super) struct Found {
    pub(super) places: Vec<Place>,
    pub(super) ttl: Duration,
    /// Why a part of it is what an earlier answer said.
    pub(super) problem: Option<String>,
}

/// What is known of one host now.
#[derive(Default)]
struct Host {
    ips: Vec<IpAddr>,
    /// Of what was answered just now; none if nothing was.
    ttl: Option<Duration>,
    failed: Option<String>,
    /// Whether something is from an earlier answer.
    kept: bool,
}

impl Questions {
    pub(super) fn new(discovery: Arc<Discovery>, name: Address) -> Self {
        Self {
            discovery,
            name,
            last: HashMap::new(),
        }
    }

    /// Asks. The error says why nothing is known that was not known before.
    pub(super) async fn ask(&mut self) -> Result<Found, String> {
        match self.name.clone() {
            Address::Name(host, port) => {
                let service = Service {
                    priority: 0,
                    target: host,
                    port,
                    weight: 1,
                };
                self.places(vec![service], Duration::MAX).await
            }
            Address::Service(name) => match services(&self.discovery, &name).await {
                Ok(answer) => self.places(answer.records, answer.ttl).await,
                Err(Miss::Empty(why) | Miss::Failed(why)) => Err(why),
            },
            Address::Ip(_) | Address::Unix(_) => Err("this is no name".to_owned()),
        }
    }

    async fn places(
        &mut self,
        mut services: Vec<Service>,
        mut ttl: Duration,
    ) -> Result<Found, String> {
        // The same ones each time, whatever the order of the records.
        services.sort_unstable();
        services.dedup();
        services.truncate(MOST_PLACES);
        let hosts = self.hosts(&services).await;
        let (mut places, mut problem, mut why, mut is_new) = (Vec::new(), None, None, false);
        for service in &services {
            let Some(host) = hosts.get(&service.target) else {
                continue;
            };
            ttl = host.ttl.map_or(ttl, |its| its.min(ttl));
            is_new |= host.ttl.is_some();
            why = why.or_else(|| host.failed.clone());
            if host.kept {
                problem = problem.or_else(|| host.failed.clone());
            }
            places.extend(host.ips.iter().map(|ip| Place {
                priority: service.priority,
                address: SocketAddr::new(*ip, service.port),
                weight: service.weight,
            }));
        }
        match is_new {
            true => Ok(Found {
                places,
                ttl,
                problem,
            }),
            false => Err(why.unwrap_or_else(|| NO_ADDRESS.to_owned())),
        }
    }

    /// The addresses of each target. What is remembered of others is forgotten.
    async fn hosts(&mut self, services: &[Service]) -> HashMap<DnsName, Host> {
        let mut asked = JoinSet::new();
        let mut targets: Vec<&DnsName> = services.iter().map(|service| &service.target).collect();
        targets.sort_unstable();
        targets.dedup();
        for target in targets {
            let (discovery, target) = (self.discovery.clone(), target.clone());
            asked.spawn(async move { (addresses(&discovery, &target).await, target) });
        }
        let mut hosts = HashMap::new();
        let mut last = HashMap::new();
        while let Some(answered) = asked.join_next().await {
            let Ok((addresses, target)) = answered else {
                continue;
            };
            let host = self.host(&target, addresses, &mut last);
            hosts.insert(target, host);
        }
        self.last = last;
        hosts
    }

    /// What the answers about a host say, and of the family that has none what the last one said. A family
    /// that is gone while the other has an answer is gone.
    fn host(
        &self,
        target: &DnsName,
        addresses: Addresses,
        last: &mut HashMap<(DnsName, Family), Vec<IpAddr>>,
    ) -> Host {
        let mut host = Host::default();
        let is_answered = addresses.v4.is_ok() || addresses.v6.is_ok();
        for (family, answer) in [(Family::V4, addresses.v4), (Family::V6, addresses.v6)] {
            let key = (target.clone(), family);
            let ips = match answer {
                Ok(answer) => {
                    host.ttl = Some(host.ttl.map_or(answer.ttl, |ttl| ttl.min(answer.ttl)));
                    answer.records
                }
                Err(Miss::Empty(_)) if is_answered => continue,
                Err(Miss::Empty(why) | Miss::Failed(why)) => {
                    host.failed.get_or_insert(why);
                    let Some(kept) = self.last.get(&key) else {
                        continue;
                    };
                    host.kept = true;
                    kept.clone()
                }
            };
            host.ips.extend(&ips);
            last.insert(key, ips);
        }
        host
    }
}

const NO_ADDRESS: &str = "it has no address";

async fn services(discovery: &Discovery, name: &DnsName) -> Result<Answer<Service>, Miss> {
    // It is never closed.
    let _permit = discovery.permits.acquire().await;
    let answer = timeout(PATIENCE, discovery.dns.services(name)).await;
    answer.unwrap_or_else(|_| Err(too_late()))
}

async fn addresses(discovery: &Discovery, host: &DnsName) -> Addresses {
    let _permit = discovery.permits.acquire().await;
    let answer = timeout(PATIENCE, discovery.dns.addresses(host)).await;
    answer.unwrap_or_else(|_| Addresses {
        v4: Err(too_late()),
        v6: Err(too_late()),
    })
}

/// Name servers that are away are asked twice, the addresses of both families: that takes longer than one
/// question that is answered late.
const PATIENCE: Duration = Duration::from_secs(10);

fn too_late() -> Miss {
    Miss::Failed(format!("no answer within {PATIENCE:?}"))
}
