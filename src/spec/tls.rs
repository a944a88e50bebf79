use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Broken, shortened};

/// HTTPS to the servers of a group. Files are named here and read by each node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSpec {
    /// Whether a server must have a valid certificate for its name; default yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<bool>,
    /// The name that is asked for and verified: `host`, which is the Host header sent on without its
    /// port, or always this one. Default `host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub sni: Option<ServerName>,
    /// A PEM file with the authorities that are trusted instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// A PEM file with our own certificate and its chain, for servers that ask for one; with `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// A PEM file with the certificate's private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// The name of a server in a TLS handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ServerName {
    /// The Host header sent on, without its port.
    #[default]
    Host,
    /// Always this one.
    Fixed(String),
}

impl From<String> for ServerName {
    fn from(text: String) -> Self {
        match text.as_str() {
            "host" => Self::Host,
            _ => Self::Fixed(text),
        }
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        match name {
            ServerName::Host => "host".into(),
            ServerName::Fixed(name) => name,
        }
    }
}

impl TlsSpec {
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            verify: self.verify.or(other.verify),
            sni: self.sni.or(other.sni),
            ca: self.ca.or(other.ca),
            cert: self.cert.or(other.cert),
            key: self.key.or(other.key),
        }
    }

    /// Every broken rule; pointers begin here.
    pub(super) fn broken_rules(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        if let Some(ServerName::Fixed(name)) = &self.sni
            && !is_name(name)
        {
            let name = shortened(name);
            let message = format!(
                "{name:?} is no name of a server: write `host`, `www.example.org` or an address without a port"
            );
            broken.push(Broken::new("/sni", message));
        }
        for (pointer, file) in [
            ("/ca", &self.ca),
            ("/cert", &self.cert),
            ("/key", &self.key),
        ] {
            if file.as_deref() == Some("") {
                broken.push(Broken::new(pointer, "an empty path names no file"));
            }
        }
        match (&self.cert, &self.key) {
            (Some(_), None) => broken.push(Broken::new("/cert", "`cert` needs its `key`")),
            (None, Some(_)) => broken.push(Broken::new("/key", "`key` needs its `cert`")),
            _ => {}
        }
        broken
    }
}

/// A DNS name or an IP address: what a certificate can be for.
pub(super) fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=63).contains(&label.len()) && label.chars().all(fits)
    };
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    is_address || (name.len() <= LONGEST_NAME && name.split('.').all(is_label))
}

/// RFC 1035 section 2.3.4.
const LONGEST_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_certificate_can_have_is_refused() {
        for name in ["a", "a.example", "_x.example", "10.0.0.1", "::1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "a.", "a:443", "a b", "[::1]", "*.example", "a\0b"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_certificate_and_its_key_come_together() {
        let broken = |json: &str| {
            let spec: TlsSpec = serde_json::from_str(json).unwrap();
            spec.broken_rules()
                .into_iter()
                .map(|rule| rule.pointer)
                .collect::<Vec<_>>()
        };
        assert_eq!(broken(r#"{"cert": "a.pem"}"#), ["/cert"]);
        assert_eq!(broken(r#"{"key": "a.key"}"#), ["/key"]);
        assert_eq!(
            broken(r#"{"cert": "a", "key": "b", "ca": "", "sni": "a:1"}"#),
            ["/sni", "/ca"]
        );
        assert!(broken("{}").is_empty());
    }
}
