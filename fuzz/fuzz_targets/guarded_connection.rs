//! Whatever a client sends, and however it is cut into reads: what the guard passes on is what was sent, up to the
//! first message that breaks a rule, in whose place one request of the guard's own stands.
//!
//! The first four bytes choose the cuts.

#![no_main]

mod cuts;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use pingora_core::protocols::Stream;
use pointsman::edge::{GuardLimits, guarded};
use pointsman::ports::client_connection::ClientConnection;
use pointsman::strict::{Body, Framing, HeadLimits, HeadReader, Part, Rule};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Small, so that they are reached.
const HEAD: HeadLimits = HeadLimits {
    size: 512,
    count: 16,
};
const LONGEST_BODY: u64 = 2000;

/// No time limits: they would need a clock.
fn limits() -> Arc<GuardLimits> {
    Arc::new(GuardLimits {
        head: HEAD,
        header_timeout: None,
        body_timeout: None,
        body_size: Some(LONGEST_BODY),
        keepalive_timeout: None,
        min_rate: None,
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((cuts, sent)) = cuts::of(input) else {
        return;
    };
    let room = 1 + usize::from(input[0]);
    let expected = Expected::of(sent);
    expected.check(sent, &pass(sent, cuts, room), false);
    expected.check(sent, &pass(sent, std::iter::once(sent.len()), 4096), true);
});

/// What must become of what was sent.
#[derive(Debug)]
struct Expected {
    /// So much is sound for sure, in whole messages or as far as the last has come.
    sound: usize,
    /// After it, in a head.
    head: Option<Rule>,
    /// After it, in the body of a message whose head has this length.
    body: Option<(usize, Framing, Rule)>,
}

impl Expected {
    fn of(sent: &[u8]) -> Self {
        let mut this = Self {
            sound: 0,
            head: None,
            body: None,
        };
        loop {
            let rest = &sent[this.sound..];
            let head = match HeadReader::default().read(rest, HEAD) {
                Ok(Some(head)) => head,
                Ok(None) => return this,
                Err(rule) => {
                    this.head = Some(rule);
                    return this;
                }
            };
            let mut body = match Body::new(head.framing, LONGEST_BODY, HEAD.size) {
                Ok(body) => body,
                Err(rule) => {
                    this.head = Some(rule);
                    return this;
                }
            };
            match body.follow(&rest[head.length..]) {
                Ok(Part::End(count)) => this.sound += head.length + count,
                Ok(Part::More(count)) => {
                    this.sound += head.length + count;
                    return this;
                }
                Err(rule) => {
                    this.body = Some((head.length, head.framing, rule));
                    return this;
                }
            }
            // Nobody answers here: what is behind it waits for ever.
            if head.asks_for_tunnel {
                return this;
            }
        }
    }

    fn check(&self, sent: &[u8], passed: &Passed, at_once: bool) {
        let (own, behind) = passed
            .bytes
            .split_at_checked(self.sound)
            .unwrap_or_else(|| panic!("{self:?} but {passed:?}"));
        assert_eq!(own, &sent[..self.sound]);
        let rule = self.head.or(self.body.as_ref().map(|(_, _, rule)| *rule));
        assert_eq!(passed.rule, rule, "{passed:?}");
        match (&self.head, &self.body) {
            (None, None) => assert!(behind.is_empty() && !passed.has_failed, "{passed:?}"),
            (Some(_), _) => assert!(is_refusal(behind) && !passed.has_failed, "{passed:?}"),
            (None, Some(_)) if is_refusal(behind) => assert!(!passed.has_failed),
            (None, Some((head, framing, _))) => {
                assert!(!at_once, "a message that is broken was begun: {passed:?}");
                assert!(passed.has_failed, "{passed:?}");
                assert_eq!(behind, &sent[self.sound..][..behind.len()]);
                let body_passed = &behind[*head..];
                let mut body = Body::new(*framing, LONGEST_BODY, HEAD.size).unwrap();
                assert_eq!(
                    body.follow(body_passed),
                    Ok(Part::More(body_passed.len())),
                    "{passed:?}"
                );
            }
        }
    }
}

fn is_refusal(bytes: &[u8]) -> bool {
    let rest = b" / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";
    [&b"GET"[..], b"HEAD"]
        .iter()
        .any(|method| bytes.strip_prefix(*method) == Some(rest))
}

/// What came out.
#[derive(Debug, Default)]
struct Passed {
    bytes: Vec<u8>,
    has_failed: bool,
    rule: Option<Rule>,
}

fn pass(sent: &[u8], ends: impl Iterator<Item = usize>, room: usize) -> Passed {
    let (mut client, edge) = tokio::io::duplex(4096);
    let mut guard = guarded(Box::new(edge), limits());
    let mut context = Context::from_waker(Waker::noop());
    let mut passed = Passed::default();
    let mut start = 0;
    for end in ends {
        let written = Pin::new(&mut client).poll_write(&mut context, &sent[start..end]);
        // What is not taken any more would be read by nobody.
        let Poll::Ready(Ok(count)) = written else {
            break;
        };
        start += count;
        if !read(&mut guard, &mut context, &mut passed, room) || start < end {
            break;
        }
    }
    drop(client);
    read(&mut guard, &mut context, &mut passed, room);
    let digest = guard.get_proxy_digest().unwrap();
    let connection = ClientConnection::of(digest.user_data.as_deref().unwrap()).unwrap();
    passed.rule = connection.refusal().map(|refusal| refusal.rule);
    passed
}

/// Reads all that is there; whether more may come.
fn read(guard: &mut Stream, context: &mut Context<'_>, passed: &mut Passed, room: usize) -> bool {
    let mut bytes = vec![0; room];
    while !passed.has_failed {
        let mut out = ReadBuf::new(&mut bytes);
        match Pin::new(&mut *guard).poll_read(context, &mut out) {
            Poll::Pending => return true,
            Poll::Ready(Ok(())) if out.filled().is_empty() => return false,
            Poll::Ready(Ok(())) => passed.bytes.extend_from_slice(out.filled()),
            Poll::Ready(Err(_)) => passed.has_failed = true,
        }
    }
    false
}
