//! HTTP/2 to servers over TLS: agreed on by ALPN, or not spoken at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use http::Response;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::certificates::{Authority, replace};
use crate::origin::{TlsOrigin, server_config};
use crate::support::{Edge, Port};

/// Speaks HTTP/2 over TLS and answers with the request's URI.
pub(crate) struct H2TlsOrigin {
    address: SocketAddr,
    _port: Port,
    _stop: oneshot::Sender<()>,
}

impl H2TlsOrigin {
    fn start(config: ServerConfig) -> Self {
        Self::serving(Arc::new(config), serve)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Each connection is served by this.
    pub(crate) fn serving<F>(
        config: Arc<ServerConfig>,
        serve: impl Fn(TlsAcceptor, tokio::net::TcpStream) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let port = Port::reserve();
        let listener = port.listen();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel();
        let acceptor = TlsAcceptor::from(config);
        thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                let accept = async {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        tokio::spawn(serve(acceptor.clone(), stream));
                    }
                };
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: port.address(),
            _port: port,
            _stop: stop,
        }
    }
}

async fn serve(acceptor: TlsAcceptor, stream: tokio::net::TcpStream) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let head = Response::builder().body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        let uri = request.uri().to_string();
        stream.send_data(Bytes::from(uri), true).unwrap();
    }
}

fn edge_to(server: SocketAddr, authority: &Authority) -> Edge {
    let builder = Edge::builder().route("*", "web");
    let ca = builder.directory().join("ca.pem");
    replace(&ca, &authority.pem());
    let tls = format!("{{ ca: '{}' }}", ca.display());
    let web = format!("{{ servers: ['{server}'], protocol: h2, tls: {tls} }}");
    builder
        .with(&format!("upstreams: {{ web: {web} }}"))
        .start()
}

#[test]
fn http_2_over_tls_is_agreed_on_by_alpn() {
    let authority = Authority::new();
    let mut config = server_config(&authority.sign(&["a.example"]), None);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let origin = H2TlsOrigin::start(config);
    let edge = edge_to(origin.address, &authority);
    let mut client = edge.client().host("a.example");
    for _ in 0..3 {
        let response = client.get("/path", &[]);
        assert_eq!(response.text(), "https://a.example/path");
    }
}

#[test]
fn a_server_that_does_not_agree_gets_no_request() {
    let authority = Authority::new();
    for offered in [&[][..], &[b"http/1.1".to_vec()]] {
        let mut config = server_config(&authority.sign(&["a.example"]), None);
        config.alpn_protocols = offered.to_vec();
        let origin = TlsOrigin::with(config);
        let edge = edge_to(origin.address(), &authority);
        let response = edge.client().host("a.example").get("/path", &[]);
        assert_eq!(response.text(), "502 upstream_tls\n");
        assert_eq!(edge.record("/path")["reason"], "upstream_tls");
    }
}
