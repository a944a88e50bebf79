//! Messages that no server may see.

pub(super) const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

/// Request lines and fields, each with the reason of its refusal: from public reports of smuggling, and their relatives.
const BAD_FRAMING: [&str; 15] = [
    "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding:\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: -0\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length:\r\n",
    "Content-Length: 18446744073709551617\r\n",
    "Content-Length: 5, 6\r\n",
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5 5\r\n",
];

const BAD_CHUNKS: [&str; 8] = [
    "0x5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5_\r\nhello\r\n0\r\n\r\n",
    "fffffffffffffffff\r\nhello",
    "5\r\nhello0\r\n\r\n",
    "5;\0x\r\nhello\r\n0\r\n\r\n",
    "-1\r\n\r\n",
];

const BAD_FIELDS: [&str; 14] = [
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding:\u{b}chunked\r\n",
    "Transfer-Encoding:\0chunked\r\n",
    " Transfer-Encoding: chunked\r\n",
    "X: a\r\n Transfer-Encoding: chunked\r\n",
    "Content_Length: 5\r\n",
    "Transfer_Encoding: chunked\r\n",
    "X_Real_IP: 6.6.6.6\r\n",
    "X.Forwarded.For: 6.6.6.6\r\n",
    "X: a\0b\r\n",
    "X: a\u{1b}b\r\n",
    "X\0: a\r\n",
    "no colon\r\n",
    ": empty\r\n",
];

const BAD_HOSTS: [&str; 7] = [
    "",
    "Host:\r\n",
    "Host: a\r\nHost: a\r\n",
    "Host: a, b\r\n",
    "Host: u@a\r\n",
    "Host: a/b\r\n",
    "Host: a:x\r\n",
];

const BAD_TARGETS: [&str; 15] = [
    "http://u:p@a/",
    "/a#b",
    "/a\\b",
    "/\u{e4}",
    "a",
    "*",
    "ftp://a/",
    "/..",
    "/a/../../b",
    "/%2e%2e/b",
    "/a/..;/b",
    "/%00",
    "/%zz",
    "/%c0%ae/",
    "/a%5cb",
];

const BAD_LINES: [&str; 7] = [
    "GET  / HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET\t/ HTTP/1.1",
    "GET / HTTP/2.0",
    "GET / HTTP/1.1 x",
    "G(T / HTTP/1.1",
    "GET /",
];

/// Whole messages, each with the first line of its answer.
const BAD_MESSAGES: [(&str, &str); 10] = [
    ("GET / HTTP/1.1\nHost: a\n\n", "400 bad_request_line_end"),
    (
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "400 bad_request_line_end",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
        "400 bad_request_line_end",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        "400 bad_request_line_end",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;\nhello\r\n0\r\n\r\n",
        "400 bad_request_line_end",
    ),
    (
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400 bad_request_framing",
    ),
    (
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "400 bad_request_host",
    ),
    (
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "405 method_not_allowed",
    ),
    (
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "405 method_not_allowed",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: y 100-continue\r\n\r\n",
        "417 expectation_failed",
    ),
];

pub(super) fn hostile() -> Vec<(String, &'static str)> {
    let chunked = |body: &str| format!("{POST}Transfer-Encoding: chunked\r\n\r\n{body}");
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(65_536));
    let large = |size: usize| format!("{POST}X: {}\r\n\r\n", "y".repeat(size));
    let mut all: Vec<_> = BAD_MESSAGES
        .iter()
        .map(|(text, answer)| ((*text).to_owned(), *answer))
        .collect();
    all.extend(BAD_FRAMING.map(|fields| {
        (
            format!("{POST}{fields}\r\n0\r\n\r\nX"),
            "400 bad_request_framing",
        )
    }));
    all.extend(BAD_CHUNKS.map(|body| (chunked(body), "400 bad_request_framing")));
    all.push((chunked(&extension), "400 bad_request_framing"));
    all.extend(BAD_FIELDS.map(|fields| (format!("{POST}{fields}\r\n"), "400 bad_request_header")));
    all.extend(BAD_HOSTS.map(|host| {
        (
            format!("GET / HTTP/1.1\r\n{host}\r\n"),
            "400 bad_request_host",
        )
    }));
    all.extend(BAD_TARGETS.map(|target| {
        (
            format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            "400 bad_request_uri",
        )
    }));
    all.extend(
        BAD_LINES.map(|line| (format!("{line}\r\nHost: a\r\n\r\n"), "400 bad_request_line")),
    );
    let many = format!("{POST}{}\r\n", "X: y\r\n".repeat(100));
    all.extend(
        [many, large(32 << 10), large(900 << 10)].map(|text| (text, "431 header_too_large")),
    );
    all
}
