//! The API as a caller sees it, in process: a router over a controller over a store in memory.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the test functions themselves"
)]

mod bodies;
mod conditions;
mod description;
mod dyups;
mod dyups_rights;
mod faults;
mod history;
mod legacy;
mod names;
mod protection;
mod reading;
mod routes;
mod server_settings;
mod servers;
mod upstreams;
mod upsync;

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use super::protection::Connection;
use super::{ControlSettings, Place, router};
use crate::controller::{self, Controller, StartSettings};
use crate::fleet::{Fleet, FleetSettings};
use crate::ports::telemetry::Metrics;
use crate::spec::{ForbiddenAddresses, Span, Spec};
use crate::store::{History, Memory, Store};

/// An API that can be called.
struct Desk {
    router: Router,
    controller: Controller,
    connection: Connection,
    ready: watch::Sender<bool>,
}

/// What came back; `json` is null when the body is not JSON.
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
    json: Value,
}

/// The state that most tests begin with.
fn seed() -> Value {
    json!({
        "upstreams": {
            "blue": { "servers": ["10.0.0.1:80", { "address": "10.0.0.2:80", "weight": 2 }] },
            "green": { "servers": ["10.0.1.1:80"] },
        },
        "routes": [{ "id": "all", "to": "blue" }],
    })
}

impl Desk {
    fn new() -> Self {
        Self::over(Arc::new(Memory::default()), |_| {})
    }

    fn with(settings: impl FnOnce(&mut ControlSettings)) -> Self {
        Self::over(Arc::new(Memory::default()), settings)
    }

    fn over(store: Arc<dyn Store>, adjust: impl FnOnce(&mut ControlSettings)) -> Self {
        let file: Spec = serde_json::from_value(seed()).unwrap();
        let mut settings = ControlSettings {
            place: Place::Tcp((Ipv4Addr::LOCALHOST, 9900).into()),
            allow: vec!["127.0.0.1/32".parse().unwrap(), "::1/128".parse().unwrap()],
            hosts: Vec::new(),
            tokens: Vec::new(),
            legacy: crate::ports::legacy::Interface::ALL.to_vec(),
            name_servers: crate::discovery::NameServers::These(Vec::new()),
            node: "edge-1".into(),
            file: Arc::new(file.clone()),
        };
        adjust(&mut settings);
        let forbidden = ForbiddenAddresses {
            control: Some((Ipv4Addr::LOCALHOST, 9900).into()),
            ..ForbiddenAddresses::default()
        };
        let start = StartSettings {
            seed: file,
            reset: false,
            forbidden,
            history: History {
                revisions: 100,
                age: Span::from_secs(60),
                size: 1 << 30,
            },
        };
        let metrics = Metrics::new();
        let controller = controller::start(store, start, metrics.clone()).unwrap();
        let (ready, is_ready) = watch::channel(true);
        let own = FleetSettings {
            node: settings.node.clone(),
            address: "127.0.0.1:9900".into(),
        };
        let fleet = Fleet::new(own, Arc::new(Memory::default()), controller.clone());
        let connection = Connection {
            source: Some(Ipv4Addr::LOCALHOST.into()),
            local: Some(Ipv4Addr::LOCALHOST.into()),
            is_tls: false,
        };
        Self {
            router: router::router(settings, controller.clone(), fleet, metrics, is_ready).0,
            controller,
            connection,
            ready,
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "127.0.0.1:9900");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(self.connection);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            json: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// A method with a JSON body.
    async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.json_if(method, path, &[], body).await
    }

    async fn json_if(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Answer {
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/json"));
        self.send(method, path, &headers, &body.to_string()).await
    }

    /// A POST with a form, as `curl -d` sends it.
    async fn form(&self, path: &str, body: &str) -> Answer {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &form, body).await
    }

    /// A POST without a body.
    async fn act(&self, path: &str) -> Answer {
        self.send("POST", path, &[], "").await
    }

    fn revision(&self) -> u64 {
        self.controller.snapshot().load().revision()
    }
}

impl Answer {
    #[track_caller]
    fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Refused, with this status and code.
    #[track_caller]
    fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert!(!self.header("pointsman-revision").is_empty());
        self
    }

    fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    fn detail(&self) -> &str {
        self.json["detail"].as_str().unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default()
    }

    /// The body, indented.
    fn pretty(&self) -> String {
        serde_json::to_string_pretty(&self.json).unwrap()
    }
}
