use serde::Deserialize;

use super::{Name, shortened};

/// Names by a pattern in which `*` stands for any characters: `web-*`. Case does not matter, as it
/// does not in names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NamePattern(String);

impl NamePattern {
    /// The pattern that every name matches.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// Whether it is the pattern that every name matches.
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// Whether the name is meant.
    pub fn matches(&self, name: &Name) -> bool {
        let name = name.as_str().to_ascii_lowercase();
        let Some((head, tail)) = self.0.split_once('*') else {
            return self.0 == name;
        };
        let Some(mut rest) = name.strip_prefix(head) else {
            return false;
        };
        // The last piece must end the name; each other is best found as early as possible.
        let (middle, last) = tail.rsplit_once('*').unwrap_or(("", tail));
        for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
            match rest.split_once(piece) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl TryFrom<String> for NamePattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match Name::new(&text.replace('*', "-")) {
            Ok(_) => Ok(Self(text.to_ascii_lowercase())),
            Err(_) => Err(format!(
                "`{}` matches no name: write a name, with `*` for any characters",
                shortened(&text)
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let matches = |pattern: &str, name: &str| {
            NamePattern::try_from(pattern.to_owned())
                .unwrap()
                .matches(&Name::new(name).unwrap())
        };
        for (pattern, name) in [
            ("*", "web"),
            ("web-*", "Web-1"),
            ("WEB", "web"),
            ("a*b*c", "a-b-b-c"),
            ("*b", "ab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("web-*", "web"),
            ("web", "web2"),
            ("a*a", "a"),
            ("a*b*c", "a-c"),
            ("*b", "ba"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
