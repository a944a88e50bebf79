use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

use super::ChangeArguments;

/// A client of one control endpoint.
pub(super) struct Client {
    agent: Agent,
    url: String,
    token: Option<String>,
    reason: Option<String>,
    dry_run: bool,
    force: bool,
    wait: bool,
}

impl Client {
    pub(super) fn new(url: &str, token: Option<&str>, change: &ChangeArguments) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("pointsman-ctl/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.into(),
            url: url.trim_end_matches('/').to_owned(),
            token: token.map(str::to_owned),
            reason: change.reason.clone(),
            dry_run: change.dry_run,
            force: change.force,
            wait: change.wait,
        }
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None, None)
    }

    pub(super) fn post(&self, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        self.send(
            Method::POST,
            &self.for_change(path, self.dry_run),
            body,
            None,
        )
    }

    /// What a change would do; nothing happens.
    pub(super) fn preview(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::PUT, &self.for_change(path, true), Some(body), None)
    }

    /// Replaces, if the object is still at this tag.
    pub(super) fn put(&self, path: &str, body: &Value, tag: &str) -> anyhow::Result<Value> {
        self.send(
            Method::PUT,
            &self.for_change(path, false),
            Some(body),
            Some(tag),
        )
    }

    /// The revision of the state, quoted as a tag.
    pub(super) fn tag(&self, path: &str) -> anyhow::Result<String> {
        let response = self.request(Method::GET, path, None, None)?;
        let tag = response
            .headers()
            .get("etag")
            .and_then(|tag| tag.to_str().ok())
            .map(str::to_owned);
        tag.ok_or_else(|| anyhow!("{} is no control endpoint: it sent no ETag", self.url))
    }

    fn for_change(&self, path: &str, dry_run: bool) -> String {
        let flags: Vec<&str> = [
            ("dry_run=true", dry_run),
            ("force=true", self.force),
            ("wait=fleet", self.wait),
        ]
        .into_iter()
        .filter_map(|(flag, is_set)| is_set.then_some(flag))
        .collect();
        if flags.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", flags.join("&"))
        }
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        tag: Option<&str>,
    ) -> anyhow::Result<Value> {
        let mut response = self.request(method, path, body, tag)?;
        let status = response.status();
        let revision = response
            .headers()
            .get("pointsman-revision")
            .and_then(|number| number.to_str().ok())
            .map(str::to_owned);
        let text = response
            .body_mut()
            .with_config()
            .limit(LARGEST_ANSWER)
            .read_to_string()?;
        let answer: Value = if text.is_empty() {
            json!({})
        } else {
            serde_json::from_str(&text).unwrap_or(json!(text))
        };
        if !status.is_success() {
            bail!("{status}: {}", why(&answer));
        }
        Ok(match (answer, revision) {
            (Value::Object(fields), Some(number)) if fields.is_empty() => {
                json!({ "revision": number.parse::<u64>().ok() })
            }
            (answer, _) => answer,
        })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        tag: Option<&str>,
    ) -> anyhow::Result<Response<Body>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/v1/{path}", self.url));
        let reason = self
            .reason
            .as_ref()
            .map(|reason| ("pointsman-reason", reason.clone()));
        let token = self
            .token
            .as_ref()
            .map(|token| ("authorization", format!("Bearer {token}")));
        let tag = tag.map(|tag| ("if-match", tag.to_owned()));
        for (name, value) in [reason, token, tag].into_iter().flatten() {
            request = request.header(name, value);
        }
        let result = match body {
            Some(body) => self.agent.run(
                request
                    .header("content-type", "application/json")
                    .body(body.to_string())?,
            ),
            None => self.agent.run(request.body(())?),
        };
        result.with_context(|| format!("no answer from {}", self.url))
    }
}

/// The status of some hundred thousand servers, in bytes.
const LARGEST_ANSWER: u64 = 1 << 30;
/// Longer than the server lets a change wait for its store.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server's reason, with each field that it names.
fn why(answer: &Value) -> String {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut why = match (text("detail"), text("code")) {
        ("", _) => answer.to_string(),
        (detail, "") => detail.to_owned(),
        (detail, code) => format!("{detail} ({code})"),
    };
    for error in answer
        .get("errors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        why.push_str(&format!("\n  {} {}", text("pointer"), text("message")));
    }
    why
}

/// One segment of a path.
pub(super) fn escape(segment: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    segment
        .bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
