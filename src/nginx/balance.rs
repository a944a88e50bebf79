use std::fmt;

use super::error::ParseError;
use super::statement::Statement;
use super::text::written;

/// How a block picks a server, where it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// `ip_hash`
    IpHash,
    /// `least_conn`
    LeastConn,
    /// `least_time header|last_byte [inflight]`, NGINX Plus: its words.
    LeastTime(Vec<String>),
    /// `random [two [METHOD]]`; without `two` there is nothing to compare.
    Random(Option<Better>),
    /// `hash KEY [consistent]`
    Hash {
        /// What is hashed, with variables.
        key: String,
        /// Whether ketama's ring is asked for.
        consistent: bool,
    },
}

/// By what the better of two random servers is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Fewer connections, nginx's default.
    LeastConn,
    /// `least_time=header`, NGINX Plus.
    LeastTimeHeader,
    /// `least_time=last_byte`, NGINX Plus.
    LeastTimeLastByte,
}

impl Better {
    const WORDS: [(&'static str, Self); 3] = [
        ("least_conn", Self::LeastConn),
        ("least_time=header", Self::LeastTimeHeader),
        ("least_time=last_byte", Self::LeastTimeLastByte),
    ];

    fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, better)| *better == self);
        found.map_or("", |(word, _)| word)
    }
}

impl Balance {
    /// The directives that this reads.
    pub(super) const NAMES: [&str; 5] = ["ip_hash", "least_conn", "least_time", "random", "hash"];

    /// None if the statement is not about how a server is picked.
    pub(super) fn read(statement: &Statement) -> Result<Option<Self>, ParseError> {
        Ok(Some(match statement.name.text.as_str() {
            "ip_hash" => statement
                .arguments(0, 0, "ip_hash;")
                .map(|_| Self::IpHash)?,
            "least_conn" => statement
                .arguments(0, 0, "least_conn;")
                .map(|_| Self::LeastConn)?,
            "least_time" => {
                statement.arguments(1, 2, "least_time header|last_byte [inflight];")?;
                Self::LeastTime(statement.texts())
            }
            "random" => Self::random(statement)?,
            "hash" => Self::hash(statement)?,
            _ => return Ok(None),
        }))
    }

    fn random(statement: &Statement) -> Result<Self, ParseError> {
        let form = "random [two [least_conn|least_time=header|least_time=last_byte]];";
        match statement.arguments(0, 2, form)? {
            [] => Ok(Self::Random(None)),
            [two, ..] if two.text != "two" => Err(two.unknown("word", &["two"])),
            [_] => Ok(Self::Random(Some(Better::LeastConn))),
            [_, by, ..] => {
                let found = Better::WORDS.iter().find(|(word, _)| *word == by.text);
                let known = Better::WORDS.map(|(word, _)| word);
                let better = found.ok_or_else(|| by.unknown("method", &known))?.1;
                Ok(Self::Random(Some(better)))
            }
        }
    }

    fn hash(statement: &Statement) -> Result<Self, ParseError> {
        let arguments = statement.arguments(1, 2, "hash KEY [consistent];")?;
        let mut arguments = arguments.iter();
        let key = arguments.next().map(|word| word.text.clone());
        let consistent = arguments.next();
        if let Some(word) = consistent.filter(|word| word.text != "consistent") {
            return Err(word.unknown("word", &["consistent"]));
        }
        Ok(Self::Hash {
            key: key.unwrap_or_default(),
            consistent: consistent.is_some(),
        })
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IpHash => f.write_str("ip_hash"),
            Self::LeastConn => f.write_str("least_conn"),
            Self::LeastTime(words) => {
                f.write_str("least_time")?;
                words
                    .iter()
                    .try_for_each(|word| write!(f, " {}", written(word)))
            }
            Self::Random(None) => f.write_str("random"),
            Self::Random(Some(better)) => write!(f, "random two {}", better.word()),
            Self::Hash { key, consistent } => {
                let more = if *consistent { " consistent" } else { "" };
                write!(f, "hash {}{more}", written(key))
            }
        }
    }
}
