//! Why this process ended a request itself.

use super::labels::{Label, label};
use crate::strict::Rule;

label! {
    /// Why a request was answered, or ended, by this process and not by a server: the `reason` of the access log and of
    /// `pointsman_generated_responses_total`.
    Reason {
        /// The route leads to an upstream that does not exist.
        UpstreamMissing => "upstream_missing",
        /// No route matches host and path.
        NoRoute => "no_route",
        /// The upstream has no server that may be picked.
        NoServer => "no_server",
        /// Every server that may be picked works on as many requests as its `max_connections`, and as many wait as may.
        ServersFull => "servers_full",
        /// The request waited for room at a server for longer than `queue.timeout`.
        QueueTimeout => "queue_timeout",
        /// The upstream has no server yet: DNS has not answered for its names.
        NameUnresolved => "name_unresolved",
        /// No connection to any server came about: refused, unreachable or reset.
        ConnectFailed => "connect_failed",
        /// Connecting took longer than `timeouts.connect`.
        ConnectTimeout => "connect_timeout",
        /// No TLS connection to the server came about.
        UpstreamTls => "upstream_tls",
        /// The server's certificate is not valid for its name, or not signed by an authority that is trusted.
        UpstreamCertificate => "upstream_certificate",
        /// The server did not answer, or paused, for longer than its timeouts allow.
        UpstreamTimeout => "upstream_timeout",
        /// The server closed the connection before its response was complete.
        UpstreamReset => "upstream_reset",
        /// The server's response was not valid HTTP.
        UpstreamInvalidResponse => "upstream_invalid_response",
        /// The response has a length that shows only at its end, which HTTP/1.0 cannot frame and HTTP/2 does not tell.
        HttpVersion => "http_version",
        /// The client closed the connection before the response was complete.
        ClientAborted => "client_aborted",
        /// The client took the response too slowly.
        ClientSlow => "client_slow",
        /// The request line is none.
        BadRequestLine => "bad_request_line",
        /// A line ends with LF or CR alone.
        BadRequestLineEnd => "bad_request_line_end",
        /// A header field is malformed, or could be taken for another.
        BadRequestHeader => "bad_request_header",
        /// `Host` is missing, repeated or malformed.
        BadRequestHost => "bad_request_host",
        /// The body's length is ambiguous (RFC 9112, section 6.3).
        BadRequestFraming => "bad_request_framing",
        /// The request target is malformed.
        BadRequestUri => "bad_request_uri",
        /// CONNECT or TRACE.
        MethodNotAllowed => "method_not_allowed",
        /// The client was too slow.
        RequestTimeout => "request_timeout",
        /// The connection's TLS handshake showed another certificate than the host's (RFC 9110, section 7.4).
        MisdirectedRequest => "misdirected_request",
        /// An `Expect` that is not 100-continue.
        ExpectationFailed => "expectation_failed",
        /// The header section is too large (RFC 6585, section 5).
        HeaderTooLarge => "header_too_large",
        /// The sender may not call legacy interfaces on this listener.
        LegacyForbidden => "legacy_forbidden",
        /// The body is longer than `limits.body_size`, or that of a call to a legacy interface than 64 KiB.
        BodyTooLarge => "body_too_large",
        /// The request came back to this process, and would go to a listener of its own again.
        LoopDetected => "loop_detected",
        /// A fault of this process.
        Internal => "internal",
    }
}

impl Reason {
    /// The status of the response. [`Reason::ClientAborted`] and [`Reason::ClientSlow`] have nginx's 499: it is
    /// logged but never sent.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequestLine
            | Self::BadRequestLineEnd
            | Self::BadRequestHeader
            | Self::BadRequestHost
            | Self::BadRequestFraming
            | Self::BadRequestUri => 400,
            Self::LegacyForbidden => 403,
            Self::NoRoute => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::ExpectationFailed => 417,
            Self::MisdirectedRequest => 421,
            Self::HeaderTooLarge => 431,
            Self::ClientAborted | Self::ClientSlow => 499,
            Self::Internal => 500,
            Self::UpstreamMissing
            | Self::ConnectFailed
            | Self::UpstreamTls
            | Self::UpstreamCertificate
            | Self::UpstreamReset
            | Self::UpstreamInvalidResponse => 502,
            Self::NoServer | Self::ServersFull | Self::QueueTimeout | Self::NameUnresolved => 503,
            Self::HttpVersion => 505,
            Self::LoopDetected => 508,
            Self::ConnectTimeout | Self::UpstreamTimeout => 504,
        }
    }
}

impl From<Rule> for Reason {
    fn from(rule: Rule) -> Self {
        let found = Self::ALL
            .iter()
            .find(|reason| reason.as_str() == rule.code());
        found.copied().unwrap_or(Self::BadRequestFraming)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_guard_has_a_reason_with_its_status() {
        for &rule in Rule::ALL {
            let reason = Reason::from(rule);
            assert_eq!(
                (reason.as_str(), reason.status()),
                (rule.code(), rule.status())
            );
        }
    }

    #[test]
    fn every_reason_is_an_error_with_a_lower_case_name() {
        for reason in Reason::ALL {
            assert!((400..=599).contains(&reason.status()), "{reason:?}");
            let name = reason.as_str();
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
        }
    }

    #[test]
    fn a_missing_upstream_a_missing_server_and_a_slow_server_are_told_apart() {
        assert_eq!(Reason::UpstreamMissing.status(), 502);
        assert_eq!(Reason::NoServer.status(), 503);
        assert_eq!(Reason::UpstreamTimeout.status(), 504);
    }
}
