use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use pingora_core::ErrorType::InternalError;
use pingora_core::{OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::{RequestCtx, forward, key};
use crate::clock;
use crate::domain::sticky::{Bound, Sticky};

/// The server that the client had before, if its cookie is sound.
pub(super) fn bound(sticky: &Sticky, head: &RequestHeader) -> Option<Bound> {
    let values = key::cookies(head, &sticky.spec().cookie);
    sticky.read(values, now())
}

/// The cookie is between the client and us: servers do not see it, however often it is there.
pub(super) fn hide(sticky: &Sticky, request: &mut RequestHeader) -> Result<()> {
    let name = &sticky.spec().cookie;
    if key::cookies(request, name).next().is_none() {
        return Ok(());
    }
    let lines: Vec<HeaderValue> = request.headers.get_all(COOKIE).iter().cloned().collect();
    request.remove_header(&COOKIE);
    for line in lines {
        let pairs = line.as_bytes().split(|b| *b == b';');
        let kept: Vec<&[u8]> = pairs
            .filter(|pair| key::cookie(pair, name).is_none())
            .collect();
        let kept = kept.join(&b';');
        if !kept.trim_ascii().is_empty() {
            let line =
                HeaderValue::from_bytes(kept.trim_ascii()).or_err(InternalError, "cookie")?;
            request.append_header(COOKIE, line)?;
        }
    }
    Ok(())
}

/// Binds the client to the server that has answered, unless it is bound to it already. A draining server
/// keeps the clients that it has for as long as their cookies last, and no longer.
pub(super) fn bind(
    response: &mut ResponseHeader,
    ctx: &RequestCtx,
    head: &RequestHeader,
    scheme: &str,
) -> Result<()> {
    let sticky = ctx.upstream.as_ref().and_then(|upstream| upstream.sticky());
    let (Some(sticky), Some(server)) = (sticky, ctx.server()) else {
        return Ok(());
    };
    let is_interim = response.status.is_informational();
    if is_interim && response.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let now = now();
    let is_same = |bound: &&Bound| {
        let had = sticky.server(bound.server);
        had.is_some_and(|had| had.id() == server.id())
    };
    if let Some(bound) = ctx.bound.as_ref().filter(is_same)
        && !(server.is_let() && sticky.is_old(bound, now))
    {
        return Ok(());
    }
    let max_age = sticky.spec().max_age_secs();
    let Some(value) = sticky.value(server, now.saturating_add(max_age)) else {
        return Ok(());
    };
    let secure = match scheme == "https" || forward::came_by_https(head, ctx) {
        true => "; Secure",
        false => "",
    };
    let name = &sticky.spec().cookie;
    let cookie =
        format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}");
    response.append_header(SET_COOKIE, cookie)?;
    Ok(())
}

/// In seconds since 1970: a cookie outlives this process.
fn now() -> u64 {
    clock::unix_ms() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Name, Spec};
    use std::sync::Arc;

    fn hidden(lines: &[&str]) -> Vec<String> {
        let spec = r#"{"upstreams": {"web": {"sticky": {"cookie": "srv", "secret_file": "s"}}}}"#;
        let spec: Spec = serde_json::from_str(spec).unwrap();
        let snapshot = crate::domain::snapshot::Snapshot::build(1, Arc::new(spec), None);
        let upstream = snapshot.upstream(&Name::new("web").unwrap()).unwrap();
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for line in lines {
            request.append_header("Cookie", *line).unwrap();
        }
        hide(upstream.sticky().unwrap(), &mut request).unwrap();
        let left = request.headers.get_all(COOKIE).iter();
        left.map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn only_the_cookie_itself_is_hidden() {
        for (given, left) in [
            (&["srv=1"][..], &[][..]),
            (&["a=b; srv=1; c=d"], &["a=b; c=d"]),
            (&["srv=1; a=b"], &["a=b"]),
            (&["a=b; srv=1"], &["a=b"]),
            (&["a=b;srv=1;srv=2", "srv=3", "c=d"], &["a=b", "c=d"]),
            (
                &["srvx=1; xsrv=2; srv; Srv=3"],
                &["srvx=1; xsrv=2; srv; Srv=3"],
            ),
            (&["a=\"x\";;  b"], &["a=\"x\";;  b"]),
        ] {
            assert_eq!(hidden(given), left, "{given:?}");
        }
    }
}
