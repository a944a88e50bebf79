use std::time::Duration;

use pingora_core::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
Connection: close\r\n\
Retry-After: 1\r\n\
Cache-Control: no-store\r\n\
Content-Type: text/plain; charset=utf-8\r\n\
Content-Length: 25\r\n\
\r\n\
503 too_many_connections\n";

/// Answers a connection that is one too many, without waiting for its request.
pub(super) async fn answer(mut stream: Stream) {
    // Closed while the client's request is under way, the connection would be reset and the answer lost with it (RFC
    // 9112, section 9.6). A flood gets no such care.
    let place = LINGERING.try_acquire();
    let ending = async {
        stream.write_all(ANSWER).await?;
        stream.flush().await?;
        stream.shutdown().await?;
        let mut request = [0; 1024];
        while place.is_ok() && stream.read(&mut request).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Whether it ends well is the client's affair.
    let _in_time = timeout(LINGER, ending).await;
}

static LINGERING: Semaphore = Semaphore::const_new(32);
const LINGER: Duration = Duration::from_secs(1);
