//! A message of the table: its bytes, and what must become of it.

use std::borrow::Cow;

/// One connection's worth of bytes.
pub(crate) struct Message {
    pub(crate) name: Cow<'static, str>,
    /// A section of an RFC, a CVE, or a class of attacks.
    pub(crate) source: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: Expected,
    protocol: Protocol,
}

#[derive(PartialEq)]
enum Protocol {
    Http1,
    Http2,
}

/// What must become of a message.
#[derive(Debug)]
pub(crate) enum Expected {
    /// Refused like this, and not one byte of it reaches a server.
    Refused(Answer),
    /// Refused like this, but in the midst of a body: the head was on its way, no whole request is.
    Broken(Answer),
    /// Passed on as these requests, each once, and nothing else.
    Forwarded(Vec<Arrival>),
    /// The first requests are passed on, what follows is refused.
    Both(Vec<Arrival>, Answer),
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A server's response.
    Ok,
    /// Our own: status and reason.
    Status(u16, Cow<'static, str>),
    /// HTTP/2: the stream was reset with this code.
    Reset(u32),
    /// HTTP/2: the connection was ended with this code.
    GoAway(u32),
}

/// A request as a server got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// The request line.
    pub(crate) line: String,
    /// The fields, in alphabetical order.
    pub(crate) fields: Vec<String>,
    /// The content, without its framing.
    pub(crate) body: Vec<u8>,
}

/// What the proxy adds, in lower case.
const OURS: [&str; 5] = [
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-request-id",
];

impl Arrival {
    pub(crate) fn new(head: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        let line = lines.next().unwrap_or_default().to_owned();
        let mut fields: Vec<String> = lines.map(str::to_owned).collect();
        fields.sort();
        Self {
            line,
            fields,
            body: body.into(),
        }
    }

    /// Without the fields that the proxy adds; an error if one of them is there twice.
    pub(crate) fn without_ours(&self) -> Result<Self, String> {
        let mut own = self.clone();
        for name in OURS {
            let before = own.fields.len();
            own.fields.retain(|field| {
                let of_field = field.split(':').next().unwrap_or_default();
                !of_field.eq_ignore_ascii_case(name)
            });
            if before - own.fields.len() > 1 {
                return Err(format!("{name} more than once: {:?}", self.fields));
            }
        }
        Ok(own)
    }
}

impl Message {
    pub(crate) fn is_http1(&self) -> bool {
        self.protocol == Protocol::Http1
    }

    pub(crate) fn must_be_refused(&self) -> bool {
        !matches!(self.expected, Expected::Forwarded(_))
    }

    /// The requests that must arrive.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = &Arrival> {
        match &self.expected {
            Expected::Forwarded(arrivals) | Expected::Both(arrivals, _) => arrivals.iter(),
            Expected::Refused(_) | Expected::Broken(_) => [].iter(),
        }
    }

    /// HTTP/1 that is refused with this status and reason.
    pub(crate) fn refused(
        name: impl Into<Cow<'static, str>>,
        source: &'static str,
        (status, reason): (u16, &'static str),
        bytes: impl Into<Vec<u8>>,
    ) -> Self {
        let expected = Expected::Refused(Answer::Status(status, reason.into()));
        Self::new(name, source, bytes, expected)
    }

    /// HTTP/1 that is passed on as one request.
    pub(crate) fn forwarded(
        name: impl Into<Cow<'static, str>>,
        source: &'static str,
        bytes: impl Into<Vec<u8>>,
        head: &str,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        let expected = Expected::Forwarded(vec![Arrival::new(head, body)]);
        Self::new(name, source, bytes, expected)
    }

    pub(crate) fn new(
        name: impl Into<Cow<'static, str>>,
        source: &'static str,
        bytes: impl Into<Vec<u8>>,
        expected: Expected,
    ) -> Self {
        Self {
            name: name.into(),
            source,
            bytes: bytes.into(),
            expected,
            protocol: Protocol::Http1,
        }
    }

    /// The same, but what breaks the rule comes when the head is on its way.
    pub(crate) fn in_the_midst(self) -> Self {
        let expected = match self.expected {
            Expected::Refused(answer) => Expected::Broken(answer),
            other => other,
        };
        Self { expected, ..self }
    }

    /// The same over HTTP/2.
    pub(crate) fn over_http2(self) -> Self {
        Self {
            protocol: Protocol::Http2,
            ..self
        }
    }
}
