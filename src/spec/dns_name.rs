use std::fmt;
use std::sync::Arc;

/// A name that DNS resolves, in lower case. A dot at its end says that it is whole: no search domain of the
/// system is tried with it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsName(Arc<str>);

impl DnsName {
    /// Parses a name: labels of 1 to 63 letters, digits, `-` and `_` that begin and end with no `-`, 253 bytes
    /// in all (RFC 1035 section 2.3.4). One whose last label is a number is meant as an address (`127.1`,
    /// `0x7f000001`: the URL standard's rule) and so is none.
    pub fn new(text: &str) -> Option<Self> {
        let whole = text.strip_suffix('.').unwrap_or(text);
        let last = whole.rsplit('.').next().unwrap_or_default();
        let is_name = whole.len() <= LONGEST
            && whole.split('.').all(is_label)
            && !last.bytes().all(|b| b.is_ascii_digit())
            && !last.starts_with("0x")
            && !last.starts_with("0X");
        is_name.then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without the dot at its end.
    pub fn without_dot(&self) -> &str {
        self.0.strip_suffix('.').unwrap_or(&self.0)
    }
}

const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_labels_within_the_limits_of_dns() {
        let long = "a".repeat(63);
        let longest = [long.as_str(); 4].join(".");
        for good in [
            "app",
            "app.internal",
            "app.internal.",
            "_http._tcp.app",
            "1.a",
            long.as_str(),
            longest.get(..253).unwrap(),
        ] {
            assert_eq!(DnsName::new(good).unwrap().as_str(), good);
        }
        assert_eq!(
            DnsName::new("App.Internal").unwrap().as_str(),
            "app.internal"
        );
        for bad in [
            "",
            ".",
            "a..b",
            ".a",
            "a..",
            "-a",
            "a-",
            "a b",
            "a/b",
            "\u{e4}",
            "127.1",
            "a.1",
            "0x7f",
            "a.0X7f",
            &"a".repeat(64),
            &longest,
        ] {
            assert_eq!(DnsName::new(bad), None, "{bad}");
        }
    }
}
