use std::io;
use std::mem::MaybeUninit;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::body::{Framing, look_for};
use super::raw::Wire;
use super::{Failure, judge};
use crate::spec::StatusRange;

/// The status that a server answers, if it passes. The body is read only for a text in it: the connection
/// just closes.
pub(super) async fn ask(
    wire: &mut dyn Wire,
    request: &str,
    statuses: &[StatusRange],
    body: Option<&str>,
) -> Result<u16, Failure> {
    let mut answer = Answer::default();
    let status = judge(answer.of(wire, request).await?, statuses)?;
    if let Some(text) = body {
        let (head, rest) = answer
            .bytes
            .split_at_checked(answer.end)
            .unwrap_or_default();
        let framing = framing(head.get(answer.begin..).unwrap_or_default(), status)?;
        look_for(text, wire, framing, rest).await?;
    }
    Ok(status)
}

/// A GET. None if path or host would end the line that they stand in.
pub(super) fn get(path: &str, host: &str) -> Option<String> {
    let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    (fits(path) && fits(host))
        .then(|| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n\r\n"))
}

/// What a server has sent so far.
struct Answer {
    bytes: Vec<u8>,
    /// Where the head begins that is read now; the ones before it were interim.
    begin: usize,
    /// Where the final head ends.
    end: usize,
    interim: u8,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            bytes: Vec::with_capacity(ROOM),
            begin: 0,
            end: 0,
            interim: 0,
        }
    }
}

impl Answer {
    /// The final status of the answer to this request.
    async fn of(&mut self, wire: &mut dyn Wire, request: &str) -> Result<u16, Failure> {
        let broken = |error: io::Error| Failure::Broken(error.to_string());
        wire.write_all(request.as_bytes()).await.map_err(broken)?;
        while self.bytes.len() < LONGEST {
            let before = self.bytes.len();
            if wire.read_buf(&mut self.bytes).await.map_err(broken)? == 0 {
                return Err(self.unfinished());
            }
            if let Some(status) = self.status(before)? {
                return Ok(status);
            }
        }
        Err(Failure::NotHttp)
    }

    /// The final status, once its head is whole. The bytes from `fresh` on have just come.
    fn status(&mut self, fresh: usize) -> Result<Option<u16>, Failure> {
        let seam = fresh.saturating_sub(SEAM).max(self.begin);
        let mut is_worth_a_look = fresh == 0 || self.bytes.get(seam..).is_some_and(has_empty_line);
        // A head is looked at when it begins, to see early what is none, and when it may be whole: not
        // at every byte of a server that sends one at a time.
        while std::mem::take(&mut is_worth_a_look) {
            let head = self.bytes.get(self.begin..).unwrap_or_default();
            match head_of(head)? {
                Some((length, status)) if is_interim(status) => {
                    self.begin += length;
                    self.interim += 1;
                    if self.interim > MOST_INTERIM {
                        return Err(Failure::NotHttp);
                    }
                    is_worth_a_look = true;
                }
                Some((length, status)) => {
                    self.end = self.begin + length;
                    return Ok(Some(status));
                }
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Why there is no status when the connection ends here.
    fn unfinished(&self) -> Failure {
        match self.bytes.len() {
            0 => Failure::Closed,
            _ => Failure::NotHttp,
        }
    }
}

/// 101 is final: nobody asked for another protocol.
fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// Its length and status, if the head is whole. As lenient as towards the answers to requests: a server
/// that can serve must not fail its check.
fn head_of(bytes: &[u8]) -> Result<Option<(usize, u16)>, Failure> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut head = httparse::Response::new(&mut []);
    match rules().parse_response_with_uninit_headers(&mut head, bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => Ok(head.code.map(|status| (length, status))),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(Failure::NotHttp),
    }
}

/// Where the body of this answer ends (RFC 9112 section 6.3).
fn framing(bytes: &[u8], status: u16) -> Result<Framing, Failure> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut head = httparse::Response::new(&mut []);
    let parsed = rules().parse_response_with_uninit_headers(&mut head, bytes, &mut fields);
    parsed.map_err(|_| Failure::NotHttp)?;
    let value = |name: &str| {
        let mut named = head
            .headers
            .iter()
            .filter(|it| it.name.eq_ignore_ascii_case(name));
        named.next_back().map(|field| field.value.trim_ascii())
    };
    if matches!(status, 204 | 304) {
        return Ok(Framing::Length(0));
    }
    match (value("transfer-encoding"), value("content-length")) {
        (Some(coding), _) if coding.to_ascii_lowercase().ends_with(b"chunked") => {
            Ok(Framing::Chunked)
        }
        (None, Some(length)) => {
            let length = str::from_utf8(length)
                .ok()
                .and_then(|text| text.parse().ok());
            length.map(Framing::Length).ok_or(Failure::NotHttp)
        }
        _ => Ok(Framing::Close),
    }
}

fn rules() -> httparse::ParserConfig {
    let mut rules = httparse::ParserConfig::default();
    rules
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true);
    rules
}

/// Lines may end without the carriage return (RFC 9112 section 2.2).
fn has_empty_line(bytes: &[u8]) -> bool {
    let ends = |line: &[u8]| matches!(line, [b'\n', b'\n', ..] | [b'\n', b'\r', b'\n']);
    bytes.windows(3).any(ends) || bytes.ends_with(b"\n\n")
}

pub(super) const USER_AGENT: &str = concat!("pointsman-health/", env!("CARGO_PKG_VERSION"));
/// Most heads fit, so that one read and no copy is enough for them.
const ROOM: usize = 2048;
/// Interim heads and the final one together. The head of a real answer has a few hundred bytes.
const LONGEST: usize = 64 * 1024;
const MOST_FIELDS: usize = 128;
/// Interim answers (100, 103) before the final one: more of them than this is no answer.
const MOST_INTERIM: u8 = 8;
/// An empty line may have begun so many bytes before the last ones came.
const SEAM: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer when it comes in pieces of this size: its status, or none.
    fn in_pieces(text: &str, size: usize) -> Result<Option<u16>, Failure> {
        let mut answer = Answer::default();
        for piece in text.as_bytes().chunks(size) {
            let before = answer.bytes.len();
            answer.bytes.extend_from_slice(piece);
            if let Some(status) = answer.status(before)? {
                return Ok(Some(status));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_head_is_understood_however_it_is_cut() {
        for text in [
            "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n",
            "HTTP/1.0 204\nA: b\n\n",
            "\r\nHTTP/1.1 204 \r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nLink: </a>\r\n\r\nHTTP/1.1 204 X\r\nA : b\r\n\r\nrest",
        ] {
            for size in 1..=text.len() {
                assert_eq!(in_pieces(text, size), Ok(Some(204)), "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn a_head_that_is_not_whole_says_nothing_yet() {
        let text = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for length in 0..text.len() {
            for size in [1, 2, 3, text.len()] {
                assert_eq!(
                    in_pieces(&text[..length], size),
                    Ok(None),
                    "{length} by {size}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_head_is_seen_at_once() {
        for text in [
            "220 mail.example ESMTP\r\n",
            "SSH-2.0-OpenSSH\r\n",
            "\0\0\x12\x04",
        ] {
            assert_eq!(
                in_pieces(text, text.len()),
                Err(Failure::NotHttp),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_server_that_switches_protocols_has_answered() {
        let text = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        assert_eq!(in_pieces(text, 7), Ok(Some(101)));
    }

    #[test]
    fn more_fields_than_a_head_has_are_refused() {
        let head = |fields| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(fields));
        assert_eq!(in_pieces(&head(MOST_FIELDS), 4096), Ok(Some(200)));
        assert_eq!(
            in_pieces(&head(MOST_FIELDS + 1), 4096),
            Err(Failure::NotHttp)
        );
    }
}
