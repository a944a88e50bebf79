use axum::http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};

use super::problem::{Code, Problem};
use crate::controller::{Object, Precondition, Wanted};
use crate::spec::{Name, Spec};

/// What a request asks to be so (RFC 9110 section 13.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    /// The numbers among the tags; any other tag is none of ours and never matches.
    Numbers(Vec<u64>),
}

impl Conditions {
    /// Reads both headers. For a change weak tags never match If-Match, for a GET they do match.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            if_match: tags(headers, &IF_MATCH, false)?,
            if_none_match: tags(headers, &IF_NONE_MATCH, true)?,
        })
    }

    /// For a GET: whether the caller has this version already.
    pub(super) fn has(&self, tag: u64) -> bool {
        match &self.if_none_match {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::Numbers(numbers)) => numbers.contains(&tag),
        }
    }

    /// For a change: what must still be so when it happens.
    pub(super) fn precondition(&self, object: &Object) -> Result<Option<Precondition>, Problem> {
        let wanted = match (&self.if_match, &self.if_none_match) {
            (None, None) => return Ok(None),
            (Some(Tags::Any), None) => Wanted::Present,
            (Some(Tags::Numbers(numbers)), None) => Wanted::ChangedIn(numbers.clone()),
            (None, Some(Tags::Any)) if *object == Object::State => {
                let detail = "the state always exists: `If-None-Match: *` cannot hold";
                return Err(invalid(detail));
            }
            (None, Some(Tags::Any)) => Wanted::Absent,
            (None, Some(_)) => {
                let detail = "for a change, If-None-Match can only be `*`: create only";
                return Err(invalid(detail));
            }
            (Some(_), Some(_)) => {
                return Err(invalid("If-Match and If-None-Match contradict each other"));
            }
        };
        let object = object.clone();
        Ok(Some(Precondition { object, wanted }))
    }
}

/// Where an object stands in the state. A host without a route has the place of its own.
pub(super) fn place_of(object: &Object, spec: &Spec) -> String {
    match object {
        Object::State => String::new(),
        Object::Upstream(name) => format!("/upstreams/{name}"),
        Object::Route(id) => format!("/routes/{id}"),
        Object::RouteOfHost(host) => {
            let found = spec.route_of_host(host);
            let id = found.and_then(|route| route.id.clone());
            let own = || Name::from_any(&format!("host:{host}"));
            format!("/routes/{}", id.unwrap_or_else(own))
        }
    }
}

fn tags(headers: &HeaderMap, name: &HeaderName, weak_too: bool) -> Result<Option<Tags>, Problem> {
    let mut found: Option<Vec<u64>> = None;
    for value in headers.get_all(name) {
        let text = value.to_str().unwrap_or("?").trim();
        if text == "*" && headers.get_all(name).iter().count() == 1 {
            return Ok(Some(Tags::Any));
        }
        let numbers = found.get_or_insert_default();
        for tag in text.split(',').map(str::trim) {
            let (is_weak, strong) = match tag.strip_prefix("W/") {
                Some(rest) => (true, rest),
                None => (false, tag),
            };
            let quoted = strong
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            let Some(inner) = quoted else {
                return Err(invalid(&format!(
                    "{name}: write tags as they were given, in quotes (`\"7\"`), or `*`"
                )));
            };
            // `"07"` is another tag than `"7"`.
            let number = inner
                .parse::<u64>()
                .ok()
                .filter(|number| number.to_string() == inner);
            numbers.extend(number.filter(|_| weak_too || !is_weak));
        }
    }
    Ok(found.map(Tags::Numbers))
}

fn invalid(detail: &str) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: HeaderName, value: &str) -> Result<Conditions, Problem> {
        Conditions::read(&[(name, value.parse().unwrap())].into_iter().collect())
    }

    #[test]
    fn a_tag_matches_only_as_it_was_given() {
        let wanted = |value: &str| {
            let conditions = read(IF_MATCH, value).unwrap();
            let condition = conditions.precondition(&Object::State).unwrap().unwrap();
            condition.wanted
        };
        assert_eq!(wanted("\"7\""), Wanted::ChangedIn(vec![7]));
        assert_eq!(wanted("W/\"7\""), Wanted::ChangedIn(vec![]));
        assert_eq!(wanted("\"07\""), Wanted::ChangedIn(vec![]));
        assert_eq!(
            wanted("\"abc\", \"8\", \"9\""),
            Wanted::ChangedIn(vec![8, 9])
        );
        assert_eq!(wanted("*"), Wanted::Present);
        assert!(read(IF_MATCH, "7").is_err());
        assert!(read(IF_MATCH, "*, \"7\"").is_err());
    }

    #[test]
    fn a_get_is_answered_with_not_modified_for_a_weak_tag_too() {
        let has = |value: &str| read(IF_NONE_MATCH, value).unwrap().has(7);
        assert!(has("\"7\"") && has("W/\"7\"") && has("*") && has("\"6\", \"7\""));
        assert!(!has("\"6\"") && !has("\"abc\""));
    }
}
