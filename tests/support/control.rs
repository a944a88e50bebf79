//! The control endpoint, called as an operator's script would.

use super::{Client, Headers};
use serde_json::Value;

/// Where to call, and with which headers. Cheap to make; each call opens a connection.
#[derive(Clone, Debug)]
pub struct Control {
    address: String,
    headers: Vec<(String, String)>,
}

/// What came back; `json` is null when the body is not JSON.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Headers,
    pub json: Value,
    pub text: String,
}

impl Control {
    pub fn at(address: impl ToString) -> Self {
        Self {
            address: address.to_string(),
            headers: Vec::new(),
        }
    }

    /// Sent with every call: `control.with("If-Match", "\"7\"").put(..)`.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut control = self.clone();
        control.headers.push((name.to_owned(), value.to_owned()));
        control
    }

    #[must_use]
    pub fn token(&self, token: &str) -> Self {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, "application/json", &body.to_string())
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, "application/json", &body.to_string())
    }

    /// A POST without a body, as for `/up`, `/down` and `/drain`.
    pub fn act(&self, path: &str) -> Answer {
        self.send("POST", path, "", "")
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(
            "PATCH",
            path,
            "application/merge-patch+json",
            &body.to_string(),
        )
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "", "")
    }

    /// Any method, content type (none when empty) and body.
    pub fn send(&self, method: &str, path: &str, content_type: &str, body: &str) -> Answer {
        let mut headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        headers.push(("Connection", "close"));
        if !content_type.is_empty() {
            headers.push(("Content-Type", content_type));
        }
        if body.is_empty() && method != "GET" {
            headers.push(("Content-Length", "0"));
        }
        let response =
            Client::connect(&self.address).request(method, path, &headers, body.as_bytes());
        let text = response.text();
        Answer {
            status: response.status,
            headers: response.headers,
            json: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }
}

impl Answer {
    /// Fails the test, with the answer's text, unless the status is this.
    #[must_use]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The `code` of a problem document.
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// The state's number after the call, from `Pointsman-Revision`.
    pub fn revision(&self) -> u64 {
        let number = self
            .headers
            .first("Pointsman-Revision")
            .and_then(|text| text.parse().ok());
        number.unwrap_or_else(|| panic!("no Pointsman-Revision in {self:?}"))
    }
}
