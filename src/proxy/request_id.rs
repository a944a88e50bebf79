use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;

/// The header that carries a request's id to the servers.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names one request in logs and towards servers: what a trusted sender gave, or 32 random digits.
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(super) fn value(&self) -> HeaderValue {
        self.0.clone()
    }

    fn random() -> Self {
        let mut digits = [0; 32];
        let mut bits = fastrand::u128(..);
        for digit in &mut digits {
            // The low four bits index sixteen digits.
            *digit = DIGITS
                .get((bits & 15) as usize)
                .copied()
                .unwrap_or_default();
            bits >>= 4;
        }
        HeaderValue::from_bytes(&digits)
            .map(Self)
            .unwrap_or_default()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self(HeaderValue::from_static(""))
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The id of a request.
pub(super) fn of(head: &RequestHeader, is_trusted: bool) -> RequestId {
    let given = if is_trusted {
        head.headers.get(X_REQUEST_ID)
    } else {
        None
    };
    match given.filter(|id| is_valid(id.as_bytes())) {
        Some(id) => RequestId(id.clone()),
        None => RequestId::random(),
    }
}

/// What may stand in a log and a header without quoting, and is no novel.
fn is_valid(id: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(byte);
    (1..=128).contains(&id.len()) && id.iter().all(fits)
}
