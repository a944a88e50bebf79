use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use axum::http::Method;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::json;
use super::problem::{Code, Problem};
use crate::spec::shortened;

/// The body of a change.
pub(super) struct Content {
    kind: Option<Kind>,
    bytes: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Form,
}

/// The fields of a flat body that are not texts: a form has only texts.
pub(super) struct Flat {
    pub(super) numbers: &'static [&'static str],
    pub(super) flags: &'static [&'static str],
}

impl Content {
    /// Reads the whole body, up to the limit of the router.
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        let kind = kind(request.headers(), request.method());
        let bytes = tokio::time::timeout(PATIENCE, Bytes::from_request(request, &()))
            .await
            .map_err(|_| Problem::new(Code::RequestTimeout, "the body took longer than 30 s"))?
            .map_err(unreadable)?;
        if bytes.is_empty() {
            return Ok(Self { kind: None, bytes });
        }
        Ok(Self {
            kind: Some(kind?),
            bytes,
        })
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Problem> {
        match self.kind {
            Some(Kind::Json) => json::parse(&self.bytes),
            Some(Kind::Form) => Err(unsupported("this call takes `application/json`, no form")),
            None => Err(Problem::new(Code::EmptyBody, "this call needs a body")),
        }
    }

    /// A flat body: JSON or a form.
    pub(super) fn flat(&self, fields: &Flat) -> Result<Value, Problem> {
        match self.kind {
            Some(Kind::Form) => form(&self.bytes, fields),
            _ => self.json(),
        }
    }

    /// The body of a call that needs none: empty or an empty object. `planned` are its keys that are
    /// documented and not built yet.
    pub(super) fn none(&self, planned: &[&str]) -> Result<(), Problem> {
        if self.kind.is_none() {
            return Ok(());
        }
        let nothing = Flat {
            numbers: &[],
            flags: &[],
        };
        match self.flat(&nothing)? {
            Value::Object(object) => refuse_keys(&object, &[], planned),
            _ => Err(Problem::field("", "this call takes no body")),
        }
    }
}

/// Refuses every key that is not `known`.
pub(super) fn refuse_keys(
    object: &Map<String, Value>,
    known: &[&str],
    planned: &[&str],
) -> Result<(), Problem> {
    let mut keys = object.keys().map(String::as_str);
    let Some(key) = keys.find(|key| !known.contains(key)) else {
        return Ok(());
    };
    if planned.contains(&key) {
        let detail = format!("`{key}` is not supported yet");
        return Err(Problem::new(Code::NotSupported, detail));
    }
    let hint = match known {
        [] => "this call takes no fields".to_owned(),
        known => format!("known here: {}", known.join(", ")),
    };
    let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
    Err(Problem::field(
        pointer,
        format!("unknown key `{}`; {hint}", shortened(key)),
    ))
}

/// The limit of a body.
pub(super) const LONGEST_BODY: usize = 8 * 1024 * 1024;
/// For the whole body; 8 MiB in it are 2.2 Mbit/s.
const PATIENCE: Duration = Duration::from_secs(30);

fn unreadable(rejection: BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            Problem::new(Code::BodyTooLarge, "a body has at most 8 MiB")
        }
        other => Problem::new(Code::InvalidRequest, other),
    }
}

fn kind(headers: &HeaderMap, method: &Method) -> Result<Kind, Problem> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(unsupported("send the body without a content encoding"));
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return Err(unsupported(
            "say what the body is: `Content-Type: application/json`",
        ));
    };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let charset = parts.find_map(|part| part.strip_prefix("charset="));
    if charset.is_some_and(|charset| charset.trim_matches('"') != "utf-8") {
        return Err(unsupported("write the body in UTF-8"));
    }
    match name {
        "application/json" => Ok(Kind::Json),
        "application/merge-patch+json" if method == Method::PATCH => Ok(Kind::Json),
        "application/x-www-form-urlencoded" => Ok(Kind::Form),
        _ => Err(unsupported(&format!(
            "`{}` is not taken here; send `application/json`",
            shortened(name)
        ))),
    }
}

fn unsupported(detail: &str) -> Problem {
    let patches = HeaderValue::from_static("application/json, application/merge-patch+json");
    Problem::new(Code::UnsupportedMediaType, detail)
        .with_header(HeaderName::from_static("accept-patch"), patches)
}

fn form(text: &[u8], fields: &Flat) -> Result<Value, Problem> {
    if text.trim_ascii_start().starts_with(b"{") {
        return Err(unsupported(
            "this is JSON sent as a form: add `-H 'Content-Type: application/json'`",
        ));
    }
    let mut seen = BTreeSet::new();
    let mut object = Map::new();
    for (key, text) in form_urlencoded::parse(text) {
        if !seen.insert(key.to_string()) {
            return Err(Problem::field(format!("/{key}"), "this field stands twice"));
        }
        let number = || text.parse::<u64>().ok().map(Value::from);
        let flag = || text.parse::<bool>().ok().map(Value::from);
        let value = match &*key {
            key if fields.numbers.contains(&key) => number(),
            key if fields.flags.contains(&key) => flag(),
            _ => None,
        };
        let value = value.unwrap_or_else(|| Value::String(text.to_string()));
        object.insert(key.into_owned(), value);
    }
    Ok(Value::Object(object))
}
