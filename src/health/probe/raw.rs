use std::io;
use std::path::Path;

use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::Failure;

/// A connection of either kind.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection that was just opened.
pub(super) enum Open {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Open {
    pub(super) fn into_wire(self) -> Box<dyn Wire> {
        match self {
            Self::Tcp(tcp) => Box::new(tcp),
            Self::Unix(unix) => Box::new(unix),
        }
    }

    /// As Pingora takes it.
    pub(super) fn into_stream(self) -> Stream {
        match self {
            Self::Tcp(tcp) => tcp.into(),
            Self::Unix(unix) => unix.into(),
        }
    }
}

/// Opens a connection that begins with these bytes.
pub(super) async fn open(target: &SocketAddr, first: &[u8]) -> Result<Open, Failure> {
    let connected = match target {
        SocketAddr::Inet(address) => TcpStream::connect(address).await.map(Open::Tcp),
        SocketAddr::Unix(address) => {
            let path = address.as_pathname().unwrap_or(Path::new(""));
            UnixStream::connect(path).await.map(Open::Unix)
        }
    };
    let mut connected = connected.map_err(|error| Failure::connect(&error))?;
    if !first.is_empty() {
        let sent = match &mut connected {
            Open::Tcp(tcp) => tcp.write_all(first).await,
            Open::Unix(unix) => unix.write_all(first).await,
        };
        sent.map_err(|error| Failure::Broken(error.to_string()))?;
    }
    Ok(connected)
}

/// The status in the first line of the answer to these bytes; the rest is not read.
pub(super) async fn ask(wire: &mut dyn Wire, request: &[u8]) -> Result<u16, Failure> {
    let broken = |error: io::Error| Failure::Broken(error.to_string());
    wire.write_all(request).await.map_err(broken)?;
    let mut answer = Vec::new();
    let mut wire = wire.take(LONGEST);
    while !answer.contains(&b'\n') {
        if wire.read_buf(&mut answer).await.map_err(broken)? == 0 {
            break;
        }
    }
    match answer.iter().position(|&byte| byte == b'\n') {
        None if answer.is_empty() => Err(Failure::Closed),
        end => end
            .and_then(|end| status(answer.get(..end)?))
            .ok_or(Failure::NotHttp),
    }
}

/// `HTTP/1.x`, blanks, three digits and then anything but a fourth: what
/// lua-resty-upstream-healthcheck takes for a status line.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (minor, rest) = rest.split_first()?;
    let digits = rest.trim_ascii_start();
    if !minor.is_ascii_digit() || digits.len() == rest.len() {
        return None;
    }
    let (digits, after) = digits.split_at_checked(3)?;
    let three =
        digits.iter().all(u8::is_ascii_digit) && !after.first().is_some_and(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| three)?.parse().ok()
}

/// A status line longer than this is none.
const LONGEST: u64 = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn a_status_line_has_a_version_and_three_digits() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r"), Some(200));
        assert_eq!(status(b"HTTP/1.0  302"), Some(302));
        assert_eq!(status(b"HTTP/1.1 503\r"), Some(503));
    }

    #[test]
    fn anything_else_is_none() {
        for line in [
            &b""[..],
            b"HTTP/1.1",
            b"HTTP/1.1200 OK",
            b"HTTP/1.1 20",
            b"HTTP/1.1 2000",
            b"HTTP/1.1 +20",
            b"HTTP/2 200",
            b"SSH-2.0-OpenSSH",
            b"http/1.1 200 OK",
        ] {
            assert_eq!(status(line), None, "{}", line.escape_ascii());
        }
    }
}
