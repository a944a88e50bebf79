use std::fmt;

use crate::spec::nearest;

/// A place in the text; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl At {
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The first thing that is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {}{rule}", prefix(.token))]
pub struct ParseError {
    /// Where the token begins.
    pub at: At,
    /// The word or character that is wrong, fit for a line of a log; empty at the end of the text.
    pub token: String,
    /// The rule that it breaks, and what was most likely meant.
    pub rule: String,
}

impl ParseError {
    pub(super) fn new(at: At, token: &str, rule: impl fmt::Display) -> Self {
        Self {
            at,
            token: shown(token),
            rule: rule.to_string(),
        }
    }
}

fn prefix(token: &str) -> String {
    match token {
        "" => String::new(),
        token => format!("`{token}`: "),
    }
}

/// A word of the text as it is told: in one line, cut where it stops saying more.
pub(super) fn shown(word: &str) -> String {
    one_line(word, LONGEST_WORD)
}

const LONGEST_WORD: usize = 60;

/// At most so many characters, none of which could end a line.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for c in text.chars().take(most) {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    if text.chars().nth(most).is_some() {
        line.push_str("...");
    }
    line
}

/// What was most likely meant by an unknown word, or what is known.
pub(super) fn hint(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}
