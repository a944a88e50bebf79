//! What a host's key means for a state, if anything.

use std::collections::HashMap;

use serde_json::json;

use crate::change::Change;
use crate::controller::host_keys::{by_host, note, noted};
use crate::ports::host_keys::plain;
use crate::spec::{CreatedBy, ForbiddenAddresses, HostPattern, RouteSpec, Spec, Target, shortened};
use crate::store::{HostKey, HostKeyEdit, HostKeyValue};
use crate::strict::is_host;

/// A state, with the routes that hosts have of their own.
pub(super) struct Judge<'a> {
    spec: &'a Spec,
    own: HashMap<&'a str, &'a RouteSpec>,
    forbidden: &'a ForbiddenAddresses,
}

/// What is to be done about a key.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// The host leads where the key says.
    Agrees,
    /// It is to lead elsewhere.
    Differs(Vec<Change>, Option<HostKeyEdit>),
    /// The key is not taken; why.
    Refused(String),
}

impl<'a> Judge<'a> {
    pub(super) fn new(spec: &'a Spec, forbidden: &'a ForbiddenAddresses) -> Self {
        Self {
            spec,
            own: by_host(&spec.routes),
            forbidden,
        }
    }

    pub(super) fn verdict(&self, name: &str, key: &HostKey) -> Verdict {
        let found = match &key.value {
            HostKeyValue::Absent => self.without_key(name, key.default.as_deref()),
            HostKeyValue::Text(text) => {
                check_host(name).and_then(|()| self.with_key(name, text.as_str()))
            }
            HostKeyValue::Unreadable(what) => Err(format!("it holds {what}")),
        };
        found.unwrap_or_else(|why| Verdict::Refused(plain(&why)))
    }

    fn with_key(&self, host: &str, text: &str) -> Result<Verdict, String> {
        let to = Target::new(text).map_err(|error| error.to_string())?;
        let own = self.own.get(host);
        if own.is_some_and(|route| route.to == to) {
            return Ok(Verdict::Agrees);
        }
        self.check_target(&to)?;
        let switch = Change::Switch {
            route: None,
            host: Some(host.to_owned()),
            to: Some(to),
        };
        let note = own.and_then(|route| note(host, route));
        Ok(Verdict::Differs(vec![switch], note))
    }

    fn check_target(&self, to: &Target) -> Result<(), String> {
        if *to == Target::Host {
            return Err(format!("`{to}` names no group: a key leads to one"));
        }
        let is_group = to
            .name()
            .is_some_and(|name| self.spec.upstreams.contains_key(name));
        match to.address() {
            _ if is_group => Ok(()),
            None => Err(format!(
                "there is no upstream `{}`, and it is no address",
                shortened(&to.to_string())
            )),
            Some(address) => self.forbidden.reason(&address).map_or(Ok(()), Err),
        }
    }

    /// The host leads again where it did before it was switched. Without a switch that made its route and without
    /// a note of what an operator wrote, the key's end says nothing.
    fn without_key(&self, host: &str, default: Option<&str>) -> Result<Verdict, String> {
        let Some(own) = self.own.get(host) else {
            return Ok(Verdict::Agrees);
        };
        let noted = default.and_then(noted);
        let is_made = own.created_by == Some(CreatedBy::Switch) && own.hosts.len() == 1;
        let to_default = |to: Target| Change::Switch {
            route: own.id.clone(),
            host: None,
            to: Some(to),
        };
        let go_away = || Change::Switch {
            route: own.id.clone(),
            host: None,
            to: None,
        };
        let changes = match noted {
            None if is_made => vec![go_away()],
            Some((id, to)) if !is_made && own.id.as_ref() == Some(&id) => {
                self.check_target(&to)?;
                vec![to_default(to)]
            }
            // It left a route that it shared with others.
            Some((id, to)) if is_made => match self.spec.route(&id) {
                Some(shared) if shared.hosts.len() > 1 || shared.to == to => {
                    let mut hosts = shared.hosts.clone();
                    hosts.push(HostPattern::Exact(host.to_owned()));
                    let route = json!({ "hosts": hosts });
                    vec![go_away(), Change::PatchRoute { id, route }]
                }
                // The only host that is left there may be switched itself.
                Some(_) => {
                    self.check_target(&to)?;
                    let route = json!({ "to": to, "created_by": null });
                    let id = own.id.clone().unwrap_or(id);
                    vec![Change::PatchRoute { id, route }]
                }
                None => vec![go_away()],
            },
            _ => return Ok(Verdict::Agrees),
        };
        let host = host.to_owned();
        Ok(Verdict::Differs(
            changes,
            Some(HostKeyEdit::Forget { host }),
        ))
    }
}

/// One key for each host: that in its normal form.
fn check_host(name: &str) -> Result<(), String> {
    let shown = shortened(name);
    match HostPattern::new(name) {
        Ok(HostPattern::Exact(host)) if !is_host(host.as_bytes()) => {
            Err(format!("`{shown}` is no host"))
        }
        Ok(HostPattern::Exact(host)) if host == name => Ok(()),
        Ok(HostPattern::Exact(host)) => Err(format!("write the key of this host as `{host}`")),
        Ok(HostPattern::Suffix(_) | HostPattern::Any) => {
            Err(format!("`{shown}` is no host: a key is for one"))
        }
        Err(_) => Err(format!("`{shown}` is no host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = r#"{"upstreams":{"blue":{},"green":{}},"routes":[
        {"id":"all","to":"blue"},{"id":"mine","hosts":["mine"],"to":"green"},
        {"id":"both","hosts":["x","y"],"to":"blue"},
        {"id":"one","hosts":["z"],"to":"green"},
        {"id":"host:made","hosts":["made"],"to":"green","created_by":"switch"}]}"#;

    fn verdict(name: &str, value: HostKeyValue, default: Option<&str>) -> String {
        let spec: Spec = serde_json::from_str(STATE).unwrap();
        let forbidden = ForbiddenAddresses::default();
        let default = default.map(str::to_owned);
        let key = HostKey { value, default };
        match Judge::new(&spec, &forbidden).verdict(name, &key) {
            Verdict::Agrees => "agrees".into(),
            Verdict::Refused(why) => why,
            Verdict::Differs(changes, edit) => {
                format!("{} {edit:?}", serde_json::to_string(&changes).unwrap())
            }
        }
    }

    fn says(name: &str, value: &str) -> String {
        verdict(name, HostKeyValue::Text(value.into()), None)
    }

    fn gone(name: &str, default: Option<&str>) -> String {
        verdict(name, HostKeyValue::Absent, default)
    }

    #[test]
    fn a_key_switches_its_host_when_it_says_something_else() {
        insta::assert_snapshot!(says("a.example", "green"), @r#"[{"op":"switch","host":"a.example","to":"green"}] None"#);
        insta::assert_snapshot!(says("mine", "10.0.0.1:080"), @r#"[{"op":"switch","host":"mine","to":"10.0.0.1:80"}] Some(Note { host: "mine", default: "mine green" })"#);
        assert_eq!(says("made", "green"), "agrees");
        assert_eq!(says("mine", "green"), "agrees");
    }

    #[test]
    fn what_is_no_host_or_leads_nowhere_is_refused_with_the_reason() {
        for (name, value, why) in [
            (
                "A.Example",
                "green",
                "write the key of this host as `a.example`",
            ),
            ("a:80", "green", "write the key of this host as `a`"),
            ("a:b", "green", "`a:b` is no host"),
            ("a..b", "green", "`a..b` is no host"),
            ("*.a", "green", "`*.a` is no host: a key is for one"),
            ("a b", "green", "`a b` is no host"),
            ("", "green", "`` is no host"),
            ("a\nb", "green", "`a\u{fffd}b` is no host"),
            ("a", "{host}", "`{host}` names no group: a key leads to one"),
            (
                "a",
                "red",
                "there is no upstream `red`, and it is no address",
            ),
            (
                "a",
                "169.254.169.254:80",
                "`169.254.169.254:80` is link-local or a metadata service: allow it by `control.allow_link_local: true`",
            ),
        ] {
            assert_eq!(says(name, value), why);
        }
        assert!(says("a", "").contains("neither"), "{}", says("a", ""));
        let list = HostKeyValue::Unreadable("a list".into());
        assert_eq!(verdict("a", list, None), "it holds a list");
    }

    #[test]
    fn without_its_key_a_host_leads_where_it_did_before() {
        assert_eq!(gone("a.example", None), "agrees");
        assert_eq!(gone("mine", None), "agrees");
        assert_eq!(gone("mine", Some("other blue")), "agrees");
        assert_eq!(gone("not a host", None), "agrees");
        insta::assert_snapshot!(gone("made", None), @r#"[{"op":"switch","route":"host:made","to":null}] Some(Forget { host: "made" })"#);
        insta::assert_snapshot!(gone("mine", Some("mine blue")), @r#"[{"op":"switch","route":"mine","to":"blue"}] Some(Forget { host: "mine" })"#);
        insta::assert_snapshot!(gone("made", Some("both blue")), @r#"[{"op":"switch","route":"host:made","to":null},{"op":"patch_route","id":"both","route":{"hosts":["x","y","made"]}}] Some(Forget { host: "made" })"#);
        insta::assert_snapshot!(gone("made", Some("one blue")), @r#"[{"op":"patch_route","id":"host:made","route":{"created_by":null,"to":"blue"}}] Some(Forget { host: "made" })"#);
        insta::assert_snapshot!(gone("made", Some("gone blue")), @r#"[{"op":"switch","route":"host:made","to":null}] Some(Forget { host: "made" })"#);
    }
}
