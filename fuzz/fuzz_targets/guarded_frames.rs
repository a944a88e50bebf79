//! Whatever frames of HTTP/2 go which way, and however they are cut: without time limits the guard passes every byte on as it is.
//!
//! The first four bytes choose the cuts; each five that follow are a frame: who sends it, its kind, flags, stream and length. What
//! is left is sent as it is.

#![no_main]

mod cuts;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use pingora_core::protocols::Stream;
use pointsman::edge::{GuardLimits, guarded_http2};
use pointsman::strict::HeadLimits;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// No time limits: they would need a clock.
fn limits() -> Arc<GuardLimits> {
    Arc::new(GuardLimits {
        head: HeadLimits {
            size: 512,
            count: 16,
        },
        header_timeout: None,
        body_timeout: None,
        body_size: None,
        keepalive_timeout: None,
        min_rate: None,
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((cuts, frames)) = cuts::of(input) else {
        return;
    };
    let (client, edge) = tokio::io::duplex(1 << 20);
    let mut ends = Ends {
        client,
        guard: guarded_http2(Box::new(edge), limits()),
    };
    ends.sent_by_client(PREFACE);
    let mut frames = frames.chunks_exact(5);
    for frame in &mut frames {
        let [who, kind, flags, stream, length] = *frame else {
            return;
        };
        let mut bytes = vec![0, 0, length, kind % 11, flags, 0, 0, 0, stream % 8];
        bytes.extend((0..length).map(|n| n.wrapping_mul(who)));
        let mut start = 0;
        for end in cuts.clone().take_while(|end| *end < bytes.len()) {
            ends.sent_by(who, &bytes[start..end]);
            start = end;
        }
        ends.sent_by(who, &bytes[start..]);
    }
    ends.sent_by_client(frames.remainder());
});

struct Ends {
    client: DuplexStream,
    guard: Stream,
}

impl Ends {
    fn sent_by(&mut self, who: u8, bytes: &[u8]) {
        match who % 2 {
            0 => self.sent_by_client(bytes),
            _ => self.sent_by_guard(bytes),
        }
    }

    fn sent_by_client(&mut self, bytes: &[u8]) {
        write(&mut self.client, bytes);
        assert_eq!(read(&mut self.guard), bytes);
    }

    fn sent_by_guard(&mut self, bytes: &[u8]) {
        write(&mut self.guard, bytes);
        assert_eq!(read(&mut self.client), bytes);
    }
}

fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    let mut context = Context::from_waker(Waker::noop());
    let written = Pin::new(&mut *to).poll_write(&mut context, bytes);
    assert!(matches!(written, Poll::Ready(Ok(count)) if count == bytes.len()));
    assert!(Pin::new(to).poll_flush(&mut context).is_ready());
}

fn read(from: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut context = Context::from_waker(Waker::noop());
    let (mut all, mut bytes) = (Vec::new(), [0; 64]);
    loop {
        let mut out = ReadBuf::new(&mut bytes);
        match Pin::new(&mut *from).poll_read(&mut context, &mut out) {
            Poll::Ready(Ok(())) if !out.filled().is_empty() => all.extend_from_slice(out.filled()),
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => return all,
        }
    }
}
