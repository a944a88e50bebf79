use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shortened;

/// What of a request decides where it goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HashSpec {
    /// The key; default `uri`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<HashKey>,
}

/// Requests with the same key go to the same server. One without the key goes by chance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HashKey {
    /// The path with the query.
    #[default]
    Uri,
    /// The host, in lower case and without its port.
    Host,
    /// The client's address.
    ClientIp,
    /// The first field of this name, in lower case.
    Header(String),
    /// The cookie of this name.
    Cookie(String),
    /// The first parameter of the query with this name, as it is written.
    Query(String),
}

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a key: write `uri`, `host`, `client_ip`, `header:NAME`, `cookie:NAME` or `query:NAME`",
    shortened(.0)
)]
pub struct HashKeyError(String);

impl HashKey {
    /// Parses a key.
    pub fn new(text: &str) -> Result<Self, HashKeyError> {
        let named = |name: &str| is_token(name).then(|| name.to_owned());
        let parameter = |name: &str| {
            let fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b'&' | b'=' | b'#');
            (!name.is_empty() && name.bytes().all(fits)).then(|| name.to_owned())
        };
        let key = match text.split_once(':') {
            None => match text {
                "uri" => Some(Self::Uri),
                "host" => Some(Self::Host),
                "client_ip" => Some(Self::ClientIp),
                _ => None,
            },
            Some(("header", name)) => named(&name.to_ascii_lowercase()).map(Self::Header),
            Some(("cookie", name)) => named(name).map(Self::Cookie),
            Some(("query", name)) => parameter(name).map(Self::Query),
            Some(_) => None,
        };
        key.ok_or_else(|| HashKeyError(text.to_owned()))
    }
}

/// RFC 9110, section 5.6.2: what the names of fields and of cookies are made of.
pub(super) fn is_token(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(fits)
}

const LONGEST_NAME: usize = 255;

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri => f.write_str("uri"),
            Self::Host => f.write_str("host"),
            Self::ClientIp => f.write_str("client_ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
        }
    }
}

impl TryFrom<String> for HashKey {
    type Error = HashKeyError;
    fn try_from(text: String) -> Result<Self, HashKeyError> {
        Self::new(&text)
    }
}

impl From<HashKey> for String {
    fn from(key: HashKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_text_and_nonsense_is_none() {
        for text in [
            "uri",
            "host",
            "client_ip",
            "header:x-user",
            "cookie:Sid",
            "query:id",
        ] {
            assert_eq!(HashKey::new(text).unwrap().to_string(), text);
        }
        assert_eq!(
            HashKey::new("header:X-User").unwrap().to_string(),
            "header:x-user"
        );
        for bad in [
            "",
            "url",
            "header",
            "header:",
            "cookie:a b",
            "cookie:a=b",
            "query:a&b",
            "uri:x",
        ] {
            assert!(HashKey::new(bad).is_err(), "{bad}");
        }
    }
}
