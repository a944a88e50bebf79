//! A server with TLS that tells what it saw of the handshake.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use crate::certificates::{Authority, Signed};
use crate::client::BOTH;
use crate::support::{RawOrigin, Response, read_head};

pub(crate) struct TlsOrigin(RawOrigin);

/// `clients`: who signs the certificates that clients must have.
pub(crate) fn server_config(own: &Signed, clients: Option<&Authority>) -> ServerConfig {
    server_config_of(BOTH, own, clients)
}

/// The same with these versions of TLS only.
pub(crate) fn server_config_of(
    versions: &[&'static SupportedProtocolVersion],
    own: &Signed,
    clients: Option<&Authority>,
) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(authority.roots(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    builder
        .with_single_cert(own.chain(), own.private_key())
        .unwrap()
}

impl TlsOrigin {
    pub(crate) fn start(own: &Signed) -> Self {
        Self::with(server_config(own, None))
    }

    pub(crate) fn with(config: ServerConfig) -> Self {
        let config = Arc::new(config);
        Self(RawOrigin::start(move |stream, number| {
            // A client that does not like the certificate leaves.
            let _end = serve(config.clone(), stream, number);
        }))
    }

    /// Behind a line of the PROXY protocol.
    pub(crate) fn introduced(own: &Signed) -> Self {
        let config = Arc::new(server_config(own, None));
        Self(RawOrigin::start(move |mut stream, number| {
            let mut line = Vec::new();
            while line.last() != Some(&b'\n') {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                line.extend(byte);
            }
            let is_check = line == b"PROXY UNKNOWN\r\n";
            assert!(
                is_check || line.starts_with(b"PROXY TCP4 127.0.0.1 "),
                "{line:?}"
            );
            let _end = serve(config.clone(), stream, number);
        }))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address()
    }

    pub(crate) fn connections(&self) -> usize {
        self.0.connections()
    }
}

fn serve(config: Arc<ServerConfig>, socket: &TcpStream, number: usize) -> std::io::Result<()> {
    let session = ServerConnection::new(config).unwrap();
    let mut reader = BufReader::new(StreamOwned::new(session, socket));
    while let Some((_, headers)) = read_head(&mut reader)? {
        if headers.has("upgrade") {
            reader.get_mut().write_all(AGREE)?;
            return echo(&mut reader);
        }
        let session = &reader.get_ref().conn;
        let body = json!({
            "connection": number,
            "name": session.server_name(),
            "client": session.peer_certificates().map(|chain| chain[0].to_vec()),
            "resumed": session.handshake_kind() == Some(tokio_rustls::rustls::HandshakeKind::Resumed),
            "host": headers.first("host"),
            "scheme": headers.first("x-forwarded-proto"),
        })
        .to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        reader.get_mut().write_all(answer.as_bytes())?;
    }
    Ok(())
}

const AGREE: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Sends each line back in capitals, until the end.
fn echo(stream: &mut BufReader<StreamOwned<ServerConnection, &TcpStream>>) -> std::io::Result<()> {
    let mut line = String::new();
    while stream.read_line(&mut line)? > 0 {
        let answer = line.to_uppercase();
        stream.get_mut().write_all(answer.as_bytes())?;
        line.clear();
    }
    Ok(())
}

/// What the server saw, as told to a client.
pub(crate) fn told(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    serde_json::from_str(&response.text()).unwrap()
}
