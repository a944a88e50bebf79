use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::dns::Hickory;
use super::{Dns, Miss, NameServers};
use crate::spec::{Address, DnsName};

/// Asks once whether names are known, for interfaces whose originals refuse those that are not.
#[derive(Clone)]
pub struct Lookup {
    dns: Arc<dyn Dns>,
}

impl Lookup {
    /// Asks whom discovery asks.
    pub fn new(servers: &NameServers) -> Self {
        Self {
            dns: Arc::new(Hickory::new(servers.clone())),
        }
    }

    /// Asks for all of these at once, for some seconds at most. The error says which is not known, and why.
    pub async fn are_known(&self, names: &[Address]) -> Result<(), String> {
        let mut asked = JoinSet::new();
        for name in names {
            let (lookup, name) = (self.clone(), name.clone());
            asked.spawn(async move {
                let known = timeout(PATIENCE, lookup.is_known(&name)).await;
                let late = || Err(format!("no answer within {PATIENCE:?}"));
                known
                    .unwrap_or_else(|_| late())
                    .map_err(|why| format!("`{name}` is not known: {why}"))
            });
        }
        while let Some(answer) = asked.join_next().await {
            answer.map_err(|error| error.to_string())??;
        }
        Ok(())
    }

    async fn is_known(&self, name: &Address) -> Result<(), String> {
        match name {
            Address::Name(host, _) => self.has_address(host).await,
            Address::Service(name) => match self.dns.services(name).await {
                Ok(_) => Ok(()),
                Err(Miss::Empty(why) | Miss::Failed(why)) => Err(why),
            },
            Address::Ip(_) | Address::Unix(_) => Ok(()),
        }
    }

    async fn has_address(&self, host: &DnsName) -> Result<(), String> {
        let addresses = self.dns.addresses(host).await;
        match (addresses.v4, addresses.v6) {
            (Ok(_), _) | (_, Ok(_)) => Ok(()),
            (Err(Miss::Empty(why) | Miss::Failed(why)), _) => Err(why),
        }
    }
}

/// Scripts that wait for an answer give up after some seconds themselves.
const PATIENCE: Duration = Duration::from_secs(5);

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").finish_non_exhaustive()
    }
}
