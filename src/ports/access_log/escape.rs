//! Text from outside made safe for a line: no byte of it can end the line, leave its field or reach a terminal as a
//! control sequence. Both functions append at most `limit` bytes.

/// Appends `text` as the inside of a JSON string. Invalid UTF-8 becomes U+FFFD. Escaped beyond what RFC 8259 asks: U+007F
/// to U+009F (a terminal may obey them), U+2028 and U+2029 (line ends to some readers) and the bidirectional controls
/// (they show a line in another order than it has).
pub(super) fn json(out: &mut Vec<u8>, text: &[u8], limit: usize) {
    if text.len() <= limit
        && text
            .iter()
            .fold(true, |plain, byte| plain & is_plain(*byte))
    {
        out.extend_from_slice(text);
        return;
    }
    let mut bounded = Bounded::new(out, limit, "…".as_bytes());
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            if !json_char(&mut bounded, char) {
                return;
            }
        }
        if !chunk.invalid().is_empty() && !bounded.push("\u{FFFD}".as_bytes()) {
            return;
        }
    }
}

/// Appends `text` as nginx's log module does (`escape=default`): `"`, `\`, control bytes and bytes from 0x7F up become
/// `\xXX`.
pub(super) fn nginx(out: &mut Vec<u8>, text: &[u8], limit: usize) {
    if text.len() <= limit
        && text
            .iter()
            .fold(true, |plain, byte| plain & is_plain(*byte))
    {
        out.extend_from_slice(text);
        return;
    }
    let mut bounded = Bounded::new(out, limit, br"\xE2\x80\xA6");
    for &byte in text {
        let kept = if is_plain(byte) {
            bounded.push(&[byte])
        } else {
            bounded.push(&[b'\\', b'x', hex(byte >> 4), hex(byte)])
        };
        if !kept {
            return;
        }
    }
}

/// Appends whole units until one would pass the limit; then cuts back to where the marker fits and ends with it.
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
    marker: &'static [u8],
    /// The last end of a unit after which the marker still fits.
    cut: usize,
}

impl<'a> Bounded<'a> {
    fn new(out: &'a mut Vec<u8>, limit: usize, marker: &'static [u8]) -> Self {
        let start = out.len();
        Self {
            limit: start + limit,
            cut: start,
            marker,
            out,
        }
    }

    /// False once the limit is reached: nothing more may be pushed.
    fn push(&mut self, unit: &[u8]) -> bool {
        let end = self.out.len() + unit.len();
        if end > self.limit {
            self.out.truncate(self.cut);
            self.out.extend_from_slice(self.marker);
            return false;
        }
        self.out.extend_from_slice(unit);
        if end + self.marker.len() <= self.limit {
            self.cut = end;
        }
        true
    }
}

fn json_char(bounded: &mut Bounded<'_>, char: char) -> bool {
    match char {
        '"' => bounded.push(br#"\""#),
        '\\' => bounded.push(br"\\"),
        '\n' => bounded.push(br"\n"),
        '\r' => bounded.push(br"\r"),
        '\t' => bounded.push(br"\t"),
        '\0'..='\u{1F}'
        | '\u{7F}'..='\u{9F}'
        | '\u{200E}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2066}'..='\u{2069}' => {
            let code = u32::from(char);
            let [.., high, low] = code.to_be_bytes();
            bounded.push(&[
                b'\\',
                b'u',
                hex(high >> 4),
                hex(high),
                hex(low >> 4),
                hex(low),
            ])
        }
        _ => bounded.push(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Printable ASCII that stands for itself in both formats. Compared without branches, so that the compiler can
/// test sixteen bytes at a time.
fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) & (byte != b'"') & (byte != b'\\')
}

/// The low four bits as an upper-case digit.
fn hex(nibble: u8) -> u8 {
    match nibble & 0xF {
        digit @ 0..=9 => b'0' + digit,
        letter => b'A' - 10 + letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: fn(&mut Vec<u8>, &[u8], usize), text: &[u8], limit: usize) -> String {
        let mut out = b"<".to_vec();
        escape(&mut out, text, limit);
        String::from_utf8(out).unwrap().split_off(1)
    }

    #[test]
    fn json_escapes_quotes_controls_and_line_separators() {
        let text = "a\"b\\c\r\n\t\0\u{1b}[2J\u{7f}\u{9b}\u{2028}\u{202e}é".as_bytes();
        assert_eq!(
            escaped(json, text, 200),
            r#"a\"b\\c\r\n\t\u0000\u001B[2J\u007F\u009B\u2028\u202Eé"#
        );
    }

    #[test]
    fn json_replaces_what_is_not_utf_8() {
        assert_eq!(escaped(json, b"a\xff\xc3(", 200), "a\u{FFFD}\u{FFFD}(");
    }

    #[test]
    fn nginx_escapes_quotes_controls_and_everything_beyond_ascii() {
        assert_eq!(
            escaped(nginx, b"a\"b\\\r\n\x1b\x7f\xc3\xa9", 200),
            r"a\x22b\x5C\x0D\x0A\x1B\x7F\xC3\xA9"
        );
    }

    #[test]
    fn a_text_of_exactly_the_limit_is_kept_whole() {
        assert_eq!(escaped(json, b"12345678", 8), "12345678");
        assert_eq!(escaped(json, b"1234567\n", 9), r"1234567\n");
    }

    #[test]
    fn a_longer_text_ends_in_the_marker_within_the_limit() {
        assert_eq!(escaped(json, b"123456789", 8), "12345…");
        assert_eq!(escaped(nginx, b"1234567890123", 12), r"\xE2\x80\xA6");
        assert_eq!(escaped(nginx, b"12345678901234", 13), r"1\xE2\x80\xA6");
    }

    #[test]
    fn an_escape_sequence_is_never_cut_in_half() {
        assert_eq!(escaped(json, b"\x01\x01\x01", 13), r"\u0001…");
        assert_eq!(escaped(json, "ééééé".as_bytes(), 8), "éé…");
    }
}
