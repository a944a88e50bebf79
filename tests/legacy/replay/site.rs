//! What stood behind the recordings, rebuilt: groups, routes, and origins that answer in the recorded words.

use super::golden::Row;
use crate::support::{Edge, Origin, Reply, Response, Seen};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The ports of the recorded origins; the rows name them as 127.0.0.1:28081 and so on, their bodies as 8081.
const PORTS: [&str; 4] = ["8081", "8082", "8083", "8084"];

/// One file's configuration, running.
pub(crate) struct Site {
    pub(crate) file: String,
    pub(crate) edge: Edge,
    pub(crate) origins: Vec<Origin>,
    /// The request that is sent all the while.
    pub(crate) host: &'static str,
    pub(crate) path: &'static str,
    groups: BTreeMap<&'static str, Vec<&'static str>>,
    backups: &'static [&'static str],
}

/// Which origins may serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The group or address that the requests go to.
    target: String,
    /// Taken out.
    out: BTreeSet<String>,
    /// By their words for themselves.
    serving: Vec<&'static str>,
}

impl State {
    pub(crate) fn may_serve(&self, origin: &str) -> bool {
        self.serving.contains(&origin)
    }
}

impl Site {
    pub(crate) fn of(file: &str, threads: usize) -> Self {
        let (groups, backups, host, path): (&[(_, &[_])], &'static [_], _, _) = match file {
            "switch_upstream" => (
                &[
                    ("default_upstream", &["8081", "8082"]),
                    ("lua_upstream", &["8083", "8084"]),
                ],
                &[],
                "lb.example",
                "/",
            ),
            "ups" => (
                &[("local", &["8081", "8082", "8083"]), ("single", &["8084"])],
                &["8082"],
                "any.example",
                "/local",
            ),
            other => panic!("nothing is known about what stood behind {other}.jsonl"),
        };
        let groups: BTreeMap<_, _> = groups
            .iter()
            .map(|(name, ports)| (*name, ports.to_vec()))
            .collect();
        let origins: Vec<Origin> = PORTS.iter().map(|port| origin(file, port)).collect();
        let edge = edge(&groups, backups, &origins, threads);
        Self {
            file: file.to_owned(),
            edge,
            origins,
            host,
            path,
            groups,
            backups,
        }
    }

    /// `127.0.0.1:28083` as the origin that stands for it here.
    pub(crate) fn with_our_ports(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (port, origin) in PORTS.iter().zip(&self.origins) {
            for colon in [":", "%3A"] {
                let theirs = format!("127.0.0.1{colon}2{port}");
                text = text.replace(&theirs, &format!("127.0.0.1{colon}{}", origin.port()));
            }
        }
        text
    }

    /// Whether both are words of origins of one group, the same but for the origin.
    pub(crate) fn served_the_same(&self, ours: &str, theirs: &str) -> Result<bool, String> {
        let group = |text: &str| {
            let found = self
                .groups
                .iter()
                .find(|(_, ports)| ports.contains(&word(text)));
            found
                .map(|(name, _)| *name)
                .ok_or_else(|| format!("no origin said {text:?}"))
        };
        let rest = |text: &str| text.split_once(' ').map(|(_, rest)| rest.to_owned());
        Ok(group(ours)? == group(theirs)? && rest(ours) == rest(theirs))
    }

    pub(crate) fn first_state(&self) -> State {
        let target = self.groups.keys().next().unwrap();
        self.state((*target).to_owned(), BTreeSet::new())
    }

    /// The state after our answer to a row.
    pub(crate) fn state_after(&self, state: State, row: &Row, answer: &Response) -> State {
        let is_done = answer.status == 200 && !answer.text().contains("E00001");
        if !row.is_legacy() || !is_done {
            return state;
        }
        self.aimed_at(state, row)
    }

    /// The state before a row is answered: as it is, or already as the row wants it.
    pub(crate) fn states_after(&self, state: &State, row: &Row) -> [State; 2] {
        let next = if row.is_legacy() {
            self.aimed_at(state.clone(), row)
        } else {
            state.clone()
        };
        [state.clone(), next]
    }

    fn aimed_at(&self, state: State, row: &Row) -> State {
        let State {
            mut target,
            mut out,
            ..
        } = state;
        if let Some(to) = row.parameter("upstream").filter(|to| !to.is_empty()) {
            target = to;
        }
        let server = row.parameter("server").unwrap_or_default();
        match row.parameter("op").as_deref() {
            Some("del") => drop(out.insert(server)),
            Some("add") => drop(out.remove(&server)),
            _ => {}
        }
        self.state(target, out)
    }

    fn state(&self, target: String, out: BTreeSet<String>) -> State {
        let members = match self.groups.get(target.as_str()) {
            Some(ports) => ports.clone(),
            None => PORTS
                .into_iter()
                .filter(|port| target == format!("127.0.0.1:2{port}"))
                .collect(),
        };
        let is_in = |port: &&str| !out.contains(&format!("127.0.0.1:2{port}"));
        let (backups, primaries): (Vec<_>, Vec<_>) = members
            .into_iter()
            .filter(is_in)
            .partition(|port| self.backups.contains(port));
        let serving = if primaries.is_empty() {
            backups
        } else {
            primaries
        };
        State {
            target,
            out,
            serving,
        }
    }
}

/// The origin's name for itself, at the beginning of its answer.
pub(crate) fn word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

fn origin(file: &str, port: &'static str) -> Origin {
    let origin = Origin::start();
    let is_plain = file == "ups";
    origin.by(move |seen| Reply::Answer {
        status: 200,
        headers: vec![("Content-Type".into(), "text/plain".into())],
        body: if is_plain {
            format!("{port}\n")
        } else {
            words(port, seen)
        }
        .into_bytes(),
    });
    origin
}

/// The recorded origins said what they saw; those of the first group more of it.
fn words(port: &str, seen: &Seen) -> String {
    let header = |name| seen.header(name).unwrap_or_default();
    let (path, version, host, connection) = (
        &seen.path,
        &seen.version,
        header("host"),
        header("connection"),
    );
    if port < "8083" {
        let (method, real, forwarded) =
            (&seen.method, header("x-real-ip"), header("x-forwarded-for"));
        format!(
            "{port} {method} {path} {version} host={host} xri={real} xff={forwarded} conn={connection}\n"
        )
    } else {
        format!("{port} {path} {version} host={host} conn={connection}\n")
    }
}

fn edge(
    groups: &BTreeMap<&str, Vec<&str>>,
    backups: &[&str],
    origins: &[Origin],
    threads: usize,
) -> Edge {
    let server = |port: &&str| {
        let at = PORTS.iter().position(|other| other == port).unwrap();
        json!({ "address": origins[at].address(), "backup": backups.contains(port) })
    };
    let group =
        |ports: &Vec<&str>| json!({ "servers": ports.iter().map(server).collect::<Vec<_>>() });
    let upstreams: BTreeMap<_, Value> = groups
        .iter()
        .map(|(name, ports)| (*name, group(ports)))
        .collect();
    let file = json!({
        "server": { "threads": threads },
        // The scripts' `proxy_set_header Host $host`.
        "defaults": { "host": "without_port" },
        "upstreams": upstreams,
    });
    Edge::builder()
        .with(&file.to_string())
        .route("*", groups.keys().next().unwrap())
        .listener("legacy: [switch, ups, ups_api]")
        .start()
}
