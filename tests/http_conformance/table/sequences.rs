//! Several requests in one segment: where the first ends is where the second begins.

use super::{BAD_END, BAD_FIELD, BAD_FRAMING, BAD_HOST, BAD_LINE};
use crate::message::{Answer, Arrival, Expected, Message};

const GET: &str = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKS: &str =
    "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const NEXT: &str = "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";

fn get() -> Arrival {
    Arrival::new(GET, "")
}

fn post() -> Arrival {
    Arrival::new("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5", "hello")
}

fn chunks() -> Arrival {
    Arrival::new(
        "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked",
        "hello",
    )
}

fn next() -> Arrival {
    Arrival::new(NEXT, "")
}

fn passed() -> Vec<Message> {
    let all = [
        ("two requests", format!("{GET}{NEXT}"), vec![get(), next()]),
        (
            "a request behind a length",
            format!("{POST}{NEXT}"),
            vec![post(), next()],
        ),
        (
            "a request behind chunks",
            format!("{CHUNKS}{NEXT}"),
            vec![chunks(), next()],
        ),
        (
            "a request behind trailers",
            format!(
                "{}X: y\r\n\r\n{NEXT}",
                CHUNKS.trim_end_matches("\r\n").to_owned() + "\r\n"
            ),
            vec![chunks(), next()],
        ),
        (
            "an empty line between",
            format!("{POST}\r\n{NEXT}"),
            vec![post(), next()],
        ),
        (
            "three of three kinds",
            format!("{POST}{CHUNKS}{NEXT}"),
            vec![post(), chunks(), next()],
        ),
        (
            "a request behind a length of 0",
            format!("{}{NEXT}", POST.replace("5\r\n\r\nhello", "0\r\n\r\n")),
            vec![
                Arrival::new("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0", ""),
                next(),
            ],
        ),
        (
            "a request behind one to upgrade to nothing",
            format!(
                "{}{NEXT}",
                GET.replace(
                    "\r\n\r\n",
                    "\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n"
                )
            ),
            vec![get(), next()],
        ),
        ("ten requests", GET.repeat(10), vec![get(); 10]),
    ];
    all.map(|(name, bytes, arrivals)| {
        Message::new(
            name,
            "RFC 9112 section 9.3.2",
            bytes,
            Expected::Forwarded(arrivals),
        )
    })
    .into()
}

/// The first passes, the second is refused.
fn half() -> Vec<Message> {
    let smuggled = "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let all = [
        (
            "LF behind a request",
            "RFC 9112 section 2.2",
            format!("{GET}GET /2 HTTP/1.1\nHost: a\n\n"),
            get(),
            BAD_END,
        ),
        (
            "one without a host behind a request",
            "attack class R1",
            format!("{GET}GET /2 HTTP/1.1\r\n\r\n"),
            get(),
            BAD_HOST,
        ),
        (
            "CL.TE behind a request",
            "attack class S1",
            format!("{GET}{smuggled}"),
            get(),
            BAD_FRAMING,
        ),
        (
            "CL.TE behind a length",
            "attack class S1",
            format!("{POST}{smuggled}"),
            post(),
            BAD_FRAMING,
        ),
        (
            "CL.TE behind chunks",
            "attack class S1",
            format!("{CHUNKS}{smuggled}"),
            chunks(),
            BAD_FRAMING,
        ),
        (
            "a length that is one too small",
            "attack class S7",
            format!("{}{NEXT}", POST.replace("hello", "hello(")),
            post(),
            BAD_LINE,
        ),
        (
            "a body with GET that announced none",
            "attack class S7",
            format!("{GET}hello world\r\n\r\n"),
            get(),
            BAD_LINE,
        ),
        (
            "a fold behind a request",
            "RFC 9112 section 5.2",
            format!("{GET}GET /2 HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"),
            get(),
            BAD_FIELD,
        ),
    ];
    all.map(|(name, source, bytes, first, (status, reason))| {
        let refusal = Answer::Status(status, reason.into());
        Message::new(name, source, bytes, Expected::Both(vec![first], refusal))
    })
    .into()
}

pub(super) fn all() -> Vec<Message> {
    passed().into_iter().chain(half()).collect()
}
