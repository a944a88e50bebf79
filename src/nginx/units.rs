use crate::spec::Span;

/// Digits alone; signs, blanks and anything beyond 32 bits are nothing.
pub(super) fn number(text: &str) -> Option<u32> {
    digits(text)?.try_into().ok()
}

fn digits(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// A length of time as nginx writes it: `1h 30m`, `10s`, `500ms`, or a bare number of seconds. Units stand
/// from the largest to the smallest, each at most once.
pub(super) fn time(text: &str) -> Option<Span> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0_u64;
    loop {
        let tail = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let (count, after) = rest.split_at_checked(rest.len() - tail.len())?;
        let letters = after.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let (unit, after) = after.split_at_checked(after.len() - letters.len())?;
        let unit = if unit.is_empty() && after.is_empty() {
            "s"
        } else {
            unit
        };
        // What was gone past is larger, or was there already.
        let (_, length) = units.find(|(name, _)| *name == unit)?;
        let length = count.parse::<u64>().ok()?.checked_mul(*length)?;
        total = total.checked_add(length)?;
        rest = after.trim_start_matches(' ');
        if rest.is_empty() {
            break;
        }
    }
    // The one that knows the longest.
    Span::try_from(format!("{total}ms")).ok()
}

/// Each unit with its milliseconds, the largest first.
const UNITS: [(&str, u64); 8] = [
    ("y", 365 * 86_400_000),
    ("M", 30 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A number of bytes: `64k`, `1m`, `1g` or bare.
pub(super) fn size(text: &str) -> Option<u64> {
    let (count, unit) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (text.get(..at)?, 1 << 10),
        (at, 'm' | 'M') => (text.get(..at)?, 1 << 20),
        (at, 'g' | 'G') => (text.get(..at)?, 1 << 30),
        _ => (text, 1),
    };
    digits(count)?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_nginx_does() {
        for (text, shown) in [
            ("10s", "10s"),
            ("10", "10s"),
            ("0", "0s"),
            ("500ms", "500ms"),
            ("1m", "1m"),
            ("1h30m", "90m"),
            ("1h 30m 5", "5405s"),
            ("1y", "365d"),
            ("1M", "30d"),
            ("2w", "14d"),
            ("1d 1s 1ms", "86401001ms"),
        ] {
            let span = time(text).map(|span| span.to_string());
            assert_eq!(span.as_deref(), Some(shown), "{text}");
        }
        for bad in [
            "",
            " ",
            "s",
            "1x",
            "-1",
            "+1",
            "1.5s",
            "10 s",
            "1s1m",
            "1s 1s",
            "5s 5",
            "11y",
            "1S",
            "99999999999999999999",
            "١s",
        ] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_and_sizes_are_digits_and_at_most_a_unit() {
        assert_eq!(
            (number("0"), number("4294967295")),
            (Some(0), Some(u32::MAX))
        );
        for bad in ["", "-1", "+1", " 1", "1 ", "4294967296", "0x1", "١"] {
            assert_eq!(number(bad), None, "{bad}");
        }
        assert_eq!(
            (size("64k"), size("1M"), size("5")),
            (Some(65_536), Some(1 << 20), Some(5))
        );
        assert_eq!(
            (size(""), size("k"), size("1kk"), size("1é")),
            (None, None, None, None)
        );
    }
}
