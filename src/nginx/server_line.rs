use std::fmt;

use super::error::ParseError;
use super::statement::{Statement, Word};
use super::text::written;
use crate::spec::Span;

/// A `server` line, with nginx's default where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLine {
    /// As written; may be a name.
    pub address: String,
    /// `weight=`, at least 1.
    pub weight: u32,
    /// `max_conns=`; 0: no limit.
    pub max_conns: u32,
    /// `max_fails=`; 0: never taken out.
    pub max_fails: u32,
    /// `fail_timeout=`
    pub fail_timeout: Span,
    /// `slow_start=`, NGINX Plus.
    pub slow_start: Span,
    /// `backup`
    pub backup: bool,
    /// `down`
    pub down: bool,
    /// `drain`, NGINX Plus.
    pub drain: bool,
    /// `resolve`: the name is asked for again and again.
    pub resolve: bool,
    /// `service=`: the name of SRV records.
    pub service: Option<String>,
    /// `route=`, NGINX Plus: the server's name in sticky cookies.
    pub route: Option<String>,
}

const FLAGS: [&str; 4] = ["backup", "down", "drain", "resolve"];
const VALUES: [&str; 7] = [
    "weight",
    "max_conns",
    "max_fails",
    "fail_timeout",
    "slow_start",
    "service",
    "route",
];

impl ServerLine {
    /// A line with an address alone.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            weight: 1,
            max_conns: 0,
            max_fails: 1,
            fail_timeout: Span::from_secs(10),
            slow_start: Span::default(),
            backup: false,
            down: false,
            drain: false,
            resolve: false,
            service: None,
            route: None,
        }
    }

    pub(super) fn read(statement: &Statement) -> Result<Self, ParseError> {
        let form = "server ADDRESS [PARAMETER ...];";
        let words = statement.arguments(1, usize::MAX, form)?;
        let mut words = words.iter();
        let mut line = Self::new(
            words
                .next()
                .map(|word| word.text.as_str())
                .unwrap_or_default(),
        );
        // Of a parameter that stands twice the last counts, as in nginx.
        words.try_for_each(|word| line.set(word))?;
        Ok(line)
    }

    fn set(&mut self, word: &Word) -> Result<(), ParseError> {
        match word.halves() {
            ("weight", Some(value)) => self.weight = word.number(value, 1)?,
            ("max_conns", Some(value)) => self.max_conns = word.number(value, 0)?,
            ("max_fails", Some(value)) => self.max_fails = word.number(value, 0)?,
            ("fail_timeout", Some(value)) => self.fail_timeout = word.time(value)?,
            ("slow_start", Some(value)) => self.slow_start = word.time(value)?,
            ("service", Some(value)) => self.service = Some(named(word, value)?),
            ("route", Some(value)) => self.route = Some(named(word, value)?),
            ("backup", None) => self.backup = true,
            ("down", None) => self.down = true,
            ("drain", None) => self.drain = true,
            ("resolve", None) => self.resolve = true,
            (key, None) if VALUES.contains(&key) => {
                return Err(word.wrong(format_args!("a value is missing; write `{key}=...`")));
            }
            (key, Some(_)) if FLAGS.contains(&key) => {
                return Err(word.wrong(format_args!("write `{key}` without a value")));
            }
            _ => {
                let known = [&VALUES[..], &FLAGS[..]].concat();
                return Err(word.unknown("parameter of `server`", &known));
            }
        }
        Ok(())
    }
}

fn named(word: &Word, value: &str) -> Result<String, ParseError> {
    match value {
        "" => Err(word.wrong("a value is missing after `=`")),
        value => Ok(value.to_owned()),
    }
}

impl fmt::Display for ServerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = Self::new("");
        write!(f, "server {}", written(&self.address))?;
        let mut value = |key: &str, value: String, is_default: bool| match is_default {
            true => Ok(()),
            false => write!(f, " {}", written(&format!("{key}={value}"))),
        };
        value(
            "weight",
            self.weight.to_string(),
            self.weight == plain.weight,
        )?;
        value(
            "max_conns",
            self.max_conns.to_string(),
            self.max_conns == plain.max_conns,
        )?;
        value(
            "max_fails",
            self.max_fails.to_string(),
            self.max_fails == plain.max_fails,
        )?;
        let (fail_timeout, slow_start) = (self.fail_timeout, self.slow_start);
        value(
            "fail_timeout",
            fail_timeout.to_string(),
            fail_timeout == plain.fail_timeout,
        )?;
        value(
            "slow_start",
            slow_start.to_string(),
            slow_start == plain.slow_start,
        )?;
        for (key, name) in [("service", &self.service), ("route", &self.route)] {
            value(key, name.clone().unwrap_or_default(), name.is_none())?;
        }
        let flags = [self.backup, self.down, self.drain, self.resolve];
        let mut set = FLAGS.iter().zip(flags).filter(|(_, is_set)| *is_set);
        set.try_for_each(|(flag, _)| write!(f, " {flag}"))
    }
}
