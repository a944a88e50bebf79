//! What is asked together: Consul holds a question back until something changes, and each that is held back takes a
//! connection.

use std::collections::{BTreeMap, HashMap};

use crate::spec::{ConsulUrl, Listing, Name, SourceSpec};

/// One thing to wait for, and what to read when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The folder whose keys are waited for, if more than one source is below it; it has no `/` at either end.
    pub(super) folder: Option<String>,
    /// The sources, in the order of their groups; at least one, and just one without a folder.
    pub(super) parts: Vec<Part>,
}

/// One source, and the groups whose servers it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) source: SourceSpec,
    pub(super) groups: Vec<Name>,
}

/// Sources of one folder wait together, as the groups of nginx-upsync-module's layout do: one connection, however many.
pub(super) fn plans(groups: &BTreeMap<Name, SourceSpec>) -> Vec<Plan> {
    let mut parts: Vec<Part> = Vec::new();
    let mut places: HashMap<&SourceSpec, usize> = HashMap::new();
    for (name, source) in groups {
        let place = *places.entry(source).or_insert(parts.len());
        match parts.get_mut(place) {
            Some(part) => part.groups.push(name.clone()),
            None => parts.push(Part {
                source: source.clone(),
                groups: vec![name.clone()],
            }),
        }
    }
    let mut plans: Vec<Plan> = Vec::new();
    let mut shared: HashMap<(String, String), usize> = HashMap::new();
    for part in parts {
        let folder = folder(&part.source.consul).map(str::to_owned);
        let place = folder.as_ref().map(|folder| {
            let server = server(&part.source);
            let key = (server, folder.clone());
            *shared.entry(key).or_insert(plans.len())
        });
        match place.and_then(|place| plans.get_mut(place)) {
            Some(plan) => plan.parts.push(part),
            None => plans.push(Plan {
                folder,
                parts: vec![part],
            }),
        }
    }
    for plan in plans.iter_mut().filter(|plan| plan.parts.len() == 1) {
        plan.folder = None;
    }
    plans
}

/// Whom a source asks, and as whom.
fn server(source: &SourceSpec) -> String {
    let url = &source.consul;
    let token = source.token.as_ref().map_or("", |token| token.name());
    format!("{} {} {} {token}", url.is_tls(), url.server(), url.query())
}

/// The folder that holds that of a source. Never the root: it may hold anything.
fn folder(url: &ConsulUrl) -> Option<&str> {
    match url.listing() {
        Listing::Keys(path) => path.rsplit_once('/').map(|(folder, _)| folder),
        Listing::Catalogue(_) | Listing::Health(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_one_folder_wait_together() {
        let groups = [
            ("a", r#"{"consul": "http://c:8500/v1/kv/up/a"}"#),
            ("b", r#"{"consul": "http://c:8500/v1/kv/up/b"}"#),
            ("b2", r#"{"consul": "http://c:8500/v1/kv/up/b"}"#),
            ("dc", r#"{"consul": "http://c:8500/v1/kv/up/a?dc=x"}"#),
            ("other", r#"{"consul": "http://d:8500/v1/kv/up/a"}"#),
            ("root", r#"{"consul": "http://c:8500/v1/kv/a"}"#),
            ("root2", r#"{"consul": "http://c:8500/v1/kv/b"}"#),
            (
                "service",
                r#"{"consul": "http://c:8500/v1/catalog/service/a"}"#,
            ),
            (
                "token",
                r#"{"consul": "http://c:8500/v1/kv/up/a", "token": "${CONSUL_T}"}"#,
            ),
        ];
        let groups = groups.map(|(name, source)| {
            let source = serde_json::from_str(source).unwrap();
            (Name::new(name).unwrap(), source)
        });
        let plans = plans(&groups.into());
        let shown: Vec<String> = plans
            .iter()
            .map(|plan| {
                let groups = plan.parts.iter().map(|part| &part.groups);
                format!("{:?} {:?}", plan.folder, groups.collect::<Vec<_>>())
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r##"
Some("up") [["a"], ["b", "b2"]]
None [["dc"]]
None [["other"]]
None [["root"]]
None [["root2"]]
None [["service"]]
None [["token"]]
"##);
    }
}
