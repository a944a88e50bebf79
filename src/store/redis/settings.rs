use std::fmt;
use std::path::PathBuf;

/// How Redis is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// `host:port` each; the one that says that it is the master is used. With sentinels they name the master instead.
    pub addresses: Vec<String>,
    /// Whether connections are TLS.
    pub tls: bool,
    /// What the certificate must descend from; `None`: what the system trusts.
    pub ca: Option<PathBuf>,
    /// `user:password`, `:password` or nothing, as in a URL.
    pub credentials: Secret,
    /// The database's number.
    pub database: u32,
    /// What our keys begin with, in braces, so that a Redis Cluster keeps them in one slot.
    pub prefix: String,
    /// `host:port` of each sentinel.
    pub sentinels: Vec<String>,
    /// The name that the sentinels have for the master.
    pub master: Option<String>,
    /// The file with this node's own last good copy.
    pub local_copy: Option<PathBuf>,
}

impl RedisSettings {
    /// Where it is, for messages: without the credentials.
    pub fn place(&self) -> String {
        let hosts = match (&self.master, self.sentinels.is_empty()) {
            (Some(master), false) => {
                format!("{master} (of sentinels {})", self.sentinels.join(","))
            }
            _ => self.addresses.join(","),
        };
        format!("{}://{hosts}/{}", self.scheme(), self.database)
    }

    /// The URL of one server, with the credentials.
    pub(super) fn url(&self, address: &str) -> String {
        let at = if self.credentials.0.is_empty() {
            ""
        } else {
            "@"
        };
        format!(
            "{}://{}{at}{address}/{}",
            self.scheme(),
            self.credentials.0,
            self.database
        )
    }

    /// The URL of a sentinel: it knows neither our user nor databases.
    pub(super) fn sentinel_url(&self, address: &str) -> String {
        format!("{}://{address}", self.scheme())
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "rediss" } else { "redis" }
    }
}

/// A text that no log and no error shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}
