//! `/upstream_show` of nginx-upsync-module: a page about one group, or about all.

use std::fmt::Write;

use axum::http::{Method, StatusCode};

use super::super::api::Api;
use super::call::{Call, text};
use super::page;
use super::servers::whole_seconds;
use crate::domain::snapshot::Snapshot;
use crate::domain::upstream::Upstream;
use crate::ports::legacy::LegacyAnswer;
use crate::spec::{Admin, Name};

const PATH: &str = "/upstream_show";

pub(super) fn claims(path: &str) -> bool {
    path == PATH
}

pub(super) async fn answer(api: &Api, call: &Call) -> LegacyAnswer {
    let request = &call.request;
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, String::new());
    }
    // The whole query is the name, as it was sent.
    let name = request.query.clone().unwrap_or_default();
    page::made(api, "text/plain", move |snapshot| page(snapshot, &name)).await
}

fn page(snapshot: &Snapshot, name: &str) -> String {
    let mut page = String::new();
    if name.is_empty() {
        for upstream in snapshot.upstreams() {
            // Writing to a text cannot fail.
            let _ = block(&mut page, upstream);
            page.push('\n');
        }
        if page.is_empty() {
            page.push_str("No upstreams defined");
        }
        return page;
    }
    let name = Name::new(name).ok();
    match name.as_ref().and_then(|name| snapshot.upstream(name)) {
        Some(upstream) => {
            let _ = block(&mut page, upstream);
        }
        None => page.push_str(UNKNOWN),
    }
    page
}

const UNKNOWN: &str = "The upstream you requested does not exist. Please double-check the name";

fn block(page: &mut String, upstream: &Upstream) -> std::fmt::Result {
    let (name, servers) = (upstream.name(), upstream.servers());
    let count = servers.len();
    writeln!(page, "Upstream name: {name}; Backend server count: {count}")?;
    for server in servers {
        let (label, weight) = (server.label(), server.weight());
        let max_fails = server.spec().max_fails;
        let seconds = whole_seconds(server.spec().fail_timeout);
        let down = if server.admin() == Admin::Up {
            ""
        } else {
            " down"
        };
        write!(page, "        server {label} weight={weight} ")?;
        writeln!(page, "max_fails={max_fails} fail_timeout={seconds}s{down};")?;
    }
    Ok(())
}
