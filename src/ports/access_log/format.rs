//! A [`Record`] as one line.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::escape;
use super::{Attempt, LogFormat, Record};
use crate::clock::Timestamp;

/// Formats lines into a buffer that it keeps. One per thread.
#[derive(Debug, Default)]
pub(super) struct Formatter {
    line: Vec<u8>,
    second: Second,
}

impl Formatter {
    /// The line for `record`, its line feed included; at most [`MAX_LINE_BYTES`].
    pub(super) fn line(&mut self, format: LogFormat, record: &Record<'_>) -> &[u8] {
        self.line.clear();
        self.second.move_to(record.unix_ms / 1_000);
        match format {
            LogFormat::Json => json_line(&mut self.line, &self.second, record),
            LogFormat::Combined => combined(&mut self.line, &self.second, record),
            LogFormat::Main => {
                combined(&mut self.line, &self.second, record);
                self.line.push(b' ');
                nginx_quoted(&mut self.line, record.x_forwarded_for, FORWARDED_FOR_LIMIT);
            }
        }
        self.line.push(b'\n');
        &self.line
    }
}

/// No line is longer than this, line feed included. The limits of the fields add up to less; a test holds them to it.
#[cfg(test)]
pub(super) const MAX_LINE_BYTES: usize = 8 << 10;

/// Attempts listed on a line; `attempt_count` tells how many there were.
const MAX_ATTEMPTS: usize = 8;

// Limits of the fields in bytes of the line, escapes counted. Names of groups and routes have at most 255 bytes.
const TARGET_LIMIT: usize = 2048;
const HEADER_LIMIT: usize = 1024;
const FORWARDED_FOR_LIMIT: usize = 320;
const NAME_LIMIT: usize = 256;
const SERVER_LIMIT: usize = 128;
const WORD_LIMIT: usize = 64;

/// The second last seen, formatted in both ways: it changes once a second, the lines come by the thousand.
#[derive(Debug, Default)]
struct Second {
    unix: Option<u64>,
    /// `20/Nov/2026:15:33:22 +0000`
    common: String,
    /// `2026-11-20T15:33:22`
    rfc_3339: String,
}

impl Second {
    fn move_to(&mut self, unix: u64) {
        if self.unix == Some(unix) {
            return;
        }
        let time = Timestamp::from_unix_ms(unix.saturating_mul(1_000)).to_jiff();
        self.common = time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
        self.rfc_3339 = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        self.unix = Some(unix);
    }
}

fn json_line(out: &mut Vec<u8>, second: &Second, record: &Record<'_>) {
    out.extend_from_slice(br#"{"time":""#);
    out.extend_from_slice(second.rfc_3339.as_bytes());
    out.push(b'.');
    three_digits(out, record.unix_ms % 1_000);
    out.extend_from_slice(br#"Z","request_id":"#);
    json_string(out, record.request_id.as_bytes(), SERVER_LIMIT);
    out.extend_from_slice(br#","client":"#);
    json_client(out, record.client);
    out.extend_from_slice(br#","listener":"#);
    json_string(out, record.listener.as_bytes(), SERVER_LIMIT);
    out.extend_from_slice(br#","scheme":""#);
    out.extend_from_slice(record.scheme.as_bytes());
    out.extend_from_slice(br#"","method":"#);
    json_string(out, record.method.as_bytes(), WORD_LIMIT);
    out.extend_from_slice(br#","host":"#);
    json_string(out, record.host, NAME_LIMIT);
    out.extend_from_slice(br#","target":"#);
    json_string(out, record.target, TARGET_LIMIT);
    out.extend_from_slice(br#","version":""#);
    out.extend_from_slice(version(record.version));
    out.extend_from_slice(br#"","status":"#);
    number(out, record.status);
    out.extend_from_slice(br#","bytes":"#);
    number(out, record.body_bytes);
    out.extend_from_slice(br#","duration_ms":"#);
    milliseconds(out, record.duration);
    out.extend_from_slice(br#","waited_ms":"#);
    match record.waited {
        Some(waited) => milliseconds(out, waited),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(br#","route":"#);
    json_optional(out, record.route.map(str::as_bytes), NAME_LIMIT);
    out.extend_from_slice(br#","upstream":"#);
    json_optional(out, record.upstream.map(str::as_bytes), NAME_LIMIT);
    out.extend_from_slice(br#","revision":"#);
    number(out, record.revision);
    out.extend_from_slice(br#","reason":"#);
    json_optional(out, record.reason.map(str::as_bytes), WORD_LIMIT);
    json_attempts(out, record.attempts);
    out.extend_from_slice(br#","referer":"#);
    json_optional(out, record.referer, HEADER_LIMIT);
    out.extend_from_slice(br#","user_agent":"#);
    json_optional(out, record.user_agent, HEADER_LIMIT);
    out.extend_from_slice(br#","x_forwarded_for":"#);
    json_optional(out, record.x_forwarded_for, FORWARDED_FOR_LIMIT);
    out.push(b'}');
}

fn json_attempts(out: &mut Vec<u8>, attempts: &[Attempt<'_>]) {
    out.extend_from_slice(br#","attempt_count":"#);
    number(out, attempts.len());
    out.extend_from_slice(br#","attempts":["#);
    for (index, attempt) in attempts.iter().take(MAX_ATTEMPTS).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"server":"#);
        json_string(out, attempt.server.as_bytes(), SERVER_LIMIT);
        out.extend_from_slice(br#","status":"#);
        match attempt.status {
            Some(status) => number(out, status),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(br#","failure":"#);
        json_optional(out, attempt.failure.map(str::as_bytes), WORD_LIMIT);
        out.extend_from_slice(br#","duration_ms":"#);
        milliseconds(out, attempt.duration);
        out.push(b'}');
    }
    out.push(b']');
}

fn json_client(out: &mut Vec<u8>, client: Option<IpAddr>) {
    let Some(client) = client else {
        out.extend_from_slice(b"null");
        return;
    };
    out.push(b'"');
    address(out, client);
    out.push(b'"');
}

fn json_optional(out: &mut Vec<u8>, text: Option<&[u8]>, limit: usize) {
    match text {
        Some(text) => json_string(out, text, limit),
        None => out.extend_from_slice(b"null"),
    }
}

fn json_string(out: &mut Vec<u8>, text: &[u8], limit: usize) {
    out.push(b'"');
    escape::json(out, text, limit);
    out.push(b'"');
}

/// `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`
fn combined(out: &mut Vec<u8>, second: &Second, record: &Record<'_>) {
    match record.client {
        Some(client) => address(out, client),
        // What nginx writes for a client on a unix socket.
        None => out.extend_from_slice(b"unix:"),
    }
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(second.common.as_bytes());
    out.extend_from_slice(b"] \"");
    request_line(out, record);
    out.extend_from_slice(b"\" ");
    number(out, record.status);
    out.push(b' ');
    number(out, record.body_bytes);
    out.push(b' ');
    nginx_quoted(out, record.referer, HEADER_LIMIT);
    out.push(b' ');
    nginx_quoted(out, record.user_agent, HEADER_LIMIT);
}

/// Empty for a request line that could not be read.
fn request_line(out: &mut Vec<u8>, record: &Record<'_>) {
    if record.method.is_empty() {
        return;
    }
    escape::nginx(out, record.method.as_bytes(), WORD_LIMIT);
    out.push(b' ');
    escape::nginx(out, record.target, TARGET_LIMIT);
    out.push(b' ');
    out.extend_from_slice(version(record.version));
}

/// An absent header is `"-"`, an empty one `""`, as in nginx.
fn nginx_quoted(out: &mut Vec<u8>, text: Option<&[u8]>, limit: usize) {
    out.push(b'"');
    escape::nginx(out, text.unwrap_or(b"-"), limit);
    out.push(b'"');
}

fn version(version: http::Version) -> &'static [u8] {
    match version {
        http::Version::HTTP_09 => b"HTTP/0.9",
        http::Version::HTTP_10 => b"HTTP/1.0",
        http::Version::HTTP_2 => b"HTTP/2.0",
        http::Version::HTTP_3 => b"HTTP/3.0",
        _ => b"HTTP/1.1",
    }
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            for (index, octet) in v4.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(out, octet);
            }
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// Milliseconds with three decimals, as a JSON number.
fn milliseconds(out: &mut Vec<u8>, duration: Duration) {
    let seconds = duration.as_secs().saturating_mul(1_000_000);
    let us = seconds.saturating_add(u64::from(duration.subsec_micros()));
    number(out, us / 1_000);
    out.push(b'.');
    three_digits(out, us % 1_000);
}

fn three_digits(out: &mut Vec<u8>, below_1000: u64) {
    if below_1000 < 100 {
        out.push(b'0');
    }
    if below_1000 < 10 {
        out.push(b'0');
    }
    number(out, below_1000);
}

fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests;
