//! Sizes and counts, with the defaults: 32 KiB and 100 fields.

use super::TOO_LARGE;
use crate::message::Message;

const SOURCE: &str = "attack class X9; RFC 6585 section 5";

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

pub(super) fn all() -> Vec<Message> {
    // The head around the value has so many bytes.
    let around = get("X: \r\n").len();
    let of_size = |size: usize| get(&format!("X: {}\r\n", "y".repeat(size - around)));
    let of_count = |count: usize| get(&"X: y\r\n".repeat(count - 1));
    let target = |size: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(size));
    let refused = [
        ("a head of 32 KiB and one byte", of_size((32 << 10) + 1)),
        ("a head of 900 KB", of_size(900 << 10)),
        ("a target of 64 KB", target(64 << 10)),
        (
            "a field name of 64 KB",
            get(&format!("{}: y\r\n", "x".repeat(64 << 10))),
        ),
        ("a request line without an end", "G".repeat(64 << 10)),
        ("101 fields", of_count(101)),
        ("10,000 fields", of_count(10_000)),
        (
            "10,000 empty lines before the request",
            "\r\n".repeat(20_000) + &get(""),
        ),
    ];
    let refused = refused.map(|(name, bytes)| Message::refused(name, SOURCE, TOO_LARGE, bytes));
    let passed = [
        ("a head of 32 KiB", of_size(32 << 10)),
        ("100 fields", of_count(100)),
        ("a target of 8 KB", target(8 << 10)),
    ];
    let passed = passed.map(|(name, bytes)| {
        let head = bytes.clone();
        Message::forwarded(name, SOURCE, bytes, &head, "")
    });
    refused.into_iter().chain(passed).collect()
}
