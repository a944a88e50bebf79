//! `/list`, `/detail` and `/upstream/{name}` of ngx_http_dyups_module, as its last release before the
//! rewrite and Tengine answer them: whole groups, written as the contents of nginx's `upstream {}` blocks.
//!
//! No answer has a Content-Type. Of a body that fails the caller hears that alone; the log has the reason.

use std::fmt::Write;

use axum::http::{Method, StatusCode};

use super::super::api::Api;
use super::call::{Call, Refused, one_line};
use super::page;
use super::servers::whole_seconds;
use crate::change::Change;
use crate::domain::snapshot::Snapshot;
use crate::domain::upstream::Upstream;
use crate::nginx::{Taken, UpstreamBlock};
use crate::ports::legacy::LegacyAnswer;
use crate::spec::{Address, Admin, Name, ServerSpec};

/// The first segment counts, whatever its case; paths of other interfaces begin with other words.
pub(super) fn claims(path: &str) -> bool {
    let first = segments(path).next().unwrap_or_default();
    ["list", "detail", "upstream"]
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word))
}

pub(super) async fn answer(api: &Api, call: &Call) -> LegacyAnswer {
    let request = &call.request;
    match Asked::of(&request.method, &request.path) {
        Asked::List => page(api, list).await,
        Asked::Detail => page(api, detail).await,
        Asked::Servers(name) => servers(&api.snapshot(), name),
        Asked::Replace(name) => replace(api, call, name).await,
        Asked::Delete(name) => delete(api, call, name).await,
        Asked::Nothing(status, text) => said(status, text),
    }
}

/// What a method and a path mean together.
enum Asked<'a> {
    List,
    Detail,
    Servers(&'a str),
    Replace(&'a str),
    Delete(&'a str),
    Nothing(StatusCode, &'static str),
}

impl<'a> Asked<'a> {
    fn of(method: &Method, path: &'a str) -> Self {
        let mut segments = segments(path);
        let first = segments.next().unwrap_or_default();
        let (name, more) = (segments.next(), segments.next());
        let is = |word: &str| first.eq_ignore_ascii_case(word);
        // The one place where a group is named by a path.
        let named = match (name, more) {
            (Some(name), None) if is("upstream") => Ok(name),
            (Some(_), None) => Err("not support this api"),
            _ => Err("not support this interface"),
        };
        match (method, named) {
            (&Method::GET, _) if is("list") => Self::List,
            (&Method::GET, _) if is("detail") => Self::Detail,
            (&Method::GET, Ok(name)) => Self::Servers(name),
            (&Method::GET, Err(_)) => Self::Nothing(StatusCode::NOT_FOUND, ""),
            (&Method::POST, Ok(name)) => Self::Replace(name),
            (&Method::POST, Err(text)) => Self::Nothing(StatusCode::NOT_FOUND, text),
            (&Method::DELETE, Ok(name)) => Self::Delete(name),
            (&Method::DELETE, Err(text)) => Self::Nothing(StatusCode::METHOD_NOT_ALLOWED, text),
            _ => Self::Nothing(StatusCode::METHOD_NOT_ALLOWED, ""),
        }
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

async fn page(api: &Api, write: fn(&Snapshot) -> String) -> LegacyAnswer {
    let mut answer = page::made(api, None, write).await;
    if answer.status == StatusCode::OK && answer.body.is_empty() {
        answer.status = StatusCode::NO_CONTENT;
    }
    answer
}

fn list(snapshot: &Snapshot) -> String {
    let names = snapshot
        .upstreams()
        .map(|upstream| upstream.name().as_str());
    names.flat_map(|name| [name, "\n"]).collect()
}

fn detail(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for upstream in snapshot.upstreams() {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{}", upstream.name());
        // As they can be posted again: names as names.
        for server in &upstream.spec().servers {
            let _ = line(&mut text, server);
        }
        text.push('\n');
    }
    text
}

fn line(text: &mut String, server: &ServerSpec) -> std::fmt::Result {
    let ServerSpec {
        address,
        weight,
        max_connections,
        max_fails,
        fail_timeout,
        ..
    } = server;
    let seconds = whole_seconds(*fail_timeout);
    let backup = u8::from(server.backup);
    // To nginx a server that takes nothing new is down.
    let down = u8::from(server.wanted() != Admin::Up);
    write!(
        text,
        "server {address} weight={weight} max_conns={max_connections} "
    )?;
    write!(text, "max_fails={max_fails} fail_timeout={seconds} ")?;
    writeln!(text, "backup={backup} down={down}")
}

fn servers(snapshot: &Snapshot, name: &str) -> LegacyAnswer {
    let found = Name::new(name).ok();
    let found = found.as_ref().and_then(|name| snapshot.upstream(name));
    let line = |upstream: &Upstream| {
        let servers = upstream.spec().servers.iter();
        servers
            .map(|server| format!("server {}\n", server.address))
            .collect::<String>()
    };
    match found {
        Some(upstream) => said(StatusCode::OK, line(upstream)),
        None => said(StatusCode::NOT_FOUND, ""),
    }
}

/// Creates or replaces the group. Whatever is wrong, the old one stays.
async fn replace(api: &Api, call: &Call, name: &str) -> LegacyAnswer {
    let refused = match known(api, call, name).await {
        Ok((name, taken)) => {
            let changes = |snapshot: &Snapshot| put(snapshot, &name, &taken);
            match call.submit_upon(api, &name, changes).await {
                Ok(done) => {
                    done.warnings
                        .iter()
                        .for_each(|told| log::info!("dyups: {told}"));
                    return said(StatusCode::OK, "success");
                }
                Err(refused) => refused,
            }
        }
        Err(detail) => Refused::bad(&detail),
    };
    let (path, source) = (one_line(&call.request.path), call.source());
    log::warn!(
        "dyups: POST {path} from {source} is refused: {}",
        refused.detail
    );
    passing(&refused)
        .unwrap_or_else(|| said(StatusCode::INTERNAL_SERVER_ERROR, "add server failed"))
}

/// A group that was there keeps what a block cannot say, and goes by the name as it is written now.
fn put(snapshot: &Snapshot, name: &Name, taken: &Taken) -> Vec<Change> {
    let old = snapshot.upstream(name);
    let renamed = old.filter(|old| old.name().as_str() != name.as_str());
    let delete = renamed.map(|old| Change::DeleteUpstream {
        name: old.name().clone(),
    });
    let upstream = match old {
        Some(old) => taken.in_place_of(old.spec()),
        None => taken.upstream.clone(),
    };
    let name = name.clone();
    let put = Change::PutUpstream { name, upstream };
    delete.into_iter().chain([put]).collect()
}

/// The group that the body describes, if DNS knows the names in it, as nginx demands; or why there is none.
async fn known(api: &Api, call: &Call, name: &str) -> Result<(Name, Taken), String> {
    let (name, taken) = taken(call, name)?;
    let snapshot = api.snapshot();
    let is_new = |address: &Address| {
        let named = snapshot.names().get(address);
        address.is_name() && named.is_none_or(|named| named.resolved().is_none())
    };
    let servers = taken.upstream.servers.iter();
    let addresses = servers.map(|server| &server.address);
    let new: Vec<Address> = addresses
        .filter(|address| is_new(address))
        .cloned()
        .collect();
    drop(snapshot);
    api.lookup.are_known(&new).await?;
    Ok((name, taken))
}

/// The group that the body describes, or why there is none.
fn taken(call: &Call, name: &str) -> Result<(Name, Taken), String> {
    let name = Name::new(name).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&call.request.body);
    let text = text.map_err(|error| format!("the body is no text in UTF-8: {error}"))?;
    let taken = UpstreamBlock::parse(text)
        .map_err(|error| error.to_string())?
        .taken();
    let (ignored, refused): (Vec<_>, Vec<_>) = taken.gaps.iter().partition(|gap| gap.is_harmless);
    if !refused.is_empty() {
        let reasons: Vec<String> = refused.iter().map(|gap| gap.to_string()).collect();
        return Err(reasons.join("; "));
    }
    for gap in ignored {
        log::info!("dyups: upstream `{name}`: ignored: {gap}");
    }
    Ok((name, taken))
}

/// Deletes the group, also while routes lead to it: their hosts then get 502, as in the original.
async fn delete(api: &Api, call: &Call, name: &str) -> LegacyAnswer {
    let unknown = || said(StatusCode::NOT_FOUND, "not found uptream");
    let Ok(name) = Name::new(name) else {
        return unknown();
    };
    let change = Change::DeleteUpstream { name };
    match call.submit_leniently(api, |_| vec![change.clone()]).await {
        Ok(done) => {
            done.warnings
                .iter()
                .for_each(|told| log::warn!("dyups: {told}"));
            said(StatusCode::OK, "success")
        }
        Err(refused) if refused.status == StatusCode::NOT_FOUND => unknown(),
        Err(refused) => passing(&refused)
            .unwrap_or_else(|| said(StatusCode::INTERNAL_SERVER_ERROR, refused.detail)),
    }
}

/// Refusals that are no matter of the body: too much at once, which the original says of its lock, no
/// right to it, a store that is away.
fn passing(refused: &Refused) -> Option<LegacyAnswer> {
    match refused.status {
        StatusCode::TOO_MANY_REQUESTS => Some(said(StatusCode::CONFLICT, "wait and try again\n")),
        StatusCode::FORBIDDEN => Some(said(StatusCode::FORBIDDEN, refused.detail.clone())),
        _ if refused.is_later() => Some(said(refused.status, refused.detail.clone())),
        _ => None,
    }
}

fn said(status: StatusCode, text: impl Into<String>) -> LegacyAnswer {
    LegacyAnswer {
        status,
        content_type: None,
        body: text.into().into(),
    }
}
