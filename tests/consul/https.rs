//! Consul over https: asked where its certificate descends from what the system trusts, and nowhere else.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{WEB, addresses, get, key, servers, wait_for_servers, wait_for_state};
use crate::support::{
    Consul, Edge, EdgeBuilder, Origin, RawOrigin, read_announced_body, read_head,
};

/// What stands before Consul: takes TLS off, and passes question and answer on.
struct Front {
    listening: RawOrigin,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Front {
    /// With a certificate for `name`, signed by an authority of its own.
    fn of(consul: &Consul, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(params, authority).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &authority).unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], private)
            .unwrap();
        let (config, to) = (Arc::new(config), consul.address());
        let listening = RawOrigin::start(move |stream, _| {
            // Either side may leave at any time.
            let _end = pass_on(config.clone(), stream, to);
        });
        Self {
            listening,
            authority,
        }
    }

    /// The group `web` from here.
    fn edge(&self) -> EdgeBuilder {
        let url = format!("https://{}{WEB}", self.listening.address());
        let web = json!({ "source": { "consul": url } });
        Edge::builder()
            .with(&json!({ "upstreams": { "web": web } }).to_string())
            .route("*", "web")
    }

    /// The same, by a node on whose system this authority is trusted and no other.
    fn trusted_edge(&self) -> EdgeBuilder {
        let builder = self.edge();
        let file = builder.directory().join("authorities.pem");
        std::fs::write(&file, self.authority.pem()).unwrap();
        trusting(builder, &file)
    }
}

fn trusting(builder: EdgeBuilder, file: &Path) -> EdgeBuilder {
    builder
        .environment("SSL_CERT_FILE", &file.display().to_string())
        .environment("SSL_CERT_DIR", "")
}

fn pass_on(config: Arc<ServerConfig>, socket: &TcpStream, to: SocketAddr) -> io::Result<()> {
    let session = ServerConnection::new(config).unwrap();
    let mut client = BufReader::new(StreamOwned::new(session, socket));
    let mut consul = BufReader::new(TcpStream::connect(to)?);
    while let Some((first, headers)) = read_head(&mut client)? {
        let mut question = format!("{first}\r\n");
        for name in ["host", "x-consul-token"] {
            if let Some(value) = headers.first(name) {
                question += &format!("{name}: {value}\r\n");
            }
        }
        consul
            .get_mut()
            .write_all(format!("{question}\r\n").as_bytes())?;
        let Some((first, headers)) = read_head(&mut consul)? else {
            return Ok(());
        };
        let body = read_announced_body(&mut consul, &headers)?.unwrap_or_default();
        let index = headers.first("x-consul-index").unwrap_or("0");
        let length = body.len();
        let head =
            format!("{first}\r\nX-Consul-Index: {index}\r\nContent-Length: {length}\r\n\r\n");
        client
            .get_mut()
            .write_all(&[head.as_bytes(), &body].concat())?;
        client.get_mut().flush()?;
    }
    Ok(())
}

#[test]
fn consul_over_https_is_followed_by_one_connection() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    consul.put(&key(&origins[0]), "");
    let front = Front::of(&consul, "127.0.0.1");
    let edge = front.trusted_edge().start();
    assert_eq!(servers(&edge), addresses(&origins[..1]));
    consul.put(&key(&origins[1]), "");
    wait_for_servers(&edge, &addresses(&origins));
    assert_eq!(get(&edge), 200);
    assert_eq!(front.listening.connections(), 1);
}

#[test]
fn a_consul_whose_certificate_is_not_trusted_is_not_asked() {
    let consul = Consul::start();
    let origins = Origin::many(1);
    consul.put(&key(&origins[0]), "");
    let (front, other) = (
        Front::of(&consul, "127.0.0.1"),
        Front::of(&consul, "127.0.0.1"),
    );
    let builder = front.edge();
    let file = builder.directory().join("authorities.pem");
    std::fs::write(&file, other.authority.pem()).unwrap();
    let edge = trusting(builder, &file).start();
    let said = wait_for_state(&edge, "failing");
    println!("{said}");
    assert_eq!(servers(&edge), Vec::<String>::new());
    assert!(consul.asked().is_empty(), "{:?}", consul.asked());
}

#[test]
fn a_consul_whose_certificate_is_anothers_is_not_asked() {
    let consul = Consul::start();
    let origins = Origin::many(1);
    consul.put(&key(&origins[0]), "");
    let front = Front::of(&consul, "consul.internal");
    let edge = front.trusted_edge().start();
    let said = wait_for_state(&edge, "failing");
    println!("{said}");
    assert!(consul.asked().is_empty(), "{:?}", consul.asked());
}
