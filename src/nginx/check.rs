use std::fmt;

use super::error::ParseError;
use super::statement::{Statement, Word};

/// A `check` line of nginx_upstream_check_module, with its default where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// `interval=`, in milliseconds.
    pub interval: u32,
    /// `timeout=`, in milliseconds.
    pub timeout: u32,
    /// `fall=`
    pub fall: u32,
    /// `rise=`
    pub rise: u32,
    /// `default_down=`: whether servers are down until they pass.
    pub default_down: bool,
    /// `type=`
    pub kind: CheckKind,
    /// `port=`; 0: the server's own.
    pub port: u16,
}

/// What a check sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckKind {
    /// A connection.
    Tcp,
    /// A request of HTTP.
    Http,
    /// A hello of TLS.
    SslHello,
    /// Waits for MySQL's greeting.
    Mysql,
    /// A ping of AJP.
    Ajp,
    /// A request of FastCGI.
    Fastcgi,
}

impl CheckKind {
    const WORDS: [(&'static str, Self); 6] = [
        ("tcp", Self::Tcp),
        ("http", Self::Http),
        ("ssl_hello", Self::SslHello),
        ("mysql", Self::Mysql),
        ("ajp", Self::Ajp),
        ("fastcgi", Self::Fastcgi),
    ];

    /// As it is written.
    pub fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, kind)| *kind == self);
        found.map_or("", |(word, _)| word)
    }
}

/// `http_2xx` and its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusClass(u8);

impl StatusClass {
    pub(super) const SUCCESS: Self = Self(2);
    pub(super) const REDIRECTION: Self = Self(3);

    const WORDS: [&'static str; 5] = ["http_1xx", "http_2xx", "http_3xx", "http_4xx", "http_5xx"];

    /// The class of `200` is 2. None outside 1 to 5.
    pub fn new(class: u8) -> Option<Self> {
        (1..=5).contains(&class).then_some(Self(class))
    }

    /// The first and the last status.
    pub fn range(self) -> (u16, u16) {
        let first = u16::from(self.0) * 100;
        (first, first + 99)
    }

    pub(super) fn read(word: &Word) -> Result<Self, ParseError> {
        let found = (1..).zip(Self::WORDS).find(|(_, name)| *name == word.text);
        let class = found.and_then(|(class, _)| Self::new(class));
        class.ok_or_else(|| word.unknown("class of statuses", &Self::WORDS))
    }
}

impl fmt::Display for StatusClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http_{}xx", self.0)
    }
}

impl Default for Check {
    fn default() -> Self {
        Self {
            interval: 30_000,
            timeout: 1000,
            fall: 5,
            rise: 2,
            default_down: true,
            kind: CheckKind::Tcp,
            port: 0,
        }
    }
}

const PARAMETERS: [&str; 7] = [
    "interval",
    "fall",
    "rise",
    "timeout",
    "default_down",
    "type",
    "port",
];

impl Check {
    pub(super) fn read(statement: &Statement) -> Result<Self, ParseError> {
        let mut check = Self::default();
        let words = statement.arguments(1, usize::MAX, "check PARAMETER=VALUE ...;")?;
        words.iter().try_for_each(|word| check.set(word))?;
        Ok(check)
    }

    fn set(&mut self, word: &Word) -> Result<(), ParseError> {
        match word.halves() {
            ("interval", Some(value)) => self.interval = word.number(value, 1)?,
            ("timeout", Some(value)) => self.timeout = word.number(value, 1)?,
            ("fall", Some(value)) => self.fall = word.number(value, 1)?,
            ("rise", Some(value)) => self.rise = word.number(value, 1)?,
            ("default_down", Some("true")) => self.default_down = true,
            ("default_down", Some("false")) => self.default_down = false,
            ("default_down", Some(_)) => return Err(word.wrong("write `true` or `false`")),
            ("port", Some(value)) => {
                let port = u16::try_from(word.number(value, 1)?).ok();
                self.port = port.ok_or_else(|| word.wrong("a port is a number from 1 to 65535"))?;
            }
            ("type", Some(value)) => {
                let found = CheckKind::WORDS.iter().find(|(name, _)| *name == value);
                let known = CheckKind::WORDS.map(|(name, _)| name).join(", ");
                self.kind = found
                    .ok_or_else(|| word.wrong(format_args!("unknown type; known here: {known}")))?
                    .1;
            }
            (key, None) if PARAMETERS.contains(&key) => {
                return Err(word.wrong(format_args!("a value is missing; write `{key}=...`")));
            }
            _ => return Err(word.unknown("parameter of `check`", &PARAMETERS)),
        }
        Ok(())
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            interval,
            timeout,
            fall,
            rise,
            default_down,
            kind,
            port,
        } = self;
        let kind = kind.word();
        write!(
            f,
            "check interval={interval} fall={fall} rise={rise} timeout={timeout} "
        )?;
        write!(f, "default_down={default_down} type={kind}")?;
        match port {
            0 => Ok(()),
            port => write!(f, " port={port}"),
        }
    }
}
