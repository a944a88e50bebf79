use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Labels, Name, Target, shortened, upstream::is_zero};

/// A rule that leads requests for some hosts and paths to a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// Its identity; made from host and path when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Name>,
    /// The hosts it answers for; default every host.
    #[serde(default = "every_host")]
    pub hosts: Vec<HostPattern>,
    /// The paths it answers for; default every path.
    #[serde(default = "every_path")]
    pub paths: Vec<PathPattern>,
    /// Where the requests go.
    pub to: Target,
    /// Only to servers that have these labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[schema(required = false)]
    pub labels: Labels,
    /// Who made it, unless an operator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<CreatedBy>,
    /// The revision that changed this route last; its ETag. Set by the one writer.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schema(read_only)]
    pub changed_at: u64,
}

/// What made a route that no operator wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CreatedBy {
    /// The switch of a host that had no route of its own.
    Switch,
}

impl RouteSpec {
    /// The id that a route without one gets: `host/path` with `-` for what a name cannot have.
    pub fn id_from_patterns(&self) -> Name {
        let host = match self.hosts.first() {
            None | Some(HostPattern::Any) => "any".to_owned(),
            Some(HostPattern::Suffix(suffix)) => format!("any.{suffix}"),
            Some(HostPattern::Exact(host)) => host.clone(),
        };
        let path = match self.paths.first() {
            None => "",
            Some(PathPattern::Prefix(path) | PathPattern::Exact(path)) => {
                path.trim_end_matches('/')
            }
        };
        Name::from_any(&format!("{host}{path}"))
    }

    /// The hosts that it names, in normal form.
    pub fn exact_hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().filter_map(|host| match host {
            HostPattern::Exact(host) => Some(host.as_str()),
            HostPattern::Suffix(_) | HostPattern::Any => None,
        })
    }

    /// Whether it answers for the path `/`, and how well: the higher goes first.
    pub fn root_rank(&self) -> Option<u8> {
        let rank = |path: &PathPattern| match path {
            PathPattern::Exact(path) => (path == "/").then_some(2),
            PathPattern::Prefix(prefix) => (prefix == "/").then_some(1),
        };
        self.paths.iter().filter_map(rank).max()
    }

    /// Equal but for the revision of the last change.
    pub fn says_the_same(&self, other: &Self) -> bool {
        *other
            == Self {
                changed_at: other.changed_at,
                ..self.clone()
            }
    }
}

fn every_host() -> Vec<HostPattern> {
    vec![HostPattern::Any]
}

fn every_path() -> Vec<PathPattern> {
    vec![PathPattern::Prefix("/".into())]
}

/// Which hosts: `www.example.org`, `*.example.org` or `*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostPattern {
    /// This host, in normal form. Without a port it stands for every port.
    Exact(String),
    /// Every host below this one, at any depth.
    Suffix(String),
    /// Every host, also none.
    Any,
}

/// Why a text is not a host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a host: write `www.example.org`, `*.example.org` or `*`", shortened(.0))]
pub struct HostError(String);

impl HostPattern {
    /// Parses a pattern into normal form.
    pub fn new(text: &str) -> Result<Self, HostError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (host, make): (&str, fn(String) -> Self) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, Self::Suffix),
            None => (text, Self::Exact),
        };
        let host = normal_host(host);
        let fits =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        // `a..` or `a:80:80` would be another host each time that it is read.
        let is_normal = normal_host(&host) == host;
        if host.is_empty() || host.len() > LONGEST_HOST || !host.chars().all(fits) || !is_normal {
            return Err(HostError(text.to_owned()));
        }
        Ok(make(host.into_owned()))
    }
}

/// A DNS name has at most 253 characters (RFC 1035 section 2.3.4); a port adds six.
const LONGEST_HOST: usize = 259;

/// A host in normal form: lower case, without `:80` or `:443`, without a trailing dot.
pub fn normal_host(host: &str) -> Cow<'_, str> {
    let bare = host
        .strip_suffix(":80")
        .or_else(|| host.strip_suffix(":443"))
        .unwrap_or(host);
    // A bare `::80` would be an IPv6 address; in a Host header it stands in brackets.
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    if bare.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(bare.to_ascii_lowercase())
    } else {
        Cow::Borrowed(bare)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Suffix(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostError;
    fn try_from(text: String) -> Result<Self, HostError> {
        Self::new(&text)
    }
}

impl From<HostPattern> for String {
    fn from(host: HostPattern) -> Self {
        host.to_string()
    }
}

/// Which paths: a prefix (`/api`, as a string: it also covers `/apis`, like nginx's `location /api`)
/// or one path (`=/api`). The query is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PathPattern {
    /// Every path that begins so.
    Prefix(String),
    /// This path only.
    Exact(String),
}

/// Why a text is not a path pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Patterns begin with `/` or `=/`.
    #[error(
        "`{}` is not a path: write `/prefix` or `=/exact`, without spaces, `?` or `#`",
        shortened(.0)
    )]
    Malformed(String),
    /// Regular expressions come later.
    #[error("`{}`: regular expressions are not supported yet", shortened(.0))]
    Regex(String),
}

impl PathPattern {
    /// Parses a pattern.
    pub fn new(text: &str) -> Result<Self, PathError> {
        if text.starts_with('~') {
            return Err(PathError::Regex(text.to_owned()));
        }
        let (path, make): (&str, fn(String) -> Self) = match text.strip_prefix('=') {
            Some(path) => (path, Self::Exact),
            None => (text, Self::Prefix),
        };
        let fits = path
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'));
        if path.starts_with('/') && fits {
            Ok(make(path.to_owned()))
        } else {
            Err(PathError::Malformed(text.to_owned()))
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(path) => f.write_str(path),
            Self::Exact(path) => write!(f, "={path}"),
        }
    }
}

impl TryFrom<String> for PathPattern {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        Self::new(&text)
    }
}

impl From<PathPattern> for String {
    fn from(path: PathPattern) -> Self {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_kept_in_normal_form() {
        let host = |text: &str| HostPattern::new(text).unwrap().to_string();
        assert_eq!(host("WWW.Example.org.:80"), "www.example.org");
        assert_eq!(host("a:8080"), "a:8080");
        assert_eq!(host("*.Example.org"), "*.example.org");
        assert_eq!(host("[::1]:443"), "[::1]");
        for bad in ["", "*.", "a/b", "a b", "*a", "a..", "a:80:80"] {
            assert!(HostPattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_route_without_an_id_is_named_after_its_patterns() {
        let route = |json: &str| {
            serde_json::from_str::<RouteSpec>(json)
                .unwrap()
                .id_from_patterns()
                .to_string()
        };
        assert_eq!(route(r#"{"to":"web"}"#), "any");
        assert_eq!(
            route(r#"{"to":"web","hosts":["a.example"],"paths":["/api/v1"]}"#),
            "a.example-api-v1"
        );
        assert_eq!(
            route(r#"{"to":"web","hosts":["*.example"],"paths":["=/x"]}"#),
            "any.example-x"
        );
    }
}
