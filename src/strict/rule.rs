/// Writes the table down once: name, reason, status, source, what is refused.
macro_rules! rules {
    ($($name:ident => $code:literal, $status:literal, $source:literal, $text:literal;)*) => {
        /// A rule that a request broke.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = $text] #[doc = ""] #[doc = concat!("Source: ", $source, ".")] $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The reason of the access log.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The status of the answer.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Where the rule comes from.
            pub const fn source(self) -> &'static str {
                match self { $(Self::$name => $source,)* }
            }

            /// What is refused.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

rules! {
    BareLineFeed => "bad_request_line_end", 400, "RFC 9112 section 2.2", "A line that ends with LF alone.";
    BareReturn => "bad_request_line_end", 400, "RFC 9112 section 2.2", "A CR that no LF follows.";
    RequestLine => "bad_request_line", 400, "RFC 9112 section 3", "A request line that is not method, target and version with one space between.";
    Version => "bad_request_line", 400, "RFC 9112 section 2.3", "A version that is neither HTTP/1.1 nor HTTP/1.0.";
    MethodToken => "bad_request_line", 400, "RFC 9110 section 9.1", "A method that is no token.";
    MethodRefused => "method_not_allowed", 405, "RFC 9110 sections 9.3.6 and 9.3.8", "CONNECT and TRACE: not for an edge proxy.";
    TargetForm => "bad_request_uri", 400, "RFC 9112 section 3.2", "A target that is neither a path, nor an http or https URI, nor `*` with OPTIONS.";
    TargetByte => "bad_request_uri", 400, "RFC 3986 section 2", "A target with a control, a space, a byte above 126, or one of `#`, `\\`, `\"`, `<`, `>`, a backtick.";
    TargetEscape => "bad_request_uri", 400, "RFC 3986 section 2.1", "A path with a `%` that two hexadecimal digits do not follow, or an escaped NUL.";
    TargetOverlong => "bad_request_uri", 400, "RFC 3629 section 3", "A path with an overlong form of a character.";
    TargetAboveRoot => "bad_request_uri", 400, "RFC 3986 section 5.2.4", "A path that climbs above its root.";
    TargetDotParameter => "bad_request_uri", 400, "RFC 3986 section 3.3", "A dot segment with a parameter, which servers read in two ways.";
    TargetDotSlash => "bad_request_uri", 400, "RFC 3986 section 3.3", "A dot segment beside an escaped slash, which servers that decode first resolve.";
    TargetUser => "bad_request_uri", 400, "RFC 9110 section 4.2.4", "A target that names a user.";
    TargetHost => "bad_request_host", 400, "RFC 9112 section 3.2.2", "A target whose authority is not the Host.";
    FieldName => "bad_request_header", 400, "RFC 9112 section 5.1", "A field whose name is no token, or has a space before its colon.";
    FieldFold => "bad_request_header", 400, "RFC 9112 section 5.2", "A field that goes on in the next line.";
    FieldValue => "bad_request_header", 400, "RFC 9110 section 5.5", "A field value with NUL or another control.";
    FieldShadow => "bad_request_header", 400, "CGI's names: RFC 3875 section 4.1.18", "A field that a server could take for one of framing or forwarding: `Content_Length`, `X.Real.IP`.";
    Option => "bad_request_header", 400, "RFC 9110 section 7.6.1", "A Connection that names a field of routing, framing or forwarding, more than nine fields, or what is no token.";
    HostMissing => "bad_request_host", 400, "RFC 9112 section 3.2", "HTTP/1.1 without Host.";
    HostRepeated => "bad_request_host", 400, "RFC 9112 section 3.2", "Host more than once.";
    HostForm => "bad_request_host", 400, "RFC 9110 section 7.2", "A Host that is no host with an optional port, or has an empty label: `a..`.";
    LengthRepeated => "bad_request_framing", 400, "RFC 9112 section 6.3", "Content-Length more than once.";
    LengthForm => "bad_request_framing", 400, "RFC 9110 section 8.6", "A Content-Length that is no plain number of at most 18 digits.";
    LengthAndCoding => "bad_request_framing", 400, "RFC 9112 section 6.1", "Content-Length beside Transfer-Encoding.";
    CodingRepeated => "bad_request_framing", 400, "RFC 9112 section 6.1", "Transfer-Encoding more than once.";
    CodingUnknown => "bad_request_framing", 400, "RFC 9112 section 6.1", "A Transfer-Encoding other than `chunked`.";
    CodingInOld => "bad_request_framing", 400, "RFC 9112 section 6.1", "Transfer-Encoding in HTTP/1.0.";
    Expectation => "expectation_failed", 417, "RFC 9110 section 10.1.1", "An expectation other than 100-continue.";
    ChunkSize => "bad_request_framing", 400, "RFC 9112 section 7.1", "A chunk size that is not one to 15 hexadecimal digits.";
    ChunkExtension => "bad_request_framing", 400, "RFC 9112 section 7.1.1", "A chunk extension with a control, or longer than 1,024 bytes.";
    ChunkEnd => "bad_request_framing", 400, "RFC 9112 section 7.1", "A chunk that CR LF does not end.";
    Trailer => "bad_request_header", 400, "RFC 9112 section 7.1.2", "A trailer field that is none.";
    HeaderSize => "header_too_large", 431, "RFC 6585 section 5", "A head, or trailers, longer than `limits.header_size`.";
    HeaderCount => "header_too_large", 431, "RFC 6585 section 5", "More fields than `limits.header_count`.";
    BodySize => "body_too_large", 413, "RFC 9110 section 15.5.14", "A body longer than `limits.body_size`.";
    HeaderTimeout => "request_timeout", 408, "RFC 9110 section 15.5.9", "A head that took longer than `limits.header_timeout`.";
    BodyTimeout => "request_timeout", 408, "RFC 9110 section 15.5.9", "A body that paused longer than `limits.body_timeout`, or came slower than `limits.min_rate`.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_source_a_sentence_and_an_error_status() {
        for rule in Rule::ALL {
            assert!((400..500).contains(&rule.status()), "{rule:?}");
            assert!(
                rule.text().ends_with('.') && !rule.source().is_empty(),
                "{rule:?}"
            );
            let code = rule.code();
            assert!(
                code.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{code}"
            );
        }
    }
}
