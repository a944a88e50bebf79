use axum::http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};

use super::problem::{Code, Problem};
use crate::controller::Precondition;
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

/// What a change is about: decides what its conditions are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Object {
    State,
    Upstream(Name),
    Route(Name),
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
    pub(super) fn precondition(
        &self,
        object: &Object,
        spec: &Spec,
        revision: u64,
    ) -> Result<Option<Precondition>, Problem> {
        match (&self.if_match, &self.if_none_match) {
            (None, None) => Ok(None),
            (Some(tags), None) => Ok(object.precondition(tags, spec, revision)),
            (None, Some(Tags::Any)) => object.absent().map(Some),
            (None, Some(_)) => Err(invalid(
                "for a change, If-None-Match can only be `*`: create only",
            )),
            (Some(_), Some(_)) => Err(invalid("If-Match and If-None-Match contradict each other")),
        }
    }
}

impl Object {
    fn precondition(&self, tags: &Tags, spec: &Spec, revision: u64) -> Option<Precondition> {
        let now = match self {
            Self::State => Some(revision),
            Self::Upstream(name) => spec.upstreams.get(name).map(|found| found.changed_at),
            Self::Route(id) => spec.route(id).map(|found| found.changed_at),
        };
        let numbers = match (tags, self) {
            // There always is a state.
            (Tags::Any, Self::State) => return None,
            (Tags::Any, Self::Upstream(name)) => {
                return Some(Precondition::SomeUpstream(name.clone()));
            }
            (Tags::Any, Self::Route(id)) => return Some(Precondition::SomeRoute(id.clone())),
            (Tags::Numbers(numbers), _) => numbers,
        };
        let matching = numbers.iter().find(|number| now == Some(**number));
        // Nothing was ever changed in revision 0: it never matches.
        let expected = matching.or(numbers.first()).copied().unwrap_or(0);
        Some(match self {
            Self::State => Precondition::State(expected),
            Self::Upstream(name) => Precondition::Upstream(name.clone(), expected),
            Self::Route(id) => Precondition::Route(id.clone(), expected),
        })
    }

    fn absent(&self) -> Result<Precondition, Problem> {
        match self {
            Self::State => Err(invalid(
                "the state always exists: `If-None-Match: *` cannot hold",
            )),
            Self::Upstream(name) => Ok(Precondition::NoUpstream(name.clone())),
            Self::Route(id) => Ok(Precondition::NoRoute(id.clone())),
        }
    }

    /// Where it stands in the state.
    pub(super) fn path(&self) -> String {
        match self {
            Self::State => String::new(),
            Self::Upstream(name) => format!("/upstreams/{name}"),
            Self::Route(id) => format!("/routes/{id}"),
        }
    }

    /// Whether it is there.
    pub(super) fn exists(&self, spec: &Spec) -> bool {
        match self {
            Self::State => true,
            Self::Upstream(name) => spec.upstreams.contains_key(name),
            Self::Route(id) => spec.route(id).is_some(),
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
        let web = Object::Upstream(Name::new("web").unwrap());
        let wanted = |value: &str| {
            let conditions = read(IF_MATCH, value).unwrap();
            conditions
                .precondition(&web, &Spec::default(), 9)
                .unwrap()
                .unwrap()
        };
        let web_at = |number| Precondition::Upstream(Name::new("web").unwrap(), number);
        assert_eq!(wanted("\"7\""), web_at(7));
        assert_eq!(wanted("W/\"7\""), web_at(0));
        assert_eq!(wanted("\"07\""), web_at(0));
        assert_eq!(wanted("\"abc\", \"8\""), web_at(8));
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
