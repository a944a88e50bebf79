//! A source file as a flat list of tokens: comments and the insides of strings are gone, each token knows its line and whether it is test code.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::{fs, path::Path, str::FromStr};

/// One Rust file.
pub(crate) struct Source {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    pub(crate) lines: usize,
    pub(crate) tokens: Vec<Token>,
}

pub(crate) struct Token {
    /// An identifier, a bracket or one character of punctuation; empty for a literal.
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) identifier: bool,
    /// Stands below `#[cfg(test)]`, or in a file that does as a whole.
    pub(crate) test: bool,
}

impl Source {
    /// Every `.rs` file below `folder`; none if it does not exist.
    pub(crate) fn all_below(root: &Path, folder: &str) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(root.join(folder)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let mut sources = Vec::new();
        for path in names.iter().map(|name| format!("{folder}/{name}")) {
            if root.join(&path).is_dir() {
                sources.extend(Self::all_below(root, &path));
            } else if path.ends_with(".rs") {
                let text = fs::read_to_string(root.join(&path)).unwrap();
                sources.push(Self::parse(&path, &text));
            }
        }
        sources
    }

    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let stream = TokenStream::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        let test =
            path.ends_with("/tests.rs") || path.contains("/tests/") || !path.starts_with("src/");
        tokens.iter_mut().for_each(|token| token.test = test);
        mark_test_items(&mut tokens);
        Self {
            path: path.to_owned(),
            lines: text.lines().count(),
            tokens,
        }
    }

    /// `src/domain/balancer/random.rs` -> `["domain", "balancer", "random"]`; none for `lib.rs` and `main.rs`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut parts: Vec<&str> = inner.split('/').collect();
        if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
            parts.pop();
        }
        parts
    }

    /// Where `pattern` begins, one entry for each place.
    pub(crate) fn find<'a>(&'a self, pattern: &'a [&'a str]) -> impl Iterator<Item = usize> + 'a {
        (0..self.tokens.len()).filter(|&at| self.matches(at, pattern))
    }

    pub(crate) fn matches(&self, at: usize, pattern: &[&str]) -> bool {
        pattern
            .iter()
            .enumerate()
            .all(|(offset, wanted)| self.text(at + offset) == *wanted)
    }

    /// Empty past the end.
    pub(crate) fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    /// The bracket that closes the one at `open`.
    pub(crate) fn closing(&self, open: usize) -> usize {
        closing(&self.tokens, open)
    }
}

fn flatten(stream: TokenStream, into: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let mut push = |text: String, line, identifier| {
            into.push(Token {
                text,
                line,
                identifier,
                test: false,
            })
        };
        match tree {
            TokenTree::Ident(name) => push(name.to_string(), line, true),
            TokenTree::Punct(sign) => push(sign.as_char().to_string(), line, false),
            TokenTree::Literal(_) => push(String::new(), line, false),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                let last = group.span_close().end().line;
                push(open.to_owned(), line, false);
                flatten(group.stream(), into);
                into.push(Token {
                    text: close.to_owned(),
                    line: last,
                    identifier: false,
                    test: false,
                });
            }
        }
    }
}

/// The item after `#[cfg(test)]` reaches to its closing brace, or to the semicolon if it has none.
fn mark_test_items(tokens: &mut [Token]) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    for start in 0..tokens.len().saturating_sub(MARK.len()) {
        if MARK
            .iter()
            .enumerate()
            .any(|(offset, wanted)| tokens[start + offset].text != *wanted)
        {
            continue;
        }
        let mut end = start + MARK.len();
        while end < tokens.len() && !["{", ";"].contains(&tokens[end].text.as_str()) {
            end = if ["(", "["].contains(&tokens[end].text.as_str()) {
                closing(tokens, end) + 1
            } else {
                end + 1
            };
        }
        if end < tokens.len() && tokens[end].text == "{" {
            end = closing(tokens, end);
        }
        tokens
            .iter_mut()
            .take(end + 1)
            .skip(start)
            .for_each(|token| token.test = true);
    }
}

fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len().saturating_sub(1)
}
