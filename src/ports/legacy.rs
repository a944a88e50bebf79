//! Legacy interfaces: paths of older tools that scripts still call. The control service answers them;
//! a data listener that has some mounted hands over their requests as plain values, so that neither
//! service knows the other.

use std::borrow::Cow;
use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;

/// One family of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interface {
    /// `/_switch_upstream`, `/upstream_switch`: where a host's requests go.
    Switch,
    /// `/ups`, `/ups/check`: servers out and back in, by address.
    Ups,
    /// `/ups_api`, `/healthcheck`, `/healthcheck/metrics`, `/status_upstream`: servers of a group.
    UpsApi,
    /// `/list`, `/detail`, `/upstream/{name}`: whole groups.
    Dyups,
    /// `/upstream_show?{name}`: a page about groups.
    Upsync,
}

impl Interface {
    /// Every one that is built.
    pub const ALL: [Self; 5] = [
        Self::Switch,
        Self::Ups,
        Self::UpsApi,
        Self::Dyups,
        Self::Upsync,
    ];

    /// Its name in histories and access logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Switch => "legacy:switch",
            Self::Ups => "legacy:ups",
            Self::UpsApi => "legacy:ups_api",
            Self::Dyups => "legacy:dyups",
            Self::Upsync => "legacy:upsync",
        }
    }
}

/// A call, with what any of the interfaces looks at.
#[derive(Debug, Clone)]
pub struct LegacyRequest {
    /// Any method; HEAD acts as GET does.
    pub method: Method,
    /// The path in normal form.
    pub path: String,
    /// The query as it was sent, without its `?`.
    pub query: Option<String>,
    /// `Host` or `:authority` as it was sent; empty if there is none.
    pub host: String,
    /// The body's Content-Type.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Bytes,
    /// The other end of the connection; none on a Unix socket.
    pub source: Option<IpAddr>,
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its Content-Type, where it has one.
    pub content_type: Option<&'static str>,
    /// Its body; not sent with HEAD.
    pub body: Bytes,
}

/// Who answers calls: the control service, for the interfaces that one listener has mounted.
#[async_trait]
pub trait LegacyHandler: Send + Sync {
    /// The interface that answers at this path, which is in normal form.
    fn interface(&self, path: &str) -> Option<Interface>;

    /// Answers a call at a path of one of its interfaces. Changes have happened when this answers.
    async fn answer(&self, request: LegacyRequest) -> LegacyAnswer;
}

/// The longest body of a call; what they need is a list of servers or a group's definition.
pub const LONGEST_BODY: usize = 64 * 1024;

/// A path in nginx's normal form, by which `location =` finds it: percent-decoded, slashes merged, dot
/// segments resolved. None for one that nginx refuses: above the root, or not a text.
pub fn normal_path(path: &str) -> Option<Cow<'_, str>> {
    let is_normal = !path.contains('%') && !path.contains("//") && !path.contains("/.");
    if is_normal {
        return Some(Cow::Borrowed(path));
    }
    let decoded = String::from_utf8(percent_decoded(path.as_bytes())).ok()?;
    let mut kept: Vec<&str> = Vec::new();
    let mut last = "";
    for segment in decoded.strip_prefix('/')?.split('/') {
        last = segment;
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()?),
            segment => kept.push(segment),
        }
    }
    let is_folder = matches!(last, "" | "." | "..") && !kept.is_empty();
    let end = if is_folder { "/" } else { "" };
    Some(Cow::Owned(format!("/{}{end}", kept.join("/"))))
}

/// The bytes that `%XX` stand for; a `%` before anything else stands for itself.
pub fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let pair = digit(tail.first()).zip(digit(tail.get(1)));
        let code = pair.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        match code.filter(|_| *first == b'%') {
            Some(code) => {
                bytes.push(code);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_normal_path_has_no_way_around_the_names_in_it(path in "(/|%2[fF]|\\.|%2e|[a-z]|%)*") {
            if let Some(normal) = normal_path(&format!("/{path}")) {
                let is_plain = |segment: &str| !matches!(segment, "" | "." | "..");
                let names = normal.strip_prefix('/').unwrap();
                let names = names.strip_suffix('/').unwrap_or(names);
                prop_assert!(names.is_empty() || names.split('/').all(is_plain), "{normal}");
            }
        }
    }

    #[test]
    fn a_path_is_found_in_nginxs_normal_form() {
        for (path, normal) in [
            ("/ups", "/ups"),
            ("/ups/", "/ups/"),
            ("/", "/"),
            ("//ups", "/ups"),
            ("/%75ps", "/ups"),
            ("/ups%2Fcheck", "/ups/check"),
            ("///ups//check", "/ups/check"),
            ("/./ups", "/ups"),
            ("/a/../ups", "/ups"),
            ("/ups/.", "/ups/"),
            ("/ups/check/..", "/ups/"),
            ("/ups/check/../", "/ups/"),
            ("/%2e%2E/a/../../ups", "-"),
            ("/.ups", "/.ups"),
            ("/..", "-"),
            ("/a/..", "/"),
            ("/%zz", "/%zz"),
            ("/%ff", "-"),
            ("*", "*"),
        ] {
            let found = normal_path(path);
            assert_eq!(found.as_deref().unwrap_or("-"), normal, "{path}");
        }
    }

    #[test]
    fn a_percent_sign_before_anything_else_stands_for_itself() {
        for (text, bytes) in [
            ("a%41%", "aA%"),
            ("%4", "%4"),
            ("%+1", "%+1"),
            ("%25%32", "%2"),
        ] {
            assert_eq!(percent_decoded(text.as_bytes()), bytes.as_bytes(), "{text}");
        }
    }
}
