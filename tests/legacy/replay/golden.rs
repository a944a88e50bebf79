//! The golden files, as they are.

use serde_json::Value;
use std::{fs, path::Path};

/// One line of a file.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// None when the original closed the connection instead.
    pub(crate) recorded: Option<Recorded>,
}

#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Recorded {
    pub(crate) fn new(status: u16, content_type: &str, body: &str) -> Self {
        let (content_type, body) = (content_type.to_owned(), body.to_owned());
        Self {
            status,
            content_type,
            body,
        }
    }
}

/// Every file with its rows, by name without `.jsonl`; none, and a word about it, where the folder is absent.
pub(crate) fn files() -> Vec<(String, Vec<Row>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/compat/golden");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("skipped: ../shared is absent");
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 2, "{paths:?}");
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths
        .iter()
        .map(|path| (name(path), rows(&fs::read_to_string(path).unwrap())))
        .collect()
}

fn rows(text: &str) -> Vec<Row> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .enumerate()
        .map(|(at, line)| row(at + 1, &serde_json::from_str(line).unwrap()))
        .collect()
}

fn row(line: usize, json: &Value) -> Row {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let headers = json["headers"].as_object().unwrap().iter();
    let resp = &json["resp"];
    let recorded = resp.get("status").map(|status| Recorded {
        status: u16::try_from(status.as_u64().unwrap()).unwrap(),
        content_type: text(&resp["content_type"]),
        body: text(&resp["body"]),
    });
    assert!(
        recorded.is_some() || resp.get("error").is_some(),
        "line {line}: {resp}"
    );
    Row {
        line,
        method: text(&json["method"]),
        path: text(&json["path"]),
        headers: headers
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        body: text(&json["req_body"]),
        recorded,
    }
}

/// The paths that the scripts answer themselves; every other is proxied.
const LEGACY: [&str; 8] = [
    "/_switch_upstream",
    "/upstream_switch",
    "/ups",
    "/ups/check",
    "/ups_api",
    "/healthcheck",
    "/healthcheck/metrics",
    "/status_upstream",
];

impl Row {
    pub(crate) fn is_legacy(&self) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        LEGACY.contains(&path)
    }

    /// A parameter of the query, decoded as far as the rows need it.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.path.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.replace("%3A", ":"))
    }
}
