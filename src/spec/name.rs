use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::Equivalent;
use serde::{Deserialize, Serialize};

use super::shortened;

/// A group name or a route id: `[A-Za-z0-9._:-]{1,255}`, but not `.` or `..`.
///
/// Two names that differ only in case are equal, as nginx looks up `upstream` blocks; the case as
/// written is kept for display.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or more than 255 bytes.
    #[error("a name has 1 to 255 characters, this has {0}")]
    Length(usize),
    /// A character outside the set.
    #[error("a name consists of letters, digits, `.`, `_`, `:` and `-`; `{text}` has {bad:?}", text = shortened(.0), bad = .1)]
    Character(String, char),
    /// As segments of a path they stand for places (RFC 3986 section 3.3): clients take them out.
    #[error("`{0}` is no name: no URL could lead to it")]
    Dots(String),
}

impl Name {
    /// Parses a name. Errors name the broken rule.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > LONGEST {
            return Err(NameError::Length(text.chars().count()));
        }
        if matches!(text, "." | "..") {
            return Err(NameError::Dots(text.to_owned()));
        }
        match text.chars().find(|&c| !is_name_character(c)) {
            Some(bad) => Err(NameError::Character(text.to_owned(), bad)),
            None => Ok(Self(text.into())),
        }
    }

    /// A name from any text: characters that a name cannot have become `-`.
    pub fn from_any(text: &str) -> Self {
        let fitting = |c: char| if is_name_character(c) { c } else { '-' };
        let kept: String = text.chars().map(fitting).take(LONGEST).collect();
        Self(match kept.as_str() {
            "" | "." | ".." => "-".into(),
            _ => kept.into(),
        })
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        folded(&self.0)
    }
}

fn folded(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.bytes().map(|b| b.to_ascii_lowercase())
}

fn hash(text: &str, state: &mut impl Hasher) {
    folded(text).for_each(|byte| state.write_u8(byte));
    state.write_u8(0xff);
}

/// Any text as a key into a table of [`Name`]s, without making a name of it.
#[derive(Debug, Clone, Copy)]
pub struct AsName<'a>(pub &'a str);

impl Hash for AsName<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.0, state);
    }
}

impl Equivalent<Name> for AsName<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        name.0.eq_ignore_ascii_case(self.0)
    }
}

const LONGEST: usize = 255;

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-')
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.0, state);
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.0.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_by_more_than_case() {
        let name = |text: &str| Name::new(text).unwrap();
        assert_eq!(name("Web"), name("wEB"));
        assert_ne!(name("web"), name("web2"));
        assert_eq!(name("a").cmp(&name("B")), Ordering::Less);
        assert_eq!(name("Web").to_string(), "Web");
    }

    #[test]
    fn a_name_is_refused_with_the_rule() {
        assert_eq!(Name::new(""), Err(NameError::Length(0)));
        assert_eq!(Name::new(&"a".repeat(256)), Err(NameError::Length(256)));
        assert_eq!(
            Name::new("a/b"),
            Err(NameError::Character("a/b".into(), '/'))
        );
        for dots in [".", ".."] {
            assert_eq!(Name::new(dots), Err(NameError::Dots(dots.into())));
            assert_eq!(Name::from_any(dots).as_str(), "-");
        }
        assert!(Name::new("...").is_ok());
    }
}
