//! `/_switch_upstream?upstream=` and `/upstream_switch?ups=`: point the host that a request is for at
//! another group or address.

use axum::http::StatusCode;

use super::super::api::Api;
use super::arguments::Given;
use super::call::{Call, Entrance, Refused, one_line, text};
use crate::change::Change;
use crate::domain::snapshot::Snapshot;
use crate::ports::legacy::LegacyAnswer;
use crate::spec::{HostPattern, Target};

const WITH_TEXT: &str = "/_switch_upstream";
const SILENT: &str = "/upstream_switch";

pub(super) fn claims(path: &str) -> bool {
    matches!(path, WITH_TEXT | SILENT)
}

pub(super) async fn answer(api: &Api, call: &Call) -> LegacyAnswer {
    let is_silent = call.request.path == SILENT;
    let name = if is_silent { "ups" } else { "upstream" };
    let to = match (call.query.get(name), is_silent) {
        (Given::Nothing, true) => return said("usage: /upstream_switch?ups=x.x.x.x\n".into()),
        (Given::Nothing | Given::Text(""), false) => return said("upstream is nil 1\n".into()),
        (Given::Text(""), true) => return bad("`ups` is empty: give a group or `ip:port`"),
        (Given::Flag, _) => return bad(&format!("write `{name}=` and a group or `ip:port`")),
        (Given::Several, _) => return bad(&format!("`{name}` stands twice")),
        (Given::Text(to), _) => to,
    };
    match switch(api, call, to).await {
        Ok(_) if is_silent => said(String::new()),
        Ok(switched) => said(switched),
        Err(refused) => refused,
    }
}

/// The two lines that the script prints.
async fn switch(api: &Api, call: &Call, to: &str) -> Result<String, LegacyAnswer> {
    let named = host(call)?;
    let Ok(HostPattern::Exact(host)) = HostPattern::new(named) else {
        return Err(bad(&format!("`{named}` is no host")));
    };
    let target = Target::new(to).map_err(|error| bad(&error.to_string()))?;
    if target == Target::Host {
        return Err(bad(&format!("`{to}` names no group: a switch is to one")));
    }
    let change = Change::Switch {
        route: None,
        host: Some(host.clone()),
        to: Some(target),
    };
    let done = call.submit(api, |_| vec![change.clone()]).await;
    let outcome = done.map_err(refused)?;
    let from = effective(&outcome.before, &host).unwrap_or_else(|| "nil".to_owned());
    Ok(format!(
        "Current upstream is :{from}\n{named} change upstream from {from} to {to}\n"
    ))
}

/// The host to switch. The control endpoint's own is never meant.
fn host(call: &Call) -> Result<&str, LegacyAnswer> {
    let on_control = call.entrance == Entrance::Control;
    match call.query.get("host") {
        Given::Text(host) if on_control && !host.is_empty() => Ok(host),
        Given::Nothing if on_control => Err(bad(
            "say which host: add `&host=`; the Host of this request is the control endpoint's own",
        )),
        Given::Nothing if call.request.host.is_empty() => Err(bad(
            "the request has no Host header, and so there is nothing to switch",
        )),
        Given::Nothing => Ok(&call.request.host),
        _ if on_control => Err(bad("write `host=` and one host")),
        _ => Err(bad(
            "`host=` is for the control endpoint: here the Host header says which",
        )),
    }
}

/// Where `GET /` for this host goes.
fn effective(snapshot: &Snapshot, host: &str) -> Option<String> {
    let target = snapshot.routes().find(host, "/")?.to();
    match target {
        Target::Host => Some(snapshot.target(target, host)?.name().to_string()),
        target => Some(target.to_string()),
    }
}

/// The scripts' type, which is nginx's default.
fn said(body: String) -> LegacyAnswer {
    LegacyAnswer {
        status: StatusCode::OK,
        content_type: Some("application/octet-stream"),
        body: body.into(),
    }
}

fn bad(reason: &str) -> LegacyAnswer {
    text(StatusCode::BAD_REQUEST, format!("{}\n", one_line(reason)))
}

/// The scripts know one refusal. Who may not, and what cannot be stored now, are said as they are.
fn refused(refused: Refused) -> LegacyAnswer {
    let keeps = refused.status == StatusCode::FORBIDDEN || refused.is_later();
    let status = if keeps {
        refused.status
    } else {
        StatusCode::BAD_REQUEST
    };
    text(status, format!("{}\n", refused.detail))
}
