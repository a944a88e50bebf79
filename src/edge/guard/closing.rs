//! What happens to a connection's socket when Pingora is through with it.

use std::time::{Duration, Instant};
use std::{io, mem};

use filedescriptor::OwnedHandle;
use pingora_core::protocols::Stream;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::reading::Stage;
use super::{Guard, Place};

impl Drop for Guard {
    /// After a refusal the client may still be sending; if its bytes met a closed socket, the answer would be lost with
    /// the reset that they cause (RFC 9112 section 9.6). Pingora does not always shut a connection down that failed. Over
    /// HTTP/2 and in a tunnel the same would happen to what lies in the kernel, by what the client says as it reads.
    /// A tunnel goes on in a task of its own: what Pingora keeps for a connection with HTTP is many times what it needs.
    fn drop(&mut self) {
        if self.connection.is_broken() {
            self.reset_at_close();
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if let Some(tunnel) = self.connection.take_tunnel() {
            runtime.spawn(tunnel.join(Box::new(self.tunnel_side())));
        } else if self.connection.refusal().is_some() {
            let stream = self.take_stream();
            runtime.spawn(linger(stream, self.place.take()));
        } else if let Some((since, farewell)) = self.owes_nothing_more() {
            let delivery = Delivery {
                stream: self.take_stream(),
                pause: self.limits.body_timeout,
                farewell,
                _place: self.place.take(),
            };
            runtime.spawn(delivery.end(since));
        }
    }
}

impl Guard {
    fn reset_at_close(&self) {
        // A duplicate, since Pingora tells the number only; what is set is the socket's.
        if let Ok(socket) = OwnedHandle::dup(&self.stream.id()) {
            let _already_gone = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        }
    }

    /// Since when all is written that there is to write, and the last of it, where the client may not know yet.
    fn owes_nothing_more(&self) -> Option<(Instant, Vec<u8>)> {
        match &self.stage {
            Stage::Frames(frames) => frames.owes_nothing_more(),
            Stage::Tunnel => Some((Instant::now(), Vec::new())),
            _ => None,
        }
    }

    /// The same connection as one side of a tunnel, which begins with what the client has sent.
    fn tunnel_side(&mut self) -> Self {
        let mut tunnel = Self::new(self.take_stream(), self.limits.clone(), None);
        tunnel.stage = Stage::Tunnel;
        tunnel.buffer = mem::take(&mut self.buffer);
        tunnel.passed = tunnel.buffer.len();
        tunnel.place = self.place.take();
        tunnel
    }

    fn take_stream(&mut self) -> Stream {
        let gone: Stream = Box::new(tokio::io::duplex(1).0);
        mem::replace(&mut self.stream, gone)
    }
}

/// Closes for writing, and throws away what still comes, for a while.
async fn linger(mut stream: Stream, _place: Option<Place>) {
    let _already_gone = AsyncWriteExt::shutdown(&mut stream).await;
    throw_away(&mut stream, LINGER).await;
}

/// Until the client closes too, but not for longer than this.
async fn throw_away(stream: &mut Stream, longest: Duration) {
    let mut thrown_away = 0;
    let mut bytes = vec![0; 4 * 1024];
    let reading = async {
        while thrown_away < MOST_THROWN_AWAY {
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(count) => thrown_away += count,
            }
        }
    };
    // Either way the connection is over now.
    let _in_time = timeout(longest, reading).await;
}

const LINGER: Duration = Duration::from_secs(2);
const MOST_THROWN_AWAY: usize = 4 << 20;

/// What the kernel holds for a client, in its own measures.
#[derive(Debug, PartialEq, Eq)]
struct OnTheWay {
    segments_sent: u32,
    bytes_not_sent: u32,
}

impl OnTheWay {
    /// None where there is nothing, or the kernel does not say.
    fn of(stream: &Stream) -> Option<Self> {
        let kernel = stream.get_socket_digest()?.tcp_info()?;
        let found = Self {
            segments_sent: kernel.tcpi_unacked,
            bytes_not_sent: kernel.tcpi_notsent_bytes,
        };
        (found.segments_sent > 0 || found.bytes_not_sent > 0).then_some(found)
    }

    /// How long the client is waited for if nothing moves: one that reads slowly longer than one that may be gone.
    fn patience(&self, pause: Option<Duration>) -> Duration {
        match self.bytes_not_sent {
            0 => LINGER,
            _ => pause.unwrap_or(Duration::MAX),
        }
    }
}

/// The end of a connection of HTTP/2 on which all was answered, or of a tunnel.
struct Delivery {
    stream: Stream,
    /// How long a client that reads slowly is waited for if nothing moves.
    pause: Option<Duration>,
    /// To be written at the end.
    farewell: Vec<u8>,
    _place: Option<Place>,
}

impl Delivery {
    /// Closes for writing, and throws away what still comes until the client closes too: while what was written, up to this
    /// time, is on its way, and as long after that as a reader may take to come to it.
    async fn end(mut self, written: Instant) {
        let is_on_the_way = OnTheWay::of(&self.stream).is_some();
        // Over TLS this writes a last record.
        let _already_gone = timeout(self.pause.unwrap_or(Duration::MAX), self.close()).await;
        let arrived = if is_on_the_way {
            self.arrives().await
        } else {
            Some(written)
        };
        if let Some(arrived) = arrived {
            let longest = LINGER.saturating_sub(arrived.elapsed());
            throw_away(&mut self.stream, longest).await;
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.farewell).await?;
        AsyncWriteExt::shutdown(&mut self.stream).await
    }

    /// When all that was written has been received; none if it never will be.
    async fn arrives(&mut self) -> Option<Instant> {
        let mut thrown_away = 0;
        let mut bytes = vec![0; 1024];
        let (mut before, mut moved) = (None, Instant::now());
        while let Some(left) = OnTheWay::of(&self.stream) {
            let patience = left.patience(self.pause);
            if before.as_ref() != Some(&left) {
                moved = Instant::now();
                before = Some(left);
            }
            if moved.elapsed() >= patience || thrown_away >= MOST_THROWN_AWAY {
                return None;
            }
            match timeout(LOOK, self.stream.read(&mut bytes)).await {
                Ok(Ok(0) | Err(_)) => return None,
                Ok(Ok(count)) => thrown_away += count,
                Err(_nothing_came) => {}
            }
        }
        Some(Instant::now())
    }
}

/// How often the kernel is asked, which tells by itself nobody.
const LOOK: Duration = Duration::from_millis(20);
