//! Heads that pass, and how a server gets them.

use crate::message::Message;

/// Request line and fields as sent (Host is `a`), and as a server gets them.
const HEADS: [(&str, &str, &str, &str); 32] = [
    (
        "GET",
        "RFC 9110 section 9.3.1",
        "GET / HTTP/1.1",
        "GET / HTTP/1.1",
    ),
    (
        "HEAD",
        "RFC 9110 section 9.3.2",
        "HEAD / HTTP/1.1",
        "HEAD / HTTP/1.1",
    ),
    (
        "DELETE",
        "RFC 9110 section 9.3.5",
        "DELETE /a HTTP/1.1",
        "DELETE /a HTTP/1.1",
    ),
    (
        "OPTIONS",
        "RFC 9110 section 9.3.7",
        "OPTIONS /a HTTP/1.1",
        "OPTIONS /a HTTP/1.1",
    ),
    (
        "PROPFIND",
        "RFC 4918 section 9.1",
        "PROPFIND /a HTTP/1.1",
        "PROPFIND /a HTTP/1.1",
    ),
    (
        "a method with every sign",
        "RFC 9110 section 5.6.2",
        "A!#$%&'*+-.^_`|~9 / HTTP/1.1",
        "A!#$%&'*+-.^_`|~9 / HTTP/1.1",
    ),
    (
        "PRI, but not the preface",
        "RFC 9113 section 3.4",
        "PRI / HTTP/1.1",
        "PRI / HTTP/1.1",
    ),
    (
        "an empty value",
        "RFC 9110 section 5.5",
        "GET / HTTP/1.1\r\nX:",
        "GET / HTTP/1.1\r\nX: ",
    ),
    (
        "a value above ASCII",
        "RFC 9110 section 5.5",
        "GET / HTTP/1.1\r\nX: \u{e4}",
        "GET / HTTP/1.1\r\nX: \u{e4}",
    ),
    (
        "a tab in a value",
        "RFC 9110 section 5.5",
        "GET / HTTP/1.1\r\nX: a\tb",
        "GET / HTTP/1.1\r\nX: a\tb",
    ),
    (
        "white space around a value",
        "RFC 9112 section 5.1",
        "GET / HTTP/1.1\r\nX:\t a b \t",
        "GET / HTTP/1.1\r\nX: a b",
    ),
    (
        "a field twice",
        "RFC 9110 section 5.2",
        "GET / HTTP/1.1\r\nX: a\r\nX: b",
        "GET / HTTP/1.1\r\nX: a\r\nX: b",
    ),
    (
        "two lines of cookies",
        "RFC 6265 section 5.4",
        "GET / HTTP/1.1\r\nCookie: a=1\r\nCookie: b=2",
        "GET / HTTP/1.1\r\nCookie: a=1\r\nCookie: b=2",
    ),
    (
        "a name with every sign",
        "RFC 9110 section 5.1",
        "GET / HTTP/1.1\r\nA!#$%&'*+-.^_`|~9: x",
        "GET / HTTP/1.1\r\nA!#$%&'*+-.^_`|~9: x",
    ),
    (
        "an underscore that shadows nothing",
        "attack class R5",
        "GET / HTTP/1.1\r\nApi_Key: x",
        "GET / HTTP/1.1\r\nApi_Key: x",
    ),
    (
        "signs in a value",
        "RFC 9110 section 5.5",
        "GET / HTTP/1.1\r\nX: \"a\\b\" <c>",
        "GET / HTTP/1.1\r\nX: \"a\\b\" <c>",
    ),
    (
        "a name in odd case",
        "RFC 9110 section 5.1",
        "GET / HTTP/1.1\r\naCCEPT: x",
        "GET / HTTP/1.1\r\naCCEPT: x",
    ),
    (
        "Connection: keep-alive",
        "RFC 9110 section 7.6.1",
        "GET / HTTP/1.1\r\nConnection: keep-alive",
        "GET / HTTP/1.1",
    ),
    (
        "a nominated field",
        "RFC 9110 section 7.6.1",
        "GET / HTTP/1.1\r\nConnection: X-Hop\r\nX-Hop: y\r\nZ: z",
        "GET / HTTP/1.1\r\nZ: z",
    ),
    (
        "Keep-Alive",
        "RFC 9110 section 7.6.1",
        "GET / HTTP/1.1\r\nKeep-Alive: timeout=5",
        "GET / HTTP/1.1",
    ),
    (
        "Proxy-Connection",
        "RFC 9110 section 7.6.1",
        "GET / HTTP/1.1\r\nProxy-Connection: keep-alive",
        "GET / HTTP/1.1",
    ),
    (
        "TE",
        "RFC 9110 section 10.1.4",
        "GET / HTTP/1.1\r\nTE: trailers\r\nConnection: TE",
        "GET / HTTP/1.1",
    ),
    (
        "an upgrade to something",
        "CVE-2026-2833; attack class S11",
        "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: foo",
        "GET / HTTP/1.1",
    ),
    (
        "an upgrade to h2c",
        "attack class S17",
        "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
        "GET / HTTP/1.1",
    ),
    (
        "X-Forwarded-For of a stranger",
        "attack class R4",
        "GET / HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6",
        "GET / HTTP/1.1",
    ),
    (
        "X-Real-IP of a stranger",
        "attack class R4",
        "GET / HTTP/1.1\r\nX-Real-IP: 6.6.6.6",
        "GET / HTTP/1.1",
    ),
    (
        "an URI over https",
        "RFC 9112 section 3.2.2",
        "GET https://a/b HTTP/1.1",
        "GET /b HTTP/1.1",
    ),
    (
        "an URI with a scheme in odd case",
        "RFC 9110 section 4.2.3",
        "GET HTTP://a/b HTTP/1.1",
        "GET /b HTTP/1.1",
    ),
    (
        "an URI with only a query",
        "RFC 9112 section 3.2.2",
        "GET http://a?b HTTP/1.1",
        "GET /?b HTTP/1.1",
    ),
    (
        "an URI with dot segments",
        "attack class R6",
        "GET http://a/b/../c HTTP/1.1",
        "GET /c HTTP/1.1",
    ),
    (
        "HTTP/1.0",
        "RFC 9112 section 2.3",
        "GET / HTTP/1.0",
        "GET / HTTP/1.1",
    ),
    (
        "an empty line before",
        "RFC 9112 section 2.2",
        "\r\nGET / HTTP/1.1",
        "GET / HTTP/1.1",
    ),
];

pub(super) fn all() -> Vec<Message> {
    HEADS
        .map(|(name, source, sent, expected)| {
            let bytes: Vec<u8> = format!("{sent}\r\nHost: a\r\n\r\n")
                .chars()
                .map(|one| u8::try_from(one).unwrap())
                .collect();
            Message::forwarded(
                format!("passes: {name}"),
                source,
                bytes,
                &format!("{expected}\r\nHost: a"),
                "",
            )
        })
        .into()
}
