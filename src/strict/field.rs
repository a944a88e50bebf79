use super::Rule;

/// One line of the header section or of trailers, without its end (RFC 9112 section 5).
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    /// Without the white space around it.
    pub(super) value: &'a [u8],
}

impl<'a> Field<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Rule> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Rule::FieldFold);
        }
        let mut odd = false;
        let mut length = 0;
        for &byte in line {
            match byte {
                b':' => break,
                b'_' | b'.' => odd = true,
                _ if !is_token_byte(byte) => return Err(Rule::FieldName),
                _ => {}
            }
            length += 1;
        }
        let (name, rest) = line.split_at_checked(length).ok_or(Rule::FieldName)?;
        let [b':', value @ ..] = rest else {
            return Err(Rule::FieldName);
        };
        if name.is_empty() {
            return Err(Rule::FieldName);
        }
        if odd && is_shadow(name) {
            return Err(Rule::FieldShadow);
        }
        if !all(value, is_value_byte) {
            return Err(if value.contains(&b'\r') {
                Rule::BareReturn
            } else {
                Rule::FieldValue
            });
        }
        Ok(Self {
            name,
            value: value.trim_ascii(),
        })
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether one of the list's members is this word.
    pub(super) fn lists(&self, word: &str) -> bool {
        let mut members = self
            .value
            .split(|&byte| byte == b',')
            .map(<[u8]>::trim_ascii);
        members.any(|member| member.eq_ignore_ascii_case(word.as_bytes()))
    }
}

/// The fields that no Connection ends: they lead a request, frame it, ask for its body or say who asks. What else of those servers get
/// from us stands there after the nominated ones are gone.
const KEPT: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "expect",
    "cdn-loop",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
];

/// As many as Pingora reads.
const MOST_OPTIONS: usize = 9;

/// Counts and checks the options of a Connection field, each of which may name a field that ends here. `before`: those
/// of the lines before it.
pub(super) fn check_options(value: &[u8], before: usize) -> Result<usize, Rule> {
    let mut count = before;
    for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        let is_kept = |name: &&str| option.eq_ignore_ascii_case(name.as_bytes());
        count += usize::from(!option.is_empty());
        if count > MOST_OPTIONS || !all(option, is_token_byte) || KEPT.iter().any(is_kept) {
            return Err(Rule::Option);
        }
    }
    Ok(count)
}

/// Whether every byte fits. Looks at all of them, which compilers turn into a few instructions for many bytes.
pub(super) fn all(bytes: &[u8], fits: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, &byte| all & fits(byte))
}

/// RFC 9110 section 5.6.2.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// RFC 9110 section 5.5, and the tab: visible characters, spaces and what is above ASCII.
pub(super) const fn is_value_byte(byte: u8) -> bool {
    ((byte >= b' ') & (byte != 0x7f)) | (byte == b'\t')
}

/// The fields that decide about framing or tell servers who asks. CGI and its heirs make `_` of `-` (and some of
/// `.`), so that two names become one.
const GUARDED: [&str; 26] = [
    "x-forwarded",
    "x-forwarded-prefix",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "front-end-https",
    "x-client-ip",
    "true-client-ip",
    "cdn-loop",
    "content-length",
    "transfer-encoding",
    "host",
    "connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "forwarded",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-request-id",
    "content-type",
];

/// Whether a server could take this name for one that it is not.
pub fn is_shadow(name: &[u8]) -> bool {
    let dashed = |byte: &u8| match byte {
        b'_' | b'.' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    GUARDED
        .iter()
        .any(|guarded| name.len() == guarded.len() && name.iter().map(dashed).eq(guarded.bytes()))
}
