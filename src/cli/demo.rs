use std::net::Ipv4Addr;
use std::sync::mpsc;

use anyhow::Context;
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::app;
use crate::config::Config;

/// Serves conf/demo.yaml, with its origins in the same process.
pub(super) fn run() -> anyhow::Result<()> {
    start_origins()?;
    app::run(Config::demo()?, false, || println!("{WELCOME}"))
}

const PORTS: [u16; 4] = [8081, 8082, 8083, 8084];

const WELCOME: &str = "\
Pointsman is running: edge on 127.0.0.1:8080, control on 127.0.0.1:9900, origins on 127.0.0.1:8081 to 8084. Try:

  curl http://127.0.0.1:8080/
  curl -d to=lua_upstream http://127.0.0.1:9900/v1/hosts/127.0.0.1/switch
  curl http://127.0.0.1:9900/v1/status

Ctrl-C stops it.";

/// Origins on a thread of their own, listening when this returns.
fn start_origins() -> anyhow::Result<()> {
    let (listening, started) = mpsc::channel();
    std::thread::Builder::new()
        .name("origins".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime.context("no runtime for the origins") {
                Ok(runtime) => runtime.block_on(async {
                    let result = listen().await;
                    let servers = result
                        .map(|listeners| listeners.into_iter().map(serve).collect::<Vec<_>>());
                    let (servers, result) = match servers {
                        Ok(servers) => (servers, Ok(())),
                        Err(error) => (Vec::new(), Err(error)),
                    };
                    let _ = listening.send(result);
                    for server in servers {
                        let _ = server.await;
                    }
                }),
                Err(error) => drop(listening.send(Err(error))),
            }
        })?;
    started.recv().context("the origins did not start")?
}

async fn listen() -> anyhow::Result<Vec<(u16, TcpListener)>> {
    let mut listeners = Vec::new();
    for port in PORTS {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        listeners.push((
            port,
            listener.with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?,
        ));
    }
    Ok(listeners)
}

fn serve((port, listener): (u16, TcpListener)) -> tokio::task::JoinHandle<std::io::Result<()>> {
    let origin = Router::new()
        .route("/headers", get(headers))
        .fallback(move || async move { format!("server name {port}\n") });
    tokio::spawn(async move { axum::serve(listener, origin).await })
}

async fn headers(headers: HeaderMap) -> String {
    let line = |(name, value): (_, &axum::http::HeaderValue)| {
        format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
    };
    headers.iter().map(line).collect()
}
