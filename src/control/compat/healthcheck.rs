//! The pages beside `/ups_api`: `/healthcheck`, `/healthcheck/metrics` and `/status_upstream`.

use std::fmt::Write;

use super::super::api::Api;
use super::call::Call;
use super::page;
use super::servers::{Shown, shown};
use crate::domain::snapshot::Snapshot;
use crate::domain::upstream::Upstream;
use crate::ports::legacy::LegacyAnswer;

const PAGE: &str = "/healthcheck";
const METRICS: &str = "/healthcheck/metrics";
const STATUS: &str = "/status_upstream";

pub(super) fn claims(path: &str) -> bool {
    matches!(path, PAGE | METRICS | STATUS)
}

pub(super) async fn answer(api: &Api, call: &Call) -> LegacyAnswer {
    let write = match call.request.path.as_str() {
        METRICS => metrics,
        STATUS => status,
        _ => healthcheck,
    };
    page::made(api, "text/plain", write).await
}

/// The page of lua-resty-upstream-healthcheck behind a line with our process id.
fn healthcheck(snapshot: &Snapshot) -> String {
    let groups: Vec<String> = snapshot
        .upstreams()
        .map(|upstream| group(upstream))
        .collect();
    let pid = std::process::id();
    format!("Nginx Worker PID: {pid}\n{}", groups.join("\n"))
}

fn group(upstream: &Upstream) -> String {
    let without = match upstream.health() {
        Some(_) => "",
        None => " (NO checkers)",
    };
    let mut text = format!("Upstream {}{without}\n", upstream.name());
    for (title, is_backup) in [("Primary", false), ("Backup", true)] {
        let _ = writeln!(text, "    {title} Peers");
        for server in tier(upstream, is_backup) {
            let _ = writeln!(text, "        {} {}", server.label, word(&server));
        }
    }
    text
}

fn tier(upstream: &Upstream, is_backup: bool) -> impl Iterator<Item = Shown<'_>> {
    shown(upstream).filter(move |server| server.is_backup == is_backup)
}

fn word(server: &Shown<'_>) -> &'static str {
    if server.is_down { "DOWN" } else { "UP" }
}

/// lua-resty-upstream-healthcheck's page for Prometheus.
fn metrics(snapshot: &Snapshot) -> String {
    let mut text = "# HELP nginx_upstream_status_info The running status of nginx upstream\n\
                    # TYPE nginx_upstream_status_info gauge\n"
        .to_owned();
    for upstream in snapshot.upstreams() {
        series(upstream, &mut text);
    }
    text
}

fn series(upstream: &Upstream, text: &mut String) {
    let mut line = |labels: &str, status: &str, more: &str, value: bool| {
        let (name, value) = (upstream.name(), u8::from(value));
        let _ = writeln!(
            text,
            "nginx_upstream_status_info{{name=\"{name}\"{labels},status=\"{status}\"{more}}} {value}"
        );
    };
    let is_checked = upstream.health().is_some();
    if upstream.servers().is_empty() {
        return;
    }
    if is_checked {
        for (role, is_backup) in [("PRIMARY", false), ("BACKUP", true)] {
            for server in tier(upstream, is_backup) {
                let labels = format!(",endpoint=\"{}\"", escaped(server.label));
                let role = format!(",role=\"{role}\"");
                line(&labels, "UP", &role, !server.is_down);
                line(&labels, "DOWN", &role, server.is_down);
            }
        }
    }
    let is_up = shown(upstream).any(|server| !server.is_down);
    line("", "UP", "", is_checked && is_up);
    line("", "DOWN", "", is_checked && !is_up);
    line("", "UNKNOWN", "", !is_checked);
}

/// The path of a Unix socket may have anything in it.
fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The lines that lua-upstream-nginx-module's sample writes to its log; its own page was empty.
fn status(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for upstream in snapshot.upstreams() {
        let _ = writeln!(text, "upstream name:{}", upstream.name());
        for (number, server) in (1..).zip(shown(upstream)) {
            let _ = writeln!(text, "idx:{number} {}", fields(&server));
        }
    }
    text
}

fn fields(server: &Shown<'_>) -> String {
    let Shown {
        label,
        weight,
        max_fails,
        fail_timeout,
        is_backup,
        is_down,
    } = server;
    let backup = if *is_backup { " backup:true" } else { "" };
    let down = if *is_down { " down:true" } else { "" };
    format!(
        "name:{label} addr:{label} weight:{weight} max_fails:{max_fails} fail_timeout:{fail_timeout}{backup}{down}"
    )
}
