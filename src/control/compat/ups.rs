//! `/ups?op=add|del&server=` and `/ups/check`: a server out of every group that has it, and back in.

use axum::http::StatusCode;

use super::super::api::Api;
use super::arguments::Given;
use super::call::{Call, text};
use super::servers::set;
use super::{cjson, page};
use crate::change::Change;
use crate::domain::snapshot::Snapshot;
use crate::ports::legacy::LegacyAnswer;
use crate::spec::{Address, Admin, Name};

const CHANGE: &str = "/ups";
const CHECK: &str = "/ups/check";

const DONE: &str = "A00001";
const NOT_DONE: &str = "E00001";

pub(super) fn claims(path: &str) -> bool {
    matches!(path, CHANGE | CHECK)
}

pub(super) async fn answer(api: &Api, call: &Call) -> LegacyAnswer {
    if call.request.path == CHECK {
        return page::made(api, "text/plain", check).await;
    }
    let (op, server) = (call.query.first("op"), call.query.first("server"));
    if op == Given::Nothing || server == Given::Nothing {
        return said("usage: /ups?op=add&server=192.168.56.101:8080\n".into());
    }
    let is_up = match op {
        Given::Text("add") => true,
        Given::Text("del") => false,
        _ => return said(cjson::line("do none.", "{}", NOT_DONE)),
    };
    match server {
        Given::Text(server) => change(api, call, server, is_up).await,
        // `server` without a `=` is `true` to the script.
        _ => said(cjson::line("server not found: true", "[true]", NOT_DONE)),
    }
}

async fn change(api: &Api, call: &Call, server: &str, is_up: bool) -> LegacyAnswer {
    let data = cjson::list([cjson::text(server)]);
    let no = |msg: &str| cjson::line(msg, &data, NOT_DONE);
    let unknown = || said(no(&format!("server not found: {server}")));
    let Ok(address) = Address::new(server.trim()) else {
        return unknown();
    };
    if groups_with(&api.snapshot(), &address).is_empty() {
        return unknown();
    }
    let done = call.submit(api, |snapshot| changes(snapshot, &address, is_up));
    match done.await {
        // Gone meanwhile.
        Ok(done) if !done.is_new && groups_with(&done.snapshot, &address).is_empty() => unknown(),
        Ok(_) => {
            let word = if is_up { "add" } else { "del" };
            said(cjson::line(
                &format!("{word} a server success."),
                &data,
                DONE,
            ))
        }
        Err(refused) if refused.is_on_rails => {
            said(no(&format!("You cat not set peer down: {server}")))
        }
        Err(refused) => text(refused.legacy_status(), no(&refused.detail)),
    }
}

/// In every group that has the server, all at once.
fn changes(snapshot: &Snapshot, address: &Address, is_up: bool) -> Vec<Change> {
    let groups = groups_with(snapshot, address);
    let edit = |group: &Name| set(group, address, is_up);
    groups.iter().map(edit).collect()
}

fn groups_with(snapshot: &Snapshot, address: &Address) -> Vec<Name> {
    let has_it = snapshot
        .upstreams()
        .filter(|upstream| upstream.member(address).is_some());
    has_it.map(|upstream| upstream.name().clone()).collect()
}

/// The servers that the operator has taken out of some group, each once.
fn check(snapshot: &Snapshot) -> String {
    let members = snapshot.upstreams().flat_map(|upstream| upstream.members());
    let out = members.filter(|member| member.spec().admin != Admin::Up);
    let mut labels: Vec<String> = out
        .map(|member| member.spec().address.to_string())
        .collect();
    labels.sort_unstable();
    labels.dedup();
    let entries = labels
        .iter()
        .map(|label| format!("{}:1", cjson::text(label)));
    let entries = entries.collect::<Vec<_>>().join(",");
    cjson::line("OK", &format!("{{{entries}}}"), DONE)
}

fn said(body: String) -> LegacyAnswer {
    text(StatusCode::OK, body)
}
