//! Who gets in. In this order: the client's address, the Host header (against DNS rebinding), the
//! origin (against requests that a page in a browser makes), the token.
//!
//! `/healthz` and `/readyz` need no token. On a Unix socket the Host header says nothing: no browser
//! gets there.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER, WWW_AUTHENTICATE,
};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::api::Api;
use super::attempts::Attempts;
use super::caller::Caller;
use super::problem::{Code, Problem};
use super::settings::{ControlSettings, Place, Token};

/// The connection that a request came over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connection {
    /// The client's address; none on a Unix socket.
    pub(super) source: Option<IpAddr>,
    /// Our end of it.
    pub(super) local: Option<IpAddr>,
    /// Whether it is encrypted.
    pub(super) is_tls: bool,
}

/// The settings that decide who gets in.
pub(super) struct Protection {
    settings: ControlSettings,
    tokens: Vec<Arc<Token>>,
    attempts: Attempts,
}

/// Admits a request, with its [`Caller`], or answers why not.
pub(super) async fn admit(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match api.protection.caller(&parts, Instant::now()) {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl Protection {
    pub(super) fn new(settings: &ControlSettings) -> Self {
        Self {
            settings: settings.clone(),
            tokens: settings.tokens.iter().cloned().map(Arc::new).collect(),
            attempts: Attempts::default(),
        }
    }

    fn caller(&self, request: &Parts, now: Instant) -> Result<Caller, Problem> {
        let Some(connection) = request.extensions.get::<Connection>() else {
            return Err(Problem::new(Code::Internal, "the connection is not known"));
        };
        self.check_source(connection)?;
        self.check_host(request, connection)?;
        check_origin(&request.headers, connection)?;
        let token = match request.uri.path() {
            "/healthz" | "/readyz" => None,
            _ => self.token(&request.headers, connection, now)?,
        };
        let source = connection.source.map(|source| source.to_string());
        Ok(Caller {
            token,
            source: source.unwrap_or_else(|| "unix".to_owned()),
        })
    }

    fn check_source(&self, connection: &Connection) -> Result<(), Problem> {
        match (connection.source, &self.settings.place) {
            (None, Place::Unix(_)) => Ok(()),
            (Some(source), _) if self.settings.allow.iter().any(|net| net.contains(&source)) => {
                Ok(())
            }
            (source, _) => Err(forbidden(format_args!(
                "{} is not in `control.allow`",
                source.map_or_else(|| "this client".to_owned(), |source| source.to_string())
            ))),
        }
    }

    fn check_host(&self, request: &Parts, connection: &Connection) -> Result<(), Problem> {
        if connection.source.is_none() {
            return Ok(());
        }
        let mut hosts = request.headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Problem::new(
                Code::InvalidRequest,
                "one Host header is needed",
            ));
        };
        let named = |host: &Authority| self.is_own_host(host.host(), connection);
        let header = authority(host);
        let in_target = request.uri.authority();
        if header.as_ref().is_some_and(named) && in_target.is_none_or(named) {
            return Ok(());
        }
        Err(forbidden(
            "the Host header names another host: use the listener's address or `localhost`, or list the name in `control.hosts`",
        ))
    }

    fn is_own_host(&self, host: &str, connection: &Connection) -> bool {
        let host = host.to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(ip) => self
                .settings
                .place
                .covers(ip.to_canonical(), connection.local),
            Err(_) => host == "localhost" || self.settings.hosts.contains(&host),
        }
    }

    fn token(
        &self,
        headers: &HeaderMap,
        connection: &Connection,
        now: Instant,
    ) -> Result<Option<Arc<Token>>, Problem> {
        if self.tokens.is_empty() && self.settings.place.is_local() {
            return Ok(None);
        }
        let Some(given) = bearer(headers) else {
            let detail = "send a token: `Authorization: Bearer TOKEN`";
            return Err(unauthorized(detail, r#"Bearer realm="pointsman""#));
        };
        if let Some(token) = self.known(given) {
            return Ok(Some(token));
        }
        // A good token has passed already: whoever guesses must not lock out those behind its address.
        if let Some(source) = connection.source {
            if let Some(wait) = self.attempts.wait(source, now) {
                let seconds = u16::try_from(wait.as_secs() + 1).unwrap_or(u16::MAX);
                let detail = "too many wrong tokens came from this address";
                return Err(Problem::new(Code::TooManyAttempts, detail).retry_after(seconds));
            }
            log::warn!("a wrong token came from {source}");
            self.attempts.wrong(source, now);
        }
        let challenge = r#"Bearer realm="pointsman", error="invalid_token""#;
        Err(unauthorized("this token is not known", challenge))
    }

    /// Compares with every token and always to the end, so that the time tells nothing.
    fn known(&self, given: &[u8]) -> Option<Arc<Token>> {
        let sum: [u8; 32] = Sha256::digest(given).into();
        let mut found = None;
        for token in &self.tokens {
            if bool::from(sum.ct_eq(&token.sha256)) {
                found = Some(token.clone());
            }
        }
        found
    }
}

/// The token of the one Authorization header (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

/// Browsers say where a request comes from. Ours come from our own pages or from nowhere.
fn check_origin(headers: &HeaderMap, connection: &Connection) -> Result<(), Problem> {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    let fits = |site: &HeaderValue| site == "same-origin" || site == "none";
    let mut origins = headers.get_all(ORIGIN).iter();
    let host = headers.get(HOST).and_then(authority);
    let own = |origin: &HeaderValue| is_own_origin(origin, host.as_ref(), connection.is_tls);
    if sites.all(fits) && origins.all(own) {
        return Ok(());
    }
    Err(forbidden(
        "this request comes from a page of another origin",
    ))
}

/// For changes by GET, which a link or an image on any page can make: browsers that do not send
/// `Sec-Fetch-Site` still say which page it was.
pub(super) fn check_referer(headers: &HeaderMap, connection: &Connection) -> Result<(), Problem> {
    let host = headers.get(HOST).and_then(authority);
    let own = |referer: &HeaderValue| {
        let origin = referer.to_str().ok().and_then(origin_of);
        origin.is_some_and(|origin| is_own_origin(&origin, host.as_ref(), connection.is_tls))
    };
    if headers.get_all(REFERER).iter().all(own) {
        return Ok(());
    }
    Err(forbidden(
        "this request comes from a page of another origin",
    ))
}

/// `scheme://host:port` of an address.
fn origin_of(address: &str) -> Option<HeaderValue> {
    let (scheme, rest) = address.split_once("://")?;
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    HeaderValue::try_from(format!("{scheme}://{place}")).ok()
}

fn is_own_origin(origin: &HeaderValue, host: Option<&Authority>, is_tls: bool) -> bool {
    let (scheme, port) = if is_tls { ("https", 443) } else { ("http", 80) };
    let origin = origin.to_str().ok().and_then(|text| text.split_once("://"));
    let (Some((theirs, place)), Some(host)) = (origin, host) else {
        return false;
    };
    let Ok(place) = place.parse::<Authority>() else {
        return false;
    };
    let ports = (
        place.port_u16().unwrap_or(port),
        host.port_u16().unwrap_or(port),
    );
    theirs == scheme && place.host().eq_ignore_ascii_case(host.host()) && ports.0 == ports.1
}

fn authority(value: &HeaderValue) -> Option<Authority> {
    let text = value.to_str().ok()?;
    text.parse().ok().filter(|_| !text.contains('@'))
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

fn forbidden(detail: impl std::fmt::Display) -> Problem {
    Problem::new(Code::Forbidden, detail)
}

fn unauthorized(detail: &str, challenge: &'static str) -> Problem {
    Problem::new(Code::Unauthorized, detail)
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}
