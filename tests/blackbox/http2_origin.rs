//! A server that speaks HTTP/2 with prior knowledge and nothing else; the test serves each request.

use crate::support::{Edge, EdgeBuilder, Port};
use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, Request, Response};
use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use tokio::{net::TcpListener, sync::oneshot};

pub(crate) struct H2Origin {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    _port: Port,
    _stop: oneshot::Sender<()>,
}

/// One request; the numbers of its connection and of the request on it count from 1.
pub(crate) struct Call {
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
    pub(crate) connection: usize,
}

/// How many requests a connection takes before it says GOAWAY; 0: any number.
impl H2Origin {
    pub(crate) fn start<F>(serve: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::leaving_after(0, serve)
    }

    pub(crate) fn leaving_after<F>(
        limit: usize,
        serve: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let port = Port::reserve();
        let listener = port.listen();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (connections, requests) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (serve, opened, seen) = (Arc::new(serve), connections.clone(), Arc::clone(&requests));
        thread::spawn(move || {
            super::http2::runtime().block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                let accept = async {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        let number = opened.fetch_add(1, Ordering::SeqCst) + 1;
                        let (serve, seen) = (serve.clone(), seen.clone());
                        tokio::spawn(connection(stream, number, limit, serve, seen));
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
            connections,
            requests,
            _port: port,
            _stop: stop,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// A group `web` of this server.
    pub(crate) fn edge(&self) -> Edge {
        edge_of(&[self.address()]).start()
    }
}

/// A group `web` of these servers.
pub(crate) fn edge_of(servers: &[SocketAddr]) -> EdgeBuilder {
    let web = serde_json::json!({ "servers": servers, "protocol": "h2" });
    let builder = Edge::builder().route("*", "web");
    builder.with(&format!("upstreams: {{ web: {web} }}"))
}

async fn connection<F>(
    stream: tokio::net::TcpStream,
    number: usize,
    limit: usize,
    serve: Arc<impl Fn(Call) -> F>,
    seen: Arc<AtomicUsize>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 24);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let mut count = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        seen.fetch_add(1, Ordering::SeqCst);
        count += 1;
        if count == limit {
            connection.graceful_shutdown();
        }
        tokio::spawn(serve(Call {
            request,
            respond,
            connection: number,
        }));
    }
}

impl Call {
    /// The whole body, and the trailers behind it.
    pub(crate) async fn body(&mut self) -> Vec<u8> {
        let body = self.request.body_mut();
        let mut whole = Vec::new();
        while let Some(part) = body.data().await {
            let part = part.unwrap();
            body.flow_control().release_capacity(part.len()).unwrap();
            whole.extend_from_slice(&part);
        }
        whole
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let value = self.request.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    }

    /// 200 with this body, and with trailers if there are any.
    pub(crate) fn answer(&mut self, body: impl Into<Bytes>, trailers: Option<HeaderMap>) {
        let head = Response::builder().status(200).body(()).unwrap();
        let mut stream = self.respond.send_response(head, false).unwrap();
        stream.send_data(body.into(), trailers.is_none()).unwrap();
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers).unwrap();
        }
    }
}

/// Answers with what it saw.
pub(crate) async fn tell(mut call: Call) {
    let body = call.body().await;
    let seen = serde_json::json!({
        "method": call.request.method().as_str(),
        "uri": call.request.uri().to_string(),
        "host": call.header("host"),
        "te": call.header("te"),
        "client": call.header("x-forwarded-for"),
        "framing": call.header("transfer-encoding"),
        "hop": call.header("connection"),
        "length": body.len(),
        "sum": body.iter().map(|byte| u64::from(*byte)).sum::<u64>(),
        "connection": call.connection,
    });
    call.answer(seen.to_string(), None);
}
