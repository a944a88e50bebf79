//! A client with TLS that tells what the handshake came to.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, HandshakeKind, SupportedProtocolVersion,
};

use crate::certificates::{Authority, Signed};
use crate::support::PATIENCE;

pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Trusts the authority; its sessions are kept for as long as it lives.
#[derive(Clone)]
pub(crate) struct TlsClient {
    config: ClientConfig,
    pub(crate) name: String,
}

pub(crate) struct Shaken {
    pub(crate) kind: HandshakeKind,
    pub(crate) protocol: Option<Vec<u8>>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) version: tokio_rustls::rustls::ProtocolVersion,
    /// All of the response to `GET /`, where HTTP/1.1 was agreed on.
    pub(crate) response: String,
}

impl TlsClient {
    pub(crate) fn new(
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        own: Option<&Signed>,
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(authority.roots());
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => builder
                .with_client_auth_cert(own.chain(), own.private_key())
                .unwrap(),
        };
        Self {
            config,
            name: "a.example".to_owned(),
        }
    }

    pub(crate) fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    pub(crate) fn offers(mut self, protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        self.config.alpn_protocols = protocols.collect();
        self
    }

    pub(crate) fn without_name(mut self) -> Self {
        self.config.enable_sni = false;
        self
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::new(self.config.clone())
    }

    /// Shakes hands and asks for `/`, if that is HTTP/1.1.
    pub(crate) fn visit(&self, address: SocketAddr) -> io::Result<Shaken> {
        self.visit_after(address, b"")
    }

    /// The same behind these bytes without TLS.
    pub(crate) fn visit_after(&self, address: SocketAddr, before: &[u8]) -> io::Result<Shaken> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(before)?;
        let name = ServerName::try_from(self.name.clone()).unwrap();
        let mut session = ClientConnection::new(self.config(), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        let protocol = session.alpn_protocol().map(<[u8]>::to_vec);
        let mut shaken = Shaken {
            kind: session.handshake_kind().unwrap(),
            certificate: session.peer_certificates().unwrap()[0].clone().into_owned(),
            version: session.protocol_version().unwrap(),
            response: String::new(),
            protocol,
        };
        if shaken.protocol.as_deref() != Some(b"h2") {
            let mut stream = tokio_rustls::rustls::Stream::new(&mut session, &mut socket);
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
            stream.read_to_string(&mut shaken.response)?;
        }
        Ok(shaken)
    }
}
