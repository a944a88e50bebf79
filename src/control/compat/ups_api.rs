//! `/ups_api?act=list|up|down&ups=`: the servers of a group, and several of them out or in at once.

use axum::http::StatusCode;

use super::super::api::Api;
use super::arguments::{Arguments, Given};
use super::call::{Call, Refused};
use super::servers::{Shown, set, shown};
use super::{cjson, page};
use crate::change::Change;
use crate::domain::snapshot::Snapshot;
use crate::domain::upstream::Upstream;
use crate::ports::legacy::LegacyAnswer;
use crate::spec::{Address, Name};

const PATH: &str = "/ups_api";
const CONTENT: &str = "application/json";

pub(super) fn claims(path: &str) -> bool {
    path == PATH
}

pub(super) async fn answer(api: &Api, call: &Call) -> LegacyAnswer {
    let given = (call.query.first("act"), call.query.first("ups"));
    let (Given::Text(act), Given::Text(upstream)) = given else {
        return usage();
    };
    // The documented curl lines have a space before the word.
    let upstream = upstream.trim().to_owned();
    match act.trim() {
        "list" => page::made(api, CONTENT, move |snapshot| list(snapshot, &upstream)).await,
        "up" => change(api, call, &upstream, true).await,
        "down" => change(api, call, &upstream, false).await,
        _ => usage(),
    }
}

fn usage() -> LegacyAnswer {
    said("usage: /ups_api?ups={name}&act=[down,up,list]\n".into())
}

/// Puts the named servers in or takes them out, all at once; those that the group does not have are told.
async fn change(api: &Api, call: &Call, upstream: &str, is_up: bool) -> LegacyAnswer {
    let Some(named) = named_servers(call) else {
        return said(format!("failed to get post args: nil\n{NO_ARGUMENTS}\n"));
    };
    let group = Name::new(upstream).ok();
    let snapshot = api.snapshot();
    let Some(found) = group.as_ref().and_then(|name| snapshot.upstream(name)) else {
        return said(failed("upstream not found"));
    };
    let (known, unknown): (Vec<_>, Vec<_>) = named
        .into_iter()
        .map(|text| (address_in(found, &text), text))
        .partition(|(address, _)| address.is_some());
    let mut lines = failed("server not found").repeat(unknown.len());
    let edits: Vec<Change> = known
        .iter()
        .filter_map(|(address, _)| Some(set(found.name(), address.as_ref()?, is_up)))
        .collect();
    if !edits.is_empty()
        && let Err(refused) = call.submit(api, |_| edits.clone()).await
    {
        return not_done(lines, &refused);
    }
    if !known.is_empty() || unknown.is_empty() {
        let names = known.iter().map(|(_, text)| cjson::text(text));
        lines += &cjson::line("set peer is success", &cjson::list(names), "D002");
    }
    said(lines)
}

const NO_ARGUMENTS: &str = r#"{"msg":"no args","code":"E001"}"#;

/// The servers of the form body: repeated keys, lists with commas, spaces around. None without the key.
fn named_servers(call: &Call) -> Option<Vec<String>> {
    let kind = call.request.content_type.as_deref().unwrap_or(FORM);
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(FORM) {
        return None;
    }
    let form = Arguments::parse(&call.request.body);
    let mut values = form.texts("server").peekable();
    values.peek()?;
    let servers = values.flat_map(|value| value.split(','));
    let servers = servers.map(str::trim).filter(|server| !server.is_empty());
    Some(servers.map(str::to_owned).collect())
}

/// What a script's `curl -d` sends; taken for granted where nothing is said.
const FORM: &str = "application/x-www-form-urlencoded";

fn address_in(upstream: &Upstream, text: &str) -> Option<Address> {
    let address = Address::new(text).ok()?;
    upstream.member(&address).is_some().then_some(address)
}

fn failed(why: &str) -> String {
    cjson::line("failed to set peer down", &cjson::text(why), "E002")
}

/// Nothing was changed. The scripts answer 200 to whatever they know; the rest is said as it is.
fn not_done(lines: String, refused: &Refused) -> LegacyAnswer {
    let detail = cjson::text(&refused.detail);
    let line = match refused.is_later() {
        true => cjson::line("failed to set peer down state", &detail, "E003"),
        false => failed(&refused.detail),
    };
    LegacyAnswer {
        status: refused.legacy_status(),
        content_type: Some(CONTENT),
        body: (lines + &line).into(),
    }
}

/// The members with their live state, in the order of their keys in the module that the script asks.
fn list(snapshot: &Snapshot, upstream: &str) -> String {
    let name = Name::new(upstream).ok();
    match name.and_then(|name| snapshot.upstream(&name)) {
        Some(upstream) => format!(
            "{}\n",
            cjson::list(shown(upstream).map(|server| member(&server)))
        ),
        None => "null\n".to_owned(),
    }
}

fn member(server: &Shown<'_>) -> String {
    let (name, weight) = (cjson::text(server.label), server.weight);
    let (max_fails, fail_timeout) = (server.max_fails, server.fail_timeout);
    let backup = if server.is_backup {
        r#","backup":true"#
    } else {
        ""
    };
    let down = if server.is_down {
        r#","down":true"#
    } else {
        ""
    };
    format!(
        r#"{{"name":{name},"addr":{name},"weight":{weight},"max_fails":{max_fails},"fail_timeout":{fail_timeout}{backup}{down}}}"#
    )
}

fn said(body: String) -> LegacyAnswer {
    LegacyAnswer {
        status: StatusCode::OK,
        content_type: Some(CONTENT),
        body: body.into(),
    }
}
