use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::problem::{Code, Problem};
use crate::spec::{Span, shortened};

/// The parameters of a query, each known and there once.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads a query. One that has a parameter that is not `known` is refused: whoever sends it
    /// expects something that would not happen.
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut values = BTreeMap::new();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if PLANNED.contains(&&*key) {
                let detail = format!("the query parameter `{key}` is not supported yet");
                return Err(Problem::new(Code::NotSupported, detail));
            }
            if !known.contains(&&*key) {
                let hint = match known {
                    [] => "this call takes none".to_owned(),
                    known => format!("this call takes {}", known.join(", ")),
                };
                let detail = format!("unknown query parameter `{}`; {hint}", shortened(&key));
                return Err(Problem::new(Code::UnknownParameter, detail));
            }
            if values.insert(key.to_string(), value.into_owned()).is_some() {
                let detail = format!("the query parameter `{key}` stands twice");
                return Err(Problem::new(Code::UnknownParameter, detail));
            }
        }
        Ok(Self(values))
    }

    /// A parameter that is `true` or `false`; false when it is not there.
    pub(super) fn flag(&self, key: &str) -> Result<bool, Problem> {
        match self.0.get(key).map(String::as_str) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(invalid(key, other, "`true` or `false`")),
        }
    }

    /// One of these words, if it is there.
    pub(super) fn word(&self, key: &str, words: &[&str]) -> Result<Option<&str>, Problem> {
        match self.0.get(key).map(String::as_str) {
            Some(other) if !words.contains(&other) => {
                Err(invalid(key, other, &format!("`{}`", words.join("` or `"))))
            }
            known => Ok(known),
        }
    }

    /// A time above 0 and of at most `most`, if it is there.
    pub(super) fn span(&self, key: &str, most: Duration) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.0.get(key) else {
            return Ok(None);
        };
        let span = Span::try_from(text.clone()).ok().map(Span::duration);
        match span.filter(|span| !span.is_zero() && *span <= most) {
            Some(span) => Ok(Some(span)),
            None => {
                let wanted = format!("a time as `500ms` or `5s`, {} s at most", most.as_secs());
                Err(invalid(key, text, &wanted))
            }
        }
    }

    /// A number, if it is there.
    pub(super) fn number<T: FromStr>(&self, key: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.0.get(key) else {
            return Ok(None);
        };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Some(number)),
            _ => Err(invalid(key, text, "a whole number that is not negative")),
        }
    }
}

/// Parameters that are documented for any change and not built yet.
const PLANNED: [&str; 2] = ["ttl", "confirm_within"];

fn invalid(key: &str, value: &str, wanted: &str) -> Problem {
    let value = shortened(value);
    let detail = format!("the query parameter `{key}` is {wanted}, not `{value}`");
    Problem::new(Code::InvalidParameter, detail)
}
