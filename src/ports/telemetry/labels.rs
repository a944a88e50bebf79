//! The values that labels may take.

use std::fmt::Debug;

/// A closed set of label values.
pub trait Label: Copy + Debug + Send + Sync + 'static {
    /// Every value, in the order of declaration.
    const ALL: &'static [Self];

    /// The value as it is written: lower case with underscores.
    fn as_str(self) -> &'static str;

    /// This value's place in [`Label::ALL`].
    fn index(self) -> usize;
}

/// Declares an enum together with its [`Label`], so that a new value cannot be forgotten in one of them.
macro_rules! label {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$inner])* $variant,)+ }

        impl $name {
            /// The value as it is written in logs and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl $crate::ports::telemetry::Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn as_str(self) -> &'static str {
                $name::as_str(self)
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
pub(super) use label;

label! {
    /// The first digit of a response's status.
    StatusClass {
        /// 100 to 199: a connection that switched protocols.
        Informational => "1xx",
        /// 200 to 299.
        Success => "2xx",
        /// 300 to 399.
        Redirection => "3xx",
        /// 400 to 499.
        ClientError => "4xx",
        /// 500 to 599.
        ServerError => "5xx",
        /// Anything else: a request that ended without a status.
        Other => "other",
    }
}

impl StatusClass {
    /// The class that `status` belongs to.
    pub const fn of(status: u16) -> Self {
        match status {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => Self::Other,
        }
    }
}

label! {
    /// Why a request was tried again.
    RetryCause {
        /// No connection to the server came about.
        Connect => "connect",
        /// A kept connection had been closed by the server before it read the request.
        StaleConnection => "stale_connection",
        /// The server closed the connection while the request or the response was under way.
        Reset => "reset",
        /// The server did not answer in time.
        Timeout => "timeout",
        /// The server answered 502.
        BadGateway => "502",
        /// The server answered 503.
        ServiceUnavailable => "503",
        /// The server answered 504.
        GatewayTimeout => "504",
    }
}

label! {
    /// Why a client's connection was closed before it could say anything to the proxy.
    Rejection {
        /// As many are open as `server.max_connections` allows.
        TooMany => "max_connections",
        /// As many are open from its address as `server.max_connections_per_ip` allows.
        TooManyFromAddress => "max_connections_per_ip",
        /// A PROXY header is required, and the sender is none of `trusted_proxies`.
        ProxyUntrusted => "proxy_untrusted",
        /// It does not begin with a sound PROXY header.
        ProxyMalformed => "proxy_malformed",
        /// The PROXY header did not come in time.
        ProxyTimeout => "proxy_timeout",
    }
}

label! {
    /// Why a TLS handshake failed.
    HandshakeFailure {
        /// It took longer than `limits.handshake_timeout`.
        Timeout => "timeout",
        /// What the client sent is not TLS, or has nothing in common with what is spoken here.
        Protocol => "protocol",
        /// One side refused the other's certificate, or got none.
        Certificate => "certificate",
        /// The client left in the middle.
        Closed => "closed",
    }
}

label! {
    /// Why a stream or a connection of HTTP/2 was ended: RFC 9113 section 7.
    Http2Code {
        /// Nothing is wrong.
        NoError => "no_error",
        /// A head that is malformed or too large, among others.
        ProtocolError => "protocol_error",
        /// A fault of ours.
        InternalError => "internal_error",
        /// More than the window allows.
        FlowControlError => "flow_control_error",
        /// No answer to SETTINGS.
        SettingsTimeout => "settings_timeout",
        /// A frame for a stream that has ended.
        StreamClosed => "stream_closed",
        /// A frame of a wrong length.
        FrameSizeError => "frame_size_error",
        /// More streams than `limits.h2_streams`.
        RefusedStream => "refused_stream",
        /// An answer that broke off.
        Cancel => "cancel",
        /// A head that cannot be unpacked.
        CompressionError => "compression_error",
        /// A tunnel broke off.
        ConnectError => "connect_error",
        /// A flood.
        EnhanceYourCalm => "enhance_your_calm",
        /// TLS that is too weak.
        InadequateSecurity => "inadequate_security",
        /// Only HTTP/1.1 will do.
        Http11Required => "http_1_1_required",
        /// Any other.
        Other => "other",
    }
}

impl Http2Code {
    /// The code with this number.
    pub fn of(number: u32) -> Self {
        let place = usize::try_from(number).ok();
        let found = place.and_then(|place| Self::ALL.get(place));
        found.copied().unwrap_or(Self::Other)
    }

    /// Its number; the first one that has none for any other.
    pub fn number(self) -> u32 {
        self as u32
    }
}

label! {
    /// How a TLS handshake succeeded.
    HandshakeResult {
        /// With all its cryptography.
        Full => "full",
        /// By a ticket of an earlier one.
        Resumed => "resumed",
    }
}

label! {
    /// How a submitted change came out.
    ChangeOutcome {
        /// Stored and published.
        Applied => "applied",
        /// It altered nothing, so it made no revision.
        Unchanged => "unchanged",
        /// A dry run: nothing was stored.
        DryRun => "dry_run",
        /// A rail refused it.
        Refused => "refused",
        /// Its precondition (`If-Match`) no longer held.
        Conflict => "conflict",
        /// The state that it leads to is invalid.
        Invalid => "invalid",
        /// The store was away.
        StoreFailed => "store_failed",
    }
}

label! {
    /// How a health probe ended.
    ProbeResult {
        /// The server answered as expected.
        Pass => "pass",
        /// It answered otherwise, or refused the connection.
        Fail => "fail",
        /// It did not answer before the deadline.
        Timeout => "timeout",
        /// It failed while this process was late itself, and counts for nothing.
        Discarded => "discarded",
    }
}

label! {
    /// How DNS answered for a name of servers.
    NameAnswer {
        /// With addresses.
        Good => "good",
        /// With addresses, but not for all that was asked: the rest is as before.
        Partial => "partial",
        /// With nothing of use, or not at all: the last addresses stay.
        Failed => "failed",
    }
}

label! {
    /// How a source answered for the servers of a group.
    SourceAnswer {
        /// With servers, or what they were before.
        Good => "good",
        /// With servers, but not all of it can be taken.
        Partial => "partial",
        /// With nothing that can be taken, or not at all: the servers stay.
        Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_label_is_its_place_in_all() {
        for (place, label) in ChangeOutcome::ALL.iter().enumerate() {
            assert_eq!(label.index(), place);
        }
    }

    #[test]
    fn a_status_outside_100_to_599_has_its_own_class() {
        assert_eq!(StatusClass::of(0), StatusClass::Other);
        assert_eq!(StatusClass::of(99), StatusClass::Other);
        assert_eq!(StatusClass::of(100), StatusClass::Informational);
        assert_eq!(StatusClass::of(599), StatusClass::ServerError);
        assert_eq!(StatusClass::of(600), StatusClass::Other);
    }
}
