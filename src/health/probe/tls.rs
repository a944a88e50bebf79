use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};

use super::raw::{self, Open, Wire};
use super::{Failure, Named};
use crate::health::check::Security;
use crate::ports::server_tls::{CONNECTOR, ServerTls};

/// Opens a connection that begins with these bytes and goes on with a handshake, as one of a request would: by
/// Pingora's connector, so that nothing is trusted here that is not trusted there.
pub(super) async fn connect(
    target: &SocketAddr,
    first: &[u8],
    security: &Security,
    own_name: Option<&Named>,
    is_http2: bool,
) -> Result<Box<dyn Wire>, Failure> {
    let name = security
        .name
        .clone()
        .or_else(|| own_name.map(|it| it.0.to_string()));
    let name = name.unwrap_or_else(|| match target {
        SocketAddr::Inet(address) => address.ip().to_string(),
        SocketAddr::Unix(_) => String::new(),
    });
    let mut peer = match target {
        SocketAddr::Inet(address) => HttpPeer::new(address, true, name),
        SocketAddr::Unix(address) => {
            let path = address.as_pathname().and_then(Path::to_str).unwrap_or("");
            HttpPeer::new_uds(path, true, name).map_err(|error| failure(&error))?
        }
    };
    match &security.tls {
        Some(tls) => ServerTls::secure(&mut peer, tls).map_err(Failure::Tls)?,
        None if peer.sni.is_empty() => return Err(Failure::Tls(NO_NAME.to_owned())),
        None => {}
    }
    let version = if is_http2 { 2 } else { 1 };
    peer.options.set_http_version(version, version);
    peer.options.custom_l4 = Some(Arc::new(Beginning(first.to_vec())));
    match CONNECTOR.new_stream(&peer).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(failure(&error)),
    }
}

const NO_NAME: &str = "no name to verify: set `health.sni`";

/// What a connection begins with, before the handshake.
#[derive(Debug)]
struct Beginning(Vec<u8>);

#[async_trait]
impl Connect for Beginning {
    async fn connect(&self, target: &SocketAddr) -> Result<Stream> {
        let opened = raw::open(target, &self.0).await;
        opened.map(Open::into_stream).map_err(|failure| {
            let kind = match failure {
                Failure::Refused => ErrorType::ConnectRefused,
                Failure::NoRoute => ErrorType::ConnectNoRoute,
                _ => ErrorType::ConnectError,
            };
            Error::explain(kind, failure.to_string())
        })
    }
}

/// Pingora keeps of rustls's error nothing but its text, between words of its own.
fn failure(error: &Error) -> Failure {
    let text = error
        .context
        .as_ref()
        .map_or("", |context| context.as_str());
    match error.etype() {
        ErrorType::ConnectRefused => Failure::Refused,
        ErrorType::ConnectNoRoute => Failure::NoRoute,
        ErrorType::ConnectError => {
            Failure::Connect(text.trim_start_matches("connect failed: ").to_owned())
        }
        _ => {
            let text = text.strip_prefix("TLS connect() failed: ").unwrap_or(text);
            let text = text.rsplit_once(", SNI: ").map_or(text, |(text, _)| text);
            let text = match text {
                "" => error.root_cause().to_string(),
                text => text.to_owned(),
            };
            let cause = text.rsplit_once(" cause: ").map(|(_, cause)| cause);
            Failure::Tls(cause.unwrap_or(&text).trim().to_owned())
        }
    }
}
