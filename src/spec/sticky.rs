use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Broken, Span, shortened};

/// A cookie that leads a client to the server that it had before. It names no address and cannot be forged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StickySpec {
    /// The cookie's name. Groups that share a host need a name each.
    pub cookie: String,
    /// How long it is valid; renewed for clients that come back when half of this is over, unless their server is
    /// draining. Default `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
    /// A file with at least 32 bytes that only the owner and the group can read; the same on every node. It is read by
    /// each node at the start, and when this setting comes.
    pub secret_file: String,
}

impl StickySpec {
    /// How long a cookie is valid, in seconds.
    pub fn max_age_secs(&self) -> u64 {
        let max_age = self.max_age.unwrap_or(Span::from_secs(3600));
        max_age.duration().as_secs()
    }

    /// Every broken rule; pointers begin here.
    pub(super) fn broken_rules(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        if !is_token(&self.cookie) {
            let message = format!(
                "`{}` is no name of a cookie: write 1 to 64 letters, digits or any of !#$%&'*+-.^_`|~",
                shortened(&self.cookie)
            );
            broken.push(Broken::new("/cookie", message));
        }
        let length = self.max_age.map(Span::duration);
        if length.is_some_and(|length| !(1..=LONGEST).contains(&length.as_secs())) {
            broken.push(Broken::new("/max_age", "write 1s to 365d"));
        }
        if self.secret_file.is_empty() {
            broken.push(Broken::new("/secret_file", "an empty path names no file"));
        }
        broken
    }
}

/// In seconds. Browsers keep none for much longer (RFC 6265bis: 400 days).
const LONGEST: u64 = 365 * 86_400;

/// A token (RFC 9110 section 5.6.2), as RFC 6265 wants it.
fn is_token(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_rule_names_its_field() {
        let broken = |json: &str| {
            let spec: StickySpec = serde_json::from_str(json).unwrap();
            let rules = spec.broken_rules().into_iter();
            rules.map(|rule| rule.pointer).collect::<Vec<_>>()
        };
        assert!(broken(r#"{"cookie": "srv_id", "secret_file": "s"}"#).is_empty());
        assert_eq!(
            broken(r#"{"cookie": "a b", "max_age": "0s", "secret_file": ""}"#),
            ["/cookie", "/max_age", "/secret_file"]
        );
        assert_eq!(
            broken(r#"{"cookie": "a;", "max_age": "366d", "secret_file": "s"}"#),
            ["/cookie", "/max_age"]
        );
        assert_eq!(
            broken(r#"{"cookie": "", "max_age": "999ms", "secret_file": "s"}"#),
            ["/cookie", "/max_age"]
        );
    }
}
