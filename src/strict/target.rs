use std::borrow::Cow;

use super::Rule;
use super::field::all;
use super::host::is_host;

/// Whether a target consists of what it may consist of.
pub fn is_target(target: &[u8]) -> bool {
    all(target, is_target_byte)
}

/// Checks a target's form and bytes; the authority of one in absolute-form.
pub(super) fn check(target: &[u8], is_options: bool) -> Result<Option<&[u8]>, Rule> {
    if !is_target(target) {
        return Err(Rule::TargetByte);
    }
    match target {
        [b'/', ..] => Ok(None),
        b"*" if is_options => Ok(None),
        _ => absolute(target).map(Some),
    }
}

fn absolute(target: &[u8]) -> Result<&[u8], Rule> {
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    let mut rests = schemes.iter().filter_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let rest = rests.next().ok_or(Rule::TargetForm)?;
    let authority = rest
        .split(|byte| matches!(byte, b'/' | b'?'))
        .next()
        .unwrap_or_default();
    if authority.contains(&b'@') {
        return Err(Rule::TargetUser);
    }
    if !is_host(authority) {
        return Err(Rule::TargetForm);
    }
    Ok(authority)
}

/// Visible ASCII but `#` (a fragment is never sent, RFC 9112 section 3.2), `\` (some servers read it as `/`), and the
/// quotes and brackets that Pingora's URIs cannot hold: it would answer without a reason and without a line in the log.
fn is_target_byte(byte: u8) -> bool {
    let is_refused = (byte == b'#')
        | (byte == b'\\')
        | (byte == b'"')
        | (byte == b'<')
        | (byte == b'>')
        | (byte == b'`');
    (byte > b' ') & (byte < 0x7f) & !is_refused
}

/// The one form of a path and its query by which a request is routed and forwarded: dot segments are resolved
/// (RFC 3986 section 5.2.4), slashes merged (nginx: `merge_slashes on`), and what needs no escape has none (section
/// 6.2.2.2). Everything else stays as it was sent, byte for byte; the query is not looked at.
pub fn normal_target(target: &str) -> Result<Cow<'_, str>, Rule> {
    let path = target.split('?').next().unwrap_or_default();
    // `*` and absolute-form have no path of their own to read; what is in a URI is checked after it was taken apart.
    if !path.starts_with('/') {
        return Ok(Cow::Borrowed(target));
    }
    let (is_escaped, is_suspect) = look(path.as_bytes());
    let plain = match is_escaped {
        true if check_escapes(path.as_bytes())? => Cow::Owned(unescaped(path)),
        false if !is_suspect => return Ok(Cow::Borrowed(target)),
        _ => Cow::Borrowed(path),
    };
    let normal = resolved(&plain)?;
    if normal == path {
        return Ok(Cow::Borrowed(target));
    }
    let query = target.get(path.len()..).unwrap_or_default();
    Ok(Cow::Owned(normal + query))
}

/// What means the same with an escape and without.
fn is_unreserved(byte: u32) -> bool {
    char::from_u32(byte).is_some_and(|sign| sign.is_ascii_alphanumeric() || "-._~".contains(sign))
}

/// The same path without the escapes that it does not need. Each escape in it is whole.
fn unescaped(path: &str) -> String {
    let mut pieces = path.split('%');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        let byte = u32::from_str_radix(digits, 16).unwrap_or_default();
        match char::from_u32(byte) {
            Some(sign) if is_unreserved(byte) => plain.push(sign),
            _ => plain.extend(["%", digits]),
        }
        plain.push_str(rest);
    }
    plain
}

/// Whether there are escapes, and whether there may be dot segments or empty ones. Most paths end here.
fn look(path: &[u8]) -> (bool, bool) {
    let (mut is_escaped, mut is_suspect, mut before) = (false, false, 0);
    for &byte in path {
        is_escaped |= byte == b'%';
        is_suspect |= before == b'/' && matches!(byte, b'/' | b'.');
        before = byte;
    }
    (is_escaped, is_suspect)
}

/// Whether one of them is not needed.
fn check_escapes(path: &[u8]) -> Result<bool, Rule> {
    let mut rest = path;
    let mut is_needless = false;
    let mut before = None;
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            (rest, before) = (tail, None);
            continue;
        }
        let [high, low, tail @ ..] = tail else {
            return Err(Rule::TargetEscape);
        };
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let byte = digit(high)
            .zip(digit(low))
            .map(|(high, low)| high * 16 + low)
            .ok_or(Rule::TargetEscape)?;
        // Lead bytes that no character needs, and those whose second byte says the same (RFC 3629 section 3).
        let is_overlong = matches!(
            (before, byte),
            (_, 0xc0 | 0xc1) | (Some(0xe0), 0x80..=0x9f) | (Some(0xf0), 0x80..=0x8f)
        );
        match byte {
            0 => return Err(Rule::TargetEscape),
            _ if is_overlong => return Err(Rule::TargetOverlong),
            // An escaped backslash is one to servers that decode.
            0x5c => return Err(Rule::TargetByte),
            _ => (rest, before) = (tail, Some(byte)),
        }
        is_needless |= is_unreserved(byte);
    }
    Ok(is_needless)
}

fn resolved(path: &str) -> Result<String, Rule> {
    let mut kept: Vec<&str> = Vec::new();
    let mut is_folder = false;
    for segment in path.split('/').skip(1) {
        let (name, has_parameter) = match segment.split_once(';') {
            Some((name, _)) => (name, true),
            None => (segment, false),
        };
        let dots = dots(name);
        if has_parameter && dots > 0 {
            return Err(Rule::TargetDotParameter);
        }
        if name.contains('%') && hides_dots(name) {
            return Err(Rule::TargetDotSlash);
        }
        is_folder = dots > 0 || segment.is_empty();
        match dots {
            1 => {}
            2 => drop(kept.pop().ok_or(Rule::TargetAboveRoot)?),
            _ if segment.is_empty() => {}
            _ => kept.push(segment),
        }
    }
    let end = if is_folder && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    Ok(format!("/{}{end}", kept.join("/")))
}

/// Whether a part of a segment would be a dot segment if its escaped slashes were slashes.
fn hides_dots(segment: &str) -> bool {
    let plain = segment.replace("%2f", "/").replace("%2F", "/");
    plain.contains('/') && plain.split('/').any(|part| dots(part) > 0)
}

/// 1 for `.`, 2 for `..`; else 0.
fn dots(segment: &str) -> usize {
    match segment {
        "." => 1,
        ".." => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_has_one_normal_form() {
        for (sent, normal) in [
            ("/", "/"),
            ("/a/b?c=../d//e", "/a/b?c=../d//e"),
            ("/a%20b?c=%41", "/a%20b?c=%41"),
            ("/%41", "/A"),
            ("/%61dmin%2f%7Ex%25?%41", "/admin%2f~x%25?%41"),
            ("/a//b", "/a/b"),
            ("//", "/"),
            ("/a/./b/.", "/a/b/"),
            ("/a/../b", "/b"),
            ("/a/%2E%2e/b", "/b"),
            ("/a/.%2e?x", "/?x"),
            ("/.well-known/..x/...", "/.well-known/..x/..."),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/a%2fb", "/a%2fb"),
            ("/q/%2F/..x%2f", "/q/%2F/..x%2f"),
            ("/%252e%252e/", "/%252e%252e/"),
            ("/a/", "/a/"),
            ("/a/b/..", "/a/"),
            ("*", "*"),
            ("/%e9", "/%e9"),
        ] {
            assert_eq!(normal_target(sent).as_deref(), Ok(normal), "{sent}");
        }
    }

    #[test]
    fn a_path_that_can_be_read_in_two_ways_is_refused() {
        for (sent, rule) in [
            ("/..", Rule::TargetAboveRoot),
            ("/a/../../b", Rule::TargetAboveRoot),
            ("/%2e%2e/", Rule::TargetAboveRoot),
            ("/a/..;x/b", Rule::TargetDotParameter),
            ("/a/.;/b", Rule::TargetDotParameter),
            ("/a/%2e%2e;/b", Rule::TargetDotParameter),
            ("/a/..%2fb", Rule::TargetDotSlash),
            ("/%2e%2e%2Fb", Rule::TargetDotSlash),
            ("/a%2f%2e%2e/b", Rule::TargetDotSlash),
            ("/a%2f.;x/b", Rule::TargetDotSlash),
            ("/%00", Rule::TargetEscape),
            ("/%zz", Rule::TargetEscape),
            ("/%4", Rule::TargetEscape),
            ("/%", Rule::TargetEscape),
            ("/a%5c..%5cb", Rule::TargetByte),
            ("/%c0%ae%c0%ae/", Rule::TargetOverlong),
            ("/%e0%80%ae", Rule::TargetOverlong),
            ("/%F0%80%80%ae", Rule::TargetOverlong),
        ] {
            assert_eq!(normal_target(sent), Err(rule), "{sent}");
        }
    }

    proptest! {
        #[test]
        fn the_normal_form_of_a_normal_form_is_itself(path in "/([a./;%]|%2e|%41|[?]){0,12}") {
            if let Ok(normal) = normal_target(&path) {
                prop_assert_eq!(normal_target(&normal), Ok(Cow::Borrowed(&*normal)));
                let path = normal.split('?').next().unwrap_or_default();
                prop_assert!(!path.contains("//"), "{}", normal);
                prop_assert!(path.split('/').all(|segment| dots(segment) == 0), "{}", normal);
            }
        }
    }
}
