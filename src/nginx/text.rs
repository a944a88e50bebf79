use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

use super::error::{At, ParseError};
use super::statement::{Statement, Word};

/// Splits a text into statements by nginx's rules (`ngx_conf_read_token`): words end at blanks, `;` and
/// `{`; quotes and comments begin only where a word does; `\"`, `\'`, `\\`, `\t`, `\r` and `\n` stand for
/// one character, a backslash before anything else for itself.
pub(super) fn statements(text: &str) -> Result<Vec<Statement>, ParseError> {
    let mut scanner = Scanner {
        rest: text.chars().peekable(),
        at: At::START,
    };
    let mut statements = Vec::new();
    while let Some(statement) = scanner.statement()? {
        statements.push(statement);
    }
    Ok(statements)
}

/// A word as it would be written: in quotes where it could not stand alone.
pub(super) fn written(word: &str) -> Cow<'_, str> {
    let is_special =
        |c: char| is_blank(c) || matches!(c, ';' | '{' | '}' | '"' | '\'' | '#' | '\\');
    if !word.is_empty() && !word.contains(is_special) {
        return Cow::Borrowed(word);
    }
    let mut quoted = String::from('"');
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

/// nginx knows no other blanks.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

struct Scanner<'a> {
    rest: Peekable<Chars<'a>>,
    at: At,
}

impl Scanner<'_> {
    fn statement(&mut self) -> Result<Option<Statement>, ParseError> {
        let mut words = Vec::new();
        loop {
            self.skip();
            let at = self.at;
            match self.rest.peek() {
                None if words.is_empty() => return Ok(None),
                None => {
                    return Err(ParseError::new(
                        at,
                        "",
                        "the text ends where `;` is missing",
                    ));
                }
                Some(';') => {
                    self.step();
                    let statement = Statement::new(words);
                    let nothing = || ParseError::new(at, ";", "no directive stands before it");
                    return statement.ok_or_else(nothing).map(Some);
                }
                Some('{') => {
                    let rule = "a block is not taken here: give what stands in `upstream {}`";
                    return Err(ParseError::new(at, "{", rule));
                }
                Some('}') => return Err(ParseError::new(at, "}", "it closes nothing here")),
                Some(&quote @ ('"' | '\'')) => words.push(self.quoted(quote)?),
                Some(_) => words.push(self.plain()),
            }
        }
    }

    /// Goes to the next word: past blanks and comments.
    fn skip(&mut self) {
        while let Some(&c) = self.rest.peek() {
            if c == '#' {
                while self.step().is_some_and(|c| c != '\n') {}
            } else if is_blank(c) {
                self.step();
            } else {
                return;
            }
        }
    }

    fn plain(&mut self) -> Word {
        let at = self.at;
        let mut text = String::new();
        let mut follows_dollar = false;
        while let Some(&c) = self.rest.peek() {
            // `${name}` is a variable, no block.
            if is_blank(c) || c == ';' || (c == '{' && !follows_dollar) {
                break;
            }
            self.step();
            follows_dollar = c == '$';
            match c {
                '\\' => self.escaped(&mut text),
                c => text.push(c),
            }
        }
        Word { at, text }
    }

    fn quoted(&mut self, quote: char) -> Result<Word, ParseError> {
        let at = self.at;
        let mut text = String::new();
        self.step();
        loop {
            match self.step() {
                None => {
                    let rule = "this quote is not closed";
                    return Err(ParseError::new(at, &quote.to_string(), rule));
                }
                Some('\\') => self.escaped(&mut text),
                Some(c) if c == quote => break,
                Some(c) => text.push(c),
            }
        }
        match self.rest.peek() {
            Some(&c) if !is_blank(c) && !matches!(c, ';' | '{') => Err(ParseError::new(
                self.at,
                &c.to_string(),
                "after a closing quote a blank or `;` is missing",
            )),
            _ => Ok(Word { at, text }),
        }
    }

    /// What follows a backslash.
    fn escaped(&mut self, text: &mut String) {
        match self.step() {
            Some(c @ ('"' | '\'' | '\\')) => text.push(c),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(other) => text.extend(['\\', other]),
            None => text.push('\\'),
        }
    }

    fn step(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.at.line += 1;
            self.at.column = 1;
        } else {
            self.at.column += 1;
        }
        Some(c)
    }
}
