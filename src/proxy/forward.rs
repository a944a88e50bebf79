use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use ipnet::IpNet;
use pingora_core::ErrorType::InternalError;
use pingora_core::{OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::{RequestCtx, hop_by_hop, sticky};
use crate::domain::server::Server;
use crate::domain::upstream::Upstream;
use crate::spec::HostHeader;

// For reading the name, which has its hash; for setting the text, which Pingora need not copy.
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Who sent a request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Client {
    /// The client: the sender, or whom a trusted sender names. None on a Unix socket.
    pub(super) address: Option<IpAddr>,
    /// The other end of the connection.
    pub(super) sender: Option<IpAddr>,
    /// Whether the sender's forwarding headers are believed.
    pub(super) is_trusted: bool,
}

/// Who sent a request: with a trusted sender the last address in X-Forwarded-For that is not
/// itself a trusted proxy's (nginx: `real_ip_recursive on`).
pub(super) fn client(session: &Session, trusted: &[IpNet]) -> Client {
    let sender = session
        .client_addr()
        .and_then(|address| address.as_inet())
        .map(|address| address.ip().to_canonical());
    let is_trusted_address =
        |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let is_trusted = sender.as_ref().is_some_and(is_trusted_address);
    let mut client = Client {
        address: sender,
        sender,
        is_trusted,
    };
    if is_trusted {
        let lines = session
            .req_header()
            .headers
            .get_all(X_FORWARDED_FOR)
            .iter()
            .rev();
        let named = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.rsplit(','));
        for text in named {
            let Ok(address) = text.trim().parse::<IpAddr>() else {
                break;
            };
            client.address = Some(address.to_canonical());
            if !is_trusted_address(&address.to_canonical()) {
                break;
            }
        }
    }
    client
}

/// The host that a request is for, as received: the target's authority, or the Host header. Empty if
/// there is none or it is no text.
pub(super) fn received_host(head: &RequestHeader) -> &str {
    match head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => head
            .headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default(),
    }
}

/// Whether the client asks for a WebSocket: the one protocol that is switched to. Such a request is a
/// GET without a body (RFC 6455 section 4.1).
pub(super) fn asks_for_websocket(session: &Session) -> bool {
    let head = session.req_header();
    let names = |name, word: &str| {
        let lines = head
            .headers
            .get_all(name)
            .iter()
            .filter_map(|line| line.to_str().ok());
        lines
            .flat_map(|line| line.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case(word))
    };
    head.version == Version::HTTP_11
        && head.headers.contains_key(UPGRADE)
        && head.method == Method::GET
        && !head.headers.contains_key(TRANSFER_ENCODING)
        && head
            .headers
            .get(CONTENT_LENGTH)
            .is_none_or(|length| length == "0")
        && names(UPGRADE, "websocket")
        && names(CONNECTION, "upgrade")
}

/// Sets what a server is told about the request. Hop-by-hop fields were removed before.
pub(super) fn request(
    session: &Session,
    request: &mut RequestHeader,
    ctx: &RequestCtx,
    scheme: &'static str,
) -> Result<()> {
    let (Some(upstream), Some(server)) = (&ctx.upstream, ctx.server()) else {
        return Ok(());
    };
    to_origin_form(request);
    if session.is_http2() && request.version != Version::HTTP_2 {
        join_cookies(request)?;
    }
    if let Some(sticky) = upstream.sticky() {
        sticky::hide(sticky, request)?;
    }
    let received = received_host_value(session.req_header())?;
    let text = received.as_ref().and_then(|host| host.to_str().ok());
    match host_for(upstream.host(), text.unwrap_or_default(), server.label()) {
        Some(host) => request.insert_header(HOST, &*host)?,
        // The target of HTTP/1 names none.
        None if request.uri.authority().is_some() => set(request, "Host", received.clone())?,
        None => {}
    }
    let Client {
        address,
        sender,
        is_trusted,
    } = ctx.client;
    let client = address.map(value_of).transpose()?;
    let list = match sender.filter(|_| is_trusted) {
        Some(sender) => Some(
            HeaderValue::try_from(forwarded_for(request, sender)).or_err(InternalError, "list")?,
        ),
        // Whoever is not trusted is the client itself.
        None => client.clone(),
    };
    if let Some(sender) = sender.filter(|_| is_trusted) {
        extend_forwarded(request, sender)?;
    }
    set(request, "X-Real-IP", client)?;
    set(request, "X-Forwarded-For", list)?;
    if !is_trusted || !request.headers.contains_key(X_FORWARDED_PROTO) {
        request.insert_header("X-Forwarded-Proto", HeaderValue::from_static(scheme))?;
    }
    if !is_trusted || !request.headers.contains_key(X_FORWARDED_HOST) {
        set(request, "X-Forwarded-Host", received)?;
    }
    if !is_trusted {
        drop_believed(request);
    }
    request.insert_header("X-Request-ID", ctx.request_id.value())?;
    if !upstream.keeps_connections() && request.version != Version::HTTP_2 {
        request.insert_header(CONNECTION, HeaderValue::from_static("close"))?;
    }
    Ok(())
}

/// Adds a trusted sender to its own `Forwarded`, if it sends one (RFC 7239 section 4): beside it, X-Forwarded-For is what
/// servers get in any case.
fn extend_forwarded(request: &mut RequestHeader, sender: IpAddr) -> Result<()> {
    if !request.headers.contains_key(FORWARDED) {
        return Ok(());
    }
    let element = match sender {
        IpAddr::V4(sender) => format!("for={sender}"),
        IpAddr::V6(sender) => format!("for=\"[{sender}]\""),
    };
    let element = HeaderValue::try_from(element).or_err(InternalError, "forwarded")?;
    request.append_header(FORWARDED, element).map(|_| ())
}

/// What else servers believe of a client: removed where nobody who is trusted has said it (RFC 7239 section 8.1).
/// `Proxy` becomes the variable by which programs behind CGI choose a proxy (CVE-2016-5385).
fn drop_believed(request: &mut RequestHeader) {
    // One look at each name that is there: most requests have none of these.
    while let Some(name) = request.headers.keys().find(|name| is_believed(name)) {
        let name = name.clone();
        request.remove_header(&name);
    }
}

fn is_believed(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "forwarded"
            | "x-forwarded"
            | "x-forwarded-port"
            | "x-forwarded-prefix"
            | "x-forwarded-protocol"
            | "x-forwarded-scheme"
            | "x-forwarded-server"
            | "x-forwarded-ssl"
            | "front-end-https"
            | "x-client-ip"
            | "true-client-ip"
            | "x-original-url"
            | "x-rewrite-url"
            | "proxy"
    )
}

/// HTTP/2 splits cookies; servers of HTTP/1.1 must get them in one line (RFC 9113 section 8.2.3).
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    let crumbs = request.headers.get_all(COOKIE);
    if crumbs.iter().nth(1).is_none() {
        return Ok(());
    }
    let crumbs: Vec<&[u8]> = crumbs.iter().map(HeaderValue::as_bytes).collect();
    let whole =
        HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).or_err(InternalError, "cookies")?;
    request.insert_header(COOKIE, whole)
}

/// Whether a trusted sender says that the client spoke TLS.
pub(super) fn came_by_https(head: &RequestHeader, ctx: &RequestCtx) -> bool {
    let named = head.headers.get(X_FORWARDED_PROTO);
    ctx.client.is_trusted && named.is_some_and(|scheme| scheme == "https")
}

/// A target in absolute-form is for proxies: servers get the path alone (RFC 9112 section 3.2.1), as
/// from nginx. Pingora has checked that its authority is the Host.
pub(super) fn to_origin_form(request: &mut RequestHeader) {
    let is_absolute = !matches!(request.raw_path().first(), Some(b'/' | b'*'));
    if is_absolute && request.raw_path_is_utf8() {
        request.set_uri(request.uri.clone());
    }
}

/// The Host header to send; none leaves the received one as it is. A request without a Host
/// (HTTP/1.0) gets the server's address: HTTP/1.1 servers must refuse one without.
fn host_for<'a>(rule: &'a HostHeader, received: &'a str, server: &'a str) -> Option<Cow<'a, str>> {
    let lower = |host: &'a str| {
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        }
    };
    match rule {
        HostHeader::Fixed(name) => Some(Cow::Borrowed(name)),
        _ if received.is_empty() => Some(Cow::Borrowed(server)),
        HostHeader::WithoutPort => Some(lower(without_port(received))),
        HostHeader::Received => match lower(received) {
            Cow::Borrowed(_) => None,
            owned => Some(owned),
        },
    }
}

/// The Host header that a server will see.
pub(super) fn host_sent_on(head: &RequestHeader, upstream: &Upstream, server: &Server) -> String {
    let received = received_host(head);
    let sent = host_for(upstream.host(), received, server.label());
    sent.map_or_else(|| received.to_owned(), Cow::into_owned)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// The received host as a header: the Host itself, without a copy, where it is one.
fn received_host_value(head: &RequestHeader) -> Result<Option<HeaderValue>> {
    match head.uri.authority() {
        None => Ok(head
            .headers
            .get(HOST)
            .filter(|host| !host.is_empty())
            .cloned()),
        Some(authority) => {
            let value =
                HeaderValue::try_from(authority.as_str()).or_err(InternalError, "authority")?;
            Ok(Some(value))
        }
    }
}

fn value_of(address: IpAddr) -> Result<HeaderValue> {
    let value = match address {
        IpAddr::V4(address) => {
            // Each request pays for this: a quarter of what the formatter takes.
            let mut text = String::with_capacity(15);
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    text.push('.');
                }
                text.push_str(itoa::Buffer::new().format(octet));
            }
            HeaderValue::try_from(text)
        }
        IpAddr::V6(address) => HeaderValue::try_from(address.to_string()),
    };
    value.or_err(InternalError, "address")
}

fn set(request: &mut RequestHeader, name: &'static str, value: Option<HeaderValue>) -> Result<()> {
    match value {
        Some(value) => request.insert_header(name, value),
        None => {
            request.remove_header(name);
            Ok(())
        }
    }
}

/// A trusted sender's list with the sender itself appended.
fn forwarded_for(request: &RequestHeader, sender: IpAddr) -> String {
    let lines = request.headers.get_all(X_FORWARDED_FOR).iter();
    let mut list: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
    let sender = sender.to_string();
    list.push(&sender);
    list.join(", ")
}

/// Removes what concerns only the connection to the server (RFC 9110 section 7.6.1). Transfer-Encoding
/// stays: Pingora frames by it.
pub(super) fn response(session: &mut Session, response: &mut ResponseHeader) {
    if response.version == Version::HTTP_10 {
        // RFC 9112 section 2.3: the version is each connection's own.
        response.set_version(Version::HTTP_11);
    }
    if response.status != StatusCode::SWITCHING_PROTOCOLS {
        hop_by_hop::remove_from_response(response);
    }
    if response.status == StatusCode::NO_CONTENT {
        // RFC 9110 section 8.6: a server MUST NOT send Content-Length with 204.
        response.remove_header(&CONTENT_LENGTH);
    }
    // A client of HTTP/1.0 knows no chunks (RFC 9112 section 7.1): its body ends with the connection.
    let has_length = |response: &ResponseHeader| {
        response.headers.contains_key(CONTENT_LENGTH)
            || response.status == StatusCode::NO_CONTENT
            || response.status == StatusCode::NOT_MODIFIED
    };
    if session.req_header().version == Version::HTTP_10 && !has_length(response) {
        response.remove_header(&TRANSFER_ENCODING);
        session.set_keepalive(None);
    }
}
