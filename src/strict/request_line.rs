use super::Rule;
use super::field::is_token_byte;
use super::target;

/// The first line of a request (RFC 9112 section 3).
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestLine<'a> {
    /// The authority of a target in absolute-form.
    pub(super) authority: Option<&'a [u8]>,
    /// HTTP/1.1, and not HTTP/1.0.
    pub(super) is_current: bool,
}

impl<'a> RequestLine<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Rule> {
        let mut pieces = line.split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (pieces.next(), pieces.next(), pieces.next(), pieces.next())
        else {
            return Err(if line.contains(&b'\r') {
                Rule::BareReturn
            } else {
                Rule::RequestLine
            });
        };
        if method.is_empty() || !method.iter().all(|&byte| is_token_byte(byte)) {
            return Err(Rule::MethodToken);
        }
        if is_refused(method) {
            return Err(Rule::MethodRefused);
        }
        let is_current = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(Rule::Version),
        };
        let authority = target::check(target, method == b"OPTIONS")?;
        Ok(Self {
            authority,
            is_current,
        })
    }
}

/// Whether no request with this method is served, in whatever case: methods have one, but not every server minds it.
pub fn is_refused(method: &[u8]) -> bool {
    method.eq_ignore_ascii_case(b"CONNECT") || method.eq_ignore_ascii_case(b"TRACE")
}
