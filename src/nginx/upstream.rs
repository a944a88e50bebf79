use std::collections::HashMap;
use std::fmt;

use super::balance::Balance;
use super::check::{Check, StatusClass};
use super::error::{At, ParseError};
use super::server_line::ServerLine;
use super::statement::Statement;
use super::text::{statements, written};
use super::units;
use crate::spec::Span;

/// The contents of an `upstream {}` block: at least one server that is no backup, each setting once.
///
/// Shown as text that reads as the same block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamBlock {
    directives: Vec<Placed<Directive>>,
}

/// Something with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// Where its name begins.
    pub at: At,
    /// The thing itself.
    pub it: T,
}

/// One line of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// `server ADDRESS [PARAMETER ...];`
    Server(ServerLine),
    /// `ip_hash;`, `least_conn;`, `random ...;`, `hash ...;`
    Balance(Balance),
    /// `keepalive N [local];`: idle connections kept by each worker.
    Keepalive(u32),
    /// `keepalive_timeout TIME;`
    KeepaliveTimeout(Span),
    /// `keepalive_requests N;`
    KeepaliveRequests(u32),
    /// `keepalive_time TIME;`
    KeepaliveTime(Span),
    /// `zone NAME [SIZE];`: its name and bytes.
    Zone(String, Option<u64>),
    /// `check ...;`
    Check(Check),
    /// `check_http_send TEXT;`
    CheckHttpSend(String),
    /// `check_http_expect_alive CLASS ...;`
    CheckHttpExpectAlive(Vec<StatusClass>),
    /// `check_keepalive_requests N;`
    CheckKeepaliveRequests(u32),
    /// A directive that is known by its name alone, with its words.
    Other(String, Vec<String>),
}

/// The longest text that is read, in bytes: nginx's own limit of a request's body.
pub const LONGEST_TEXT: usize = 1 << 20;
/// The most servers in a block.
pub const MOST_SERVERS: usize = 10_000;

const SETTINGS: [&str; 10] = [
    "server",
    "keepalive",
    "keepalive_timeout",
    "keepalive_requests",
    "keepalive_time",
    "zone",
    "check",
    "check_http_send",
    "check_http_expect_alive",
    "check_keepalive_requests",
];
const OTHERS: [&str; 8] = [
    "sticky",
    "queue",
    "ntlm",
    "state",
    "resolver",
    "resolver_timeout",
    "check_fastcgi_param",
    "balancer_by_lua_file",
];

impl UpstreamBlock {
    /// Reads a text. The error is about the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > LONGEST_TEXT {
            let rule = format!("a block has at most {LONGEST_TEXT} bytes");
            return Err(ParseError::new(At::START, "", rule));
        }
        let mut directives = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        let mut servers = 0;
        for statement in statements(text)? {
            let (name, at) = (&statement.name, statement.name.at);
            let it = Directive::read(&statement)?;
            match it {
                Directive::Server(_) => servers += 1,
                // Of several methods the last counts, with nginx too.
                Directive::Balance(_) => {}
                _ => {
                    if let Some(line) = lines.insert(name.text.clone(), at.line) {
                        return Err(name.wrong(format_args!("it is already set in line {line}")));
                    }
                }
            }
            if servers > MOST_SERVERS {
                let rule = format!("a block has at most {MOST_SERVERS} servers");
                return Err(name.wrong(rule));
            }
            directives.push(Placed { at, it });
        }
        Self::new(directives)
    }

    fn new(directives: Vec<Placed<Directive>>) -> Result<Self, ParseError> {
        let block = Self { directives };
        let first = block.servers().next().map(|line| line.at);
        let rule = match first {
            None => "a block needs a `server`",
            Some(_) if block.servers().all(|line| line.it.backup) => {
                "a block needs a server that is no backup"
            }
            Some(_) => return Ok(block),
        };
        Err(ParseError::new(first.unwrap_or(At::START), "", rule))
    }

    /// Every line, in order.
    pub fn directives(&self) -> &[Placed<Directive>] {
        &self.directives
    }

    /// The `server` lines, in order.
    pub fn servers(&self) -> impl Iterator<Item = Placed<&ServerLine>> {
        self.directives.iter().filter_map(|line| match &line.it {
            Directive::Server(server) => Some(Placed {
                at: line.at,
                it: server,
            }),
            _ => None,
        })
    }
}

impl Directive {
    fn read(statement: &Statement) -> Result<Self, ParseError> {
        if let Some(balance) = Balance::read(statement)? {
            return Ok(Self::Balance(balance));
        }
        let number = |form: &str| {
            let word = statement.only(form)?;
            word.number(&word.text, 1)
        };
        let time = |form: &str| {
            let word = statement.only(form)?;
            word.time(&word.text)
        };
        Ok(match statement.name.text.as_str() {
            "server" => Self::Server(ServerLine::read(statement)?),
            "keepalive" => Self::Keepalive(keepalive(statement)?),
            "keepalive_timeout" => Self::KeepaliveTimeout(time("keepalive_timeout TIME;")?),
            "keepalive_requests" => Self::KeepaliveRequests(number("keepalive_requests N;")?),
            "keepalive_time" => Self::KeepaliveTime(time("keepalive_time TIME;")?),
            "zone" => zone(statement)?,
            "check" => Self::Check(Check::read(statement)?),
            "check_http_send" => {
                Self::CheckHttpSend(statement.only("check_http_send TEXT;")?.text.clone())
            }
            "check_http_expect_alive" => {
                let words = statement.arguments(1, 5, "check_http_expect_alive CLASS ...;")?;
                let classes: Result<_, _> = words.iter().map(StatusClass::read).collect();
                Self::CheckHttpExpectAlive(classes?)
            }
            "check_keepalive_requests" => {
                Self::CheckKeepaliveRequests(number("check_keepalive_requests N;")?)
            }
            name if OTHERS.contains(&name) => Self::Other(name.to_owned(), statement.texts()),
            _ => {
                let known = [&SETTINGS[..], &Balance::NAMES, &OTHERS].concat();
                return Err(statement.name.unknown("directive", &known));
            }
        })
    }
}

/// nginx 1.29.7 added `local`, and 0 for none.
fn keepalive(statement: &Statement) -> Result<u32, ParseError> {
    match statement.arguments(1, 2, "keepalive N [local];")? {
        [_, local, ..] if local.text != "local" => Err(local.unknown("word", &["local"])),
        [number, ..] => number.number(&number.text, 0),
        [] => Err(statement.name.wrong("write `keepalive N;`")),
    }
}

fn zone(statement: &Statement) -> Result<Directive, ParseError> {
    let mut words = statement.arguments(1, 2, "zone NAME [SIZE];")?.iter();
    let name = words.next().map(|word| word.text.clone());
    let bytes = |word: &super::statement::Word| {
        units::size(&word.text).ok_or_else(|| word.wrong("write a size such as `64k` or `1m`"))
    };
    let size = words.next().map(bytes).transpose()?;
    Ok(Directive::Zone(name.unwrap_or_default(), size))
}

impl fmt::Display for UpstreamBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.directives.iter();
        lines.try_for_each(|line| writeln!(f, "{};", line.it))
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(line) => line.fmt(f),
            Self::Balance(balance) => balance.fmt(f),
            Self::Keepalive(number) => write!(f, "keepalive {number}"),
            Self::KeepaliveTimeout(time) => write!(f, "keepalive_timeout {time}"),
            Self::KeepaliveRequests(number) => write!(f, "keepalive_requests {number}"),
            Self::KeepaliveTime(time) => write!(f, "keepalive_time {time}"),
            Self::Zone(name, None) => write!(f, "zone {}", written(name)),
            Self::Zone(name, Some(size)) => write!(f, "zone {} {size}", written(name)),
            Self::Check(check) => check.fmt(f),
            Self::CheckHttpSend(text) => write!(f, "check_http_send {}", written(text)),
            Self::CheckHttpExpectAlive(classes) => {
                f.write_str("check_http_expect_alive")?;
                classes.iter().try_for_each(|class| write!(f, " {class}"))
            }
            Self::CheckKeepaliveRequests(number) => write!(f, "check_keepalive_requests {number}"),
            Self::Other(name, words) => {
                f.write_str(name)?;
                words
                    .iter()
                    .try_for_each(|word| write!(f, " {}", written(word)))
            }
        }
    }
}
