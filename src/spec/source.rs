use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Address, Name, UpstreamSpec, shortened};

/// Who says which servers a group has, instead of the state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// What is asked of Consul: `http://HOST:PORT` or `https://`, and behind it `/v1/kv/FOLDER`, `/v1/catalog/service/NAME`
    /// or `/v1/health/service/NAME`.
    #[schema(value_type = String, example = "http://127.0.0.1:8500/v1/kv/upstreams/web")]
    pub consul: ConsulUrl,
    /// The variable that holds the token: `${CONSUL_HTTP_TOKEN}`. Each node reads its own environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "${CONSUL_HTTP_TOKEN}")]
    pub token: Option<TokenVariable>,
}

/// The address of something in Consul that lists servers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConsulUrl {
    text: String,
    is_tls: bool,
    /// An IP address, or a name with a port.
    server: Address,
    listing: Listing,
    /// Behind the `?`, as it is sent.
    query: String,
}

/// What in Consul lists servers. The last part is as it stands in the path, with its escapes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listing {
    /// The keys below a folder, which has no `/` at either end, as nginx-upsync-module reads them.
    Keys(String),
    /// The places of a service.
    Catalogue(String),
    /// The same with the results of Consul's checks.
    Health(String),
}

impl ConsulUrl {
    /// Whether connections use TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Where Consul listens.
    pub fn server(&self) -> &Address {
        &self.server
    }

    /// What is asked for.
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// What stands behind the `?`; may be empty.
    pub fn query(&self) -> &str {
        &self.query
    }
}

impl Listing {
    /// The folder or the service without escapes.
    pub fn name(&self) -> String {
        let (Self::Keys(name) | Self::Catalogue(name) | Self::Health(name)) = self;
        String::from_utf8_lossy(&unescaped(name).unwrap_or_default()).into_owned()
    }
}

impl TryFrom<String> for ConsulUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = parse(&text);
        parsed.map_err(|rule| format!("`{}`: {rule}", shown(&text)))
    }
}

/// Whoever writes a password into a URL does not want it back in an error.
fn shown(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("…@{}", shortened(rest)),
        None => match text.split_once('?') {
            Some((path, _)) => format!("{}?…", shortened(path)),
            None => shortened(text).into_owned(),
        },
    }
}

fn parse(text: &str) -> Result<ConsulUrl, String> {
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(format!("{bad:?} cannot stand in a URL: escape it"));
    }
    let (is_tls, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        _ => return Err("a URL begins with `http://` or `https://`".to_owned()),
    };
    if text.contains('#') {
        return Err("a URL that is asked for has no `#`".to_owned());
    }
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, query),
        None => (rest, ""),
    };
    let (host, path) = path.split_at(path.find('/').unwrap_or(path.len()));
    Ok(ConsulUrl {
        server: server(host, is_tls)?,
        listing: listing(path)?,
        query: parameters(query)?,
        is_tls,
        text: text.to_owned(),
    })
}

fn server(host: &str, is_tls: bool) -> Result<Address, String> {
    if host.is_empty() {
        return Err("there is no host behind the `//`".to_owned());
    }
    if host.contains('@') {
        return Err("a user and a password do not belong here: use `token`".to_owned());
    }
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'));
    let with_port = match (has_port, is_tls) {
        (true, _) => host.to_owned(),
        (false, true) => format!("{host}:443"),
        (false, false) => format!("{host}:80"),
    };
    match Address::new(&with_port) {
        Ok(address @ (Address::Ip(_) | Address::Name(..))) => Ok(address),
        Ok(Address::Unix(_) | Address::Service(_)) => {
            Err("the host is an IP address or a name".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn listing(path: &str) -> Result<Listing, String> {
    let path = path.trim_end_matches('/');
    if unescaped(path).is_none() {
        return Err("a `%` is followed by two hexadecimal digits".to_owned());
    }
    let name = |rest: &str| (!rest.is_empty() && !rest.contains('/')).then(|| rest.to_owned());
    let found = if let Some(folder) = path.strip_prefix("/v1/kv/") {
        let is_clean = folder.split('/').all(|part| !part.is_empty());
        is_clean.then(|| Listing::Keys(folder.to_owned()))
    } else if let Some(service) = path.strip_prefix("/v1/catalog/service/") {
        name(service).map(Listing::Catalogue)
    } else if let Some(service) = path.strip_prefix("/v1/health/service/") {
        name(service).map(Listing::Health)
    } else {
        None
    };
    found.ok_or_else(|| {
        "the path is `/v1/kv/FOLDER`, `/v1/catalog/service/NAME` or `/v1/health/service/NAME`"
            .to_owned()
    })
}

/// With each `%41` as the byte that it stands for; none if a `%` begins nothing of the kind.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                u8::try_from(value).ok()?
            }
            other => other,
        });
    }
    Some(bytes)
}

/// The query without what is sent anyway. What would change the form of the answer, or wait, is ours to say.
fn parameters(query: &str) -> Result<String, String> {
    let mut kept = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let key = parameter.split('=').next().unwrap_or_default();
        match key {
            "recurse" => {}
            "token" => return Err("a token does not belong in a URL: use `token`".to_owned()),
            _ if PARAMETERS.contains(&key) => kept.push(parameter),
            _ => {
                let known = PARAMETERS.join("`, `");
                return Err(format!("`{}` is not one of `{known}`", shortened(key)));
            }
        }
    }
    Ok(kept.join("&"))
}

const PARAMETERS: [&str; 9] = [
    "dc",
    "ns",
    "partition",
    "passing",
    "tag",
    "filter",
    "near",
    "stale",
    "consistent",
];

impl From<ConsulUrl> for String {
    fn from(url: ConsulUrl) -> Self {
        url.text
    }
}

impl fmt::Display for ConsulUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The name of an environment variable that holds a token. The token itself is never part of the state, which stands
/// in histories, answers and stores.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenVariable(String);

impl TokenVariable {
    /// The variable.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TokenVariable {
    type Error = &'static str;

    /// The text is not repeated in the error: it may be a token.
    fn try_from(text: String) -> Result<Self, &'static str> {
        let name = text
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'));
        let fits = |name: &&str| {
            name.starts_with(PREFIX)
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        name.filter(fits).map(|name| Self(name.to_owned())).ok_or(
            "write the variable that holds the token, with a name that begins with CONSUL_, as `${CONSUL_HTTP_TOKEN}`: \
             the token itself would stand in the history",
        )
    }
}

/// Whoever may change a group must not be able to send any other variable of ours to a server of theirs.
const PREFIX: &str = "CONSUL_";

impl From<TokenVariable> for String {
    fn from(variable: TokenVariable) -> Self {
        format!("${{{}}}", variable.0)
    }
}

impl UpstreamSpec {
    /// Whether another state of this group differs from it in more of its servers than what operators want of them.
    /// Of groups with a source that is the source's to decide.
    pub fn has_other_members(&self, other: &Self) -> bool {
        let differ = |(mine, theirs): (&super::ServerSpec, &super::ServerSpec)| {
            let admin = mine.admin;
            *mine
                != super::ServerSpec {
                    admin,
                    ..theirs.clone()
                }
        };
        self.servers.len() != other.servers.len()
            || self.servers.iter().zip(&other.servers).any(differ)
    }
}

impl super::Spec {
    /// Whether it wants what a file says, which servers the sources of groups list aside.
    pub fn is_as_written_in(&self, file: &Self) -> bool {
        file.with_members_of(self).says_the_same(self)
    }

    /// The state with the servers that groups with a source have in `other`, where they have one too: they are no part
    /// of what an older state or a file says.
    #[must_use]
    pub fn with_members_of(&self, other: &Self) -> Self {
        let mut next = self.clone();
        let names = self
            .upstreams
            .iter()
            .filter(|(_, upstream)| upstream.source.is_some());
        let names: Vec<Name> = names.map(|(name, _)| name.clone()).collect();
        for name in names {
            let (Some(mine), Some(theirs)) =
                (self.upstreams.get(&name), other.upstreams.get(&name))
            else {
                continue;
            };
            if theirs.source.is_some() {
                let servers = theirs.servers.clone();
                let upstream = UpstreamSpec {
                    servers,
                    ..UpstreamSpec::clone(mine)
                };
                next.upstreams.insert(name, upstream.into());
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<ConsulUrl, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn a_url_says_where_consul_is_and_what_lists_the_servers() {
        let kv = url("http://127.0.0.1:8500/v1/kv/upstreams/web/?recurse&dc=east&stale").unwrap();
        assert_eq!(kv.listing(), &Listing::Keys("upstreams/web".into()));
        assert_eq!((kv.query(), kv.is_tls()), ("dc=east&stale", false));
        let health = url("https://Consul.internal/v1/health/service/web?passing").unwrap();
        assert_eq!(health.server().to_string(), "consul.internal:443");
        assert_eq!(health.listing(), &Listing::Health("web".into()));
        let v6 = url("http://[::1]/v1/catalog/service/a%20b").unwrap();
        assert_eq!(v6.server().to_string(), "[::1]:80");
        assert_eq!(v6.listing(), &Listing::Catalogue("a%20b".into()));
    }

    #[test]
    fn what_is_no_such_url_is_refused_with_the_rule() {
        let error = |text: &str| url(text).unwrap_err();
        insta::assert_snapshot!([
            "", "127.0.0.1:8500/v1/kv/a", "ftp://a/v1/kv/a", "http:///v1/kv/a", "http://a:0/v1/kv/a",
            "http://0.0.0.0:8500/v1/kv/a", "http://u:secret@a/v1/kv/a", "http://a", "http://a/v1/kv/", "http://a/v1/kv/x//y",
            "http://a/v1/kv/%zz", "http://a/v1/health/service/", "http://a/v1/health/service/x/y", "http://a/v1/agent/self",
            "http://a/v1/kv/x?token=secret", "http://a/v1/kv/x?index=4", "http://a/v1/kv/x y", "http://a/v1/kv/x#y",
        ].map(error).join("\n"), @r##"
``: a URL begins with `http://` or `https://`
`127.0.0.1:8500/v1/kv/a`: a URL begins with `http://` or `https://`
`ftp://a/v1/kv/a`: a URL begins with `http://` or `https://`
`http:///v1/kv/a`: there is no host behind the `//`
`http://a:0/v1/kv/a`: `a:0`: a port is a number from 1 to 65535
`http://0.0.0.0:8500/v1/kv/a`: `0.0.0.0:8500`: the unspecified address is not a server
`…@a/v1/kv/a`: a user and a password do not belong here: use `token`
`http://a`: the path is `/v1/kv/FOLDER`, `/v1/catalog/service/NAME` or `/v1/health/service/NAME`
`http://a/v1/kv/`: the path is `/v1/kv/FOLDER`, `/v1/catalog/service/NAME` or `/v1/health/service/NAME`
`http://a/v1/kv/x//y`: the path is `/v1/kv/FOLDER`, `/v1/catalog/service/NAME` or `/v1/health/service/NAME`
`http://a/v1/kv/%zz`: a `%` is followed by two hexadecimal digits
`http://a/v1/health/service/`: the path is `/v1/kv/FOLDER`, `/v1/catalog/service/NAME` or `/v1/health/service/NAME`
`http://a/v1/health/service/x/y`: the path is `/v1/kv/FOLDER`, `/v1/catalog/service/NAME` or `/v1/health/service/NAME`
`http://a/v1/agent/self`: the path is `/v1/kv/FOLDER`, `/v1/catalog/service/NAME` or `/v1/health/service/NAME`
`http://a/v1/kv/x?…`: a token does not belong in a URL: use `token`
`http://a/v1/kv/x?…`: `index` is not one of `dc`, `ns`, `partition`, `passing`, `tag`, `filter`, `near`, `stale`, `consistent`
`http://a/v1/kv/x y`: ' ' cannot stand in a URL: escape it
`http://a/v1/kv/x#y`: a URL that is asked for has no `#`
"##);
    }

    #[test]
    fn a_token_is_named_and_never_told() {
        let read = |text: &str| TokenVariable::try_from(text.to_owned());
        assert_eq!(
            read("${CONSUL_HTTP_TOKEN}").unwrap().name(),
            "CONSUL_HTTP_TOKEN"
        );
        for bad in [
            "s3cret",
            "",
            "${CONSUL_TOKEN:-s3cret}",
            "${HOME}",
            "x${CONSUL_TOKEN}",
            "${CONSUL_A B}",
        ] {
            let error = read(bad).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
