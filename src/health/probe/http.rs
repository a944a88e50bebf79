use std::io;
use std::mem::MaybeUninit;

use pingora_core::protocols::l4::socket::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Failure, raw};

/// The status that a server answers to a GET. The body is not read: the connection just closes.
pub(super) async fn get(
    target: &SocketAddr,
    first: &[u8],
    path: &str,
    host: Option<&str>,
) -> Result<u16, Failure> {
    let request = request(target, path, host).ok_or(Failure::Unsendable)?;
    let mut wire = raw::connect(target, first).await?;
    let broken = |error: io::Error| Failure::Broken(error.to_string());
    wire.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Answer::default();
    while answer.bytes.len() < LONGEST {
        let before = answer.bytes.len();
        if wire.read_buf(&mut answer.bytes).await.map_err(broken)? == 0 {
            return Err(answer.unfinished());
        }
        if let Some(status) = answer.status(before)? {
            return Ok(status);
        }
    }
    Err(Failure::NotHttp)
}

/// None if path or host would end the line that they stand in.
fn request(target: &SocketAddr, path: &str, host: Option<&str>) -> Option<String> {
    let own;
    let host = match (host, target) {
        (Some(host), _) => host,
        (None, SocketAddr::Unix(_)) => "localhost",
        (None, SocketAddr::Inet(address)) => {
            own = address.to_string();
            &own
        }
    };
    let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    (fits(path) && fits(host))
        .then(|| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n\r\n"))
}

/// What a server has sent so far.
struct Answer {
    bytes: Vec<u8>,
    /// Where the head begins that is read now; the ones before it were interim.
    begin: usize,
    interim: u8,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            bytes: Vec::with_capacity(ROOM),
            begin: 0,
            interim: 0,
        }
    }
}

impl Answer {
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
                whole => return Ok(whole.map(|(_, status)| status)),
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
    let mut rules = httparse::ParserConfig::default();
    rules
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true);
    match rules.parse_response_with_uninit_headers(&mut head, bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => Ok(head.code.map(|status| (length, status))),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(Failure::NotHttp),
    }
}

/// Lines may end without the carriage return (RFC 9112 section 2.2).
fn has_empty_line(bytes: &[u8]) -> bool {
    let ends = |line: &[u8]| matches!(line, [b'\n', b'\n', ..] | [b'\n', b'\r', b'\n']);
    bytes.windows(3).any(ends) || bytes.ends_with(b"\n\n")
}

const USER_AGENT: &str = concat!("pointsman-health/", env!("CARGO_PKG_VERSION"));
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
