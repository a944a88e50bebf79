use std::fmt::Display;

use super::error::{At, ParseError, hint};
use super::units;
use crate::spec::Span;

/// A word with its place, quotes and escapes resolved.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) at: At,
    pub(super) text: String,
}

/// A directive's name and its arguments, before `;`.
pub(super) struct Statement {
    pub(super) name: Word,
    pub(super) arguments: Vec<Word>,
}

impl Statement {
    /// None of no words.
    pub(super) fn new(words: Vec<Word>) -> Option<Self> {
        let mut words = words.into_iter();
        Some(Self {
            name: words.next()?,
            arguments: words.collect(),
        })
    }

    /// The arguments, if their number is one that the directive takes; `form` is how it is written.
    pub(super) fn arguments(
        &self,
        least: usize,
        most: usize,
        form: &str,
    ) -> Result<&[Word], ParseError> {
        if let Some(word) = self.arguments.get(most) {
            return Err(word.wrong(format_args!("that is one too many; write `{form}`")));
        }
        if self.arguments.len() < least {
            let rule = format_args!("something is missing; write `{form}`");
            return Err(self.name.wrong(rule));
        }
        Ok(&self.arguments)
    }

    /// The one argument.
    pub(super) fn only(&self, form: &str) -> Result<&Word, ParseError> {
        let arguments = self.arguments(1, 1, form)?;
        // One is there, as was just checked; the name stands in for it.
        Ok(arguments.first().unwrap_or(&self.name))
    }

    /// What the arguments say.
    pub(super) fn texts(&self) -> Vec<String> {
        self.arguments
            .iter()
            .map(|word| word.text.clone())
            .collect()
    }
}

impl Word {
    pub(super) fn wrong(&self, rule: impl Display) -> ParseError {
        ParseError::new(self.at, &self.text, rule)
    }

    /// An unknown word where one of these is wanted.
    pub(super) fn unknown(&self, what: &str, known: &[&str]) -> ParseError {
        let name = self.text.split('=').next().unwrap_or_default();
        self.wrong(format_args!("unknown {what}; {}", hint(name, known)))
    }

    /// `key=value`, or a word alone.
    pub(super) fn halves(&self) -> (&str, Option<&str>) {
        match self.text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (&self.text, None),
        }
    }

    /// A whole number not below `least` out of this word.
    pub(super) fn number(&self, text: &str, least: u32) -> Result<u32, ParseError> {
        let number = units::number(text).filter(|number| *number >= least);
        number.ok_or_else(|| {
            self.wrong(format_args!(
                "write a whole number from {least} to {}",
                u32::MAX
            ))
        })
    }

    /// A length of time out of this word.
    pub(super) fn time(&self, text: &str) -> Result<Span, ParseError> {
        units::time(text).ok_or_else(|| {
            self.wrong("write a length of time such as `10s`, `1m30s`, `500ms` or `10` (seconds)")
        })
    }
}
