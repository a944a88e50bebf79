use std::net::Ipv4Addr;

use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::RequestHeader;

use super::{Connector, Failure};

/// The status that a server answers to a GET. The body is not read: the connection just closes.
///
/// The head may have 1 MiB and 256 fields (Pingora's limits), which the caller's deadline bounds too.
pub(super) async fn get(
    connector: &Connector,
    target: &SocketAddr,
    path: &str,
    host: Option<&str>,
) -> Result<u16, Failure> {
    let request = request(target, path, host).map_err(|_| Failure::Unsendable)?;
    let mut peer = HttpPeer::new(ANYWHERE, false, String::new());
    peer._address = target.clone();
    let connected = connector.get_http_session(&peer).await;
    let (mut session, _) = connected.map_err(|error| failure(&error))?;
    let broken = |error: Box<Error>| failure(&error);
    session
        .write_request_header(Box::new(request))
        .await
        .map_err(broken)?;
    session.finish_request_body().await.map_err(broken)?;
    for _ in 0..=INTERIM {
        session.read_response_header().await.map_err(broken)?;
        let status = session.response_header().map(|head| head.status);
        match status {
            Some(status) if status.is_informational() && status != 101 => {}
            Some(status) => return Ok(status.as_u16()),
            None => break,
        }
    }
    Err(Failure::NotHttp)
}

fn request(target: &SocketAddr, path: &str, host: Option<&str>) -> Result<RequestHeader> {
    let address = || match target {
        SocketAddr::Inet(address) => address.to_string(),
        SocketAddr::Unix(_) => "localhost".to_owned(),
    };
    let mut request = RequestHeader::build("GET", path.as_bytes(), Some(FIELDS))?;
    request.insert_header("Host", host.map_or_else(address, str::to_owned))?;
    request.insert_header("User-Agent", USER_AGENT)?;
    request.insert_header("Connection", "close")?;
    Ok(request)
}

fn failure(error: &Error) -> Failure {
    let cause = || match &error.cause {
        Some(_) => error.root_cause().to_string(),
        None => error.reason_str().to_owned(),
    };
    match error.etype() {
        ErrorType::ConnectRefused => Failure::Refused,
        ErrorType::ConnectNoRoute => Failure::NoRoute,
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error => Failure::NotHttp,
        ErrorType::ConnectionClosed => Failure::Closed,
        ErrorType::ReadError | ErrorType::WriteError => Failure::Broken(cause()),
        _ => Failure::Connect(cause()),
    }
}

/// `HttpPeer::new` wants an IP address; the real one, which may be a Unix socket, replaces it.
const ANYWHERE: (Ipv4Addr, u16) = (Ipv4Addr::UNSPECIFIED, 0);
const FIELDS: usize = 3;
const USER_AGENT: &str = concat!("pointsman-health/", env!("CARGO_PKG_VERSION"));
/// Interim answers (100, 103) before the final one: more of them than this is no answer.
const INTERIM: usize = 8;
