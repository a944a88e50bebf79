//! Request targets (RFC 9112 section 3.2): the ambiguous ones, and the one form of the others.

use super::{BAD_HOST, BAD_TARGET};
use crate::message::Message;

const REFUSED: [(&str, &str, &str); 42] = [
    ("a quotation mark", "RFC 3986 section 2", "/a\"b"),
    ("a less-than sign", "RFC 3986 section 2", "/a<b"),
    ("a greater-than sign", "RFC 3986 section 2", "/a>b"),
    ("a backtick", "RFC 3986 section 2", "/a`b"),
    (
        "a fragment",
        "attack class R7; RFC 9112 section 3.2",
        "/a#b",
    ),
    ("a fragment in the query", "attack class R7", "/a?b#c"),
    ("a backslash", "attack class R6", "/a\\b"),
    ("a backslash for the first slash", "attack class R6", "\\a"),
    ("backslashes that climb", "attack class R6", "/a/..\\..\\b"),
    (
        "a byte above ASCII",
        "attack class R7; RFC 3986 section 2",
        "/\u{e4}",
    ),
    (
        "a byte above ASCII in the query",
        "attack class R7",
        "/?\u{e4}",
    ),
    ("NUL", "RFC 3986 section 2", "/a\0b"),
    ("an escape character", "attack class R10", "/a\u{1b}[31m"),
    ("DEL", "RFC 3986 section 2", "/a\u{7f}"),
    ("a control in the query", "RFC 3986 section 2", "/?a\u{1}"),
    ("a tab", "attack class R7", "/a\tb"),
    ("no slash", "RFC 9112 section 3.2", "a"),
    ("only a query", "RFC 9112 section 3.2", "?a"),
    ("an authority with GET", "RFC 9112 section 3.2.3", "a:80"),
    ("`*` with GET", "RFC 9112 section 3.2.4", "*"),
    ("another scheme", "RFC 9110 section 4.2", "ftp://a/"),
    ("a file", "RFC 9110 section 4.2", "file:///etc/passwd"),
    (
        "a scheme without slashes",
        "RFC 9112 section 3.2.2",
        "http:a",
    ),
    (
        "an URI without an authority",
        "RFC 9110 section 4.2.1",
        "http:///a",
    ),
    (
        "a user",
        "attack class R1; RFC 9110 section 4.2.4",
        "http://u@a/",
    ),
    ("a user and a password", "attack class R1", "http://u:p@a/"),
    (
        "above the root",
        "attack class R6; RFC 3986 section 5.2.4",
        "/..",
    ),
    (
        "above the root by a detour",
        "attack class R6",
        "/a/../../b",
    ),
    (
        "above the root in an URI",
        "attack class R6",
        "http://a/../b",
    ),
    (
        "escaped dots above the root",
        "attack class R6",
        "/%2e%2e/b",
    ),
    (
        "half escaped dots above the root",
        "attack class R6",
        "/.%2E/b",
    ),
    ("dots with a parameter", "CVE-2026-73511", "/a/..;/b"),
    (
        "escaped dots with a parameter",
        "CVE-2026-73511",
        "/a/%2e%2e;x=1/b",
    ),
    ("one dot with a parameter", "CVE-2026-73511", "/a/.;/b"),
    ("an escaped NUL", "attack class R6", "/a%00.html"),
    ("an escape that is none", "RFC 3986 section 2.1", "/%zz"),
    (
        "an escape that is cut short",
        "RFC 3986 section 2.1",
        "/a%4",
    ),
    (
        "an overlong slash",
        "attack class R6; RFC 3629 section 3",
        "/..%c0%af",
    ),
    (
        "an overlong dot in three bytes",
        "attack class R6",
        "/%e0%80%ae%e0%80%ae/",
    ),
    (
        "dots before an escaped slash",
        "attack class R6",
        "/a/..%2fb",
    ),
    (
        "dots behind an escaped slash",
        "attack class R6",
        "/a%2F%2e%2e/b",
    ),
    ("an escaped backslash", "attack class R6", "/a/..%5c..%5cb"),
];

/// An authority that is not the Host, which is `a`.
const OTHER_HOSTS: [(&str, &str); 7] = [
    ("the authority in odd case", "http://A/"),
    ("another authority", "http://b/"),
    ("another port", "http://a:81/"),
    ("an authority within the other", "http://a.b/"),
    ("another authority over https", "https://b/"),
    ("an authority with a dot behind it", "http://a./"),
    ("an authority with a query behind it", "http://b?http://a/"),
];

/// Sent, and as the server gets it.
const NORMAL: [(&str, &str, &str); 30] = [
    ("the root", "/", "/"),
    ("a query", "/a?b=c&d", "/a?b=c&d"),
    ("a query alone behind the root", "/?", "/?"),
    ("dots in the query", "/a?../../b", "/a?../../b"),
    ("slashes in the query", "/a?//b//c", "/a?//b//c"),
    ("an escape in the query that is none", "/a?%zz", "/a?%zz"),
    ("a question mark in the query", "/a?b?c", "/a?b?c"),
    ("a dot segment", "/a/./b", "/a/b"),
    ("a dot segment at the end", "/a/.", "/a/"),
    ("two dots", "/a/../b", "/b"),
    ("two dots at the end", "/a/b/..", "/a/"),
    ("escaped dots", "/a/%2e%2e/b", "/b"),
    ("escaped dots in upper case", "/a/%2E%2E/b", "/b"),
    ("half escaped dots", "/a/.%2e/b", "/b"),
    ("one escaped dot", "/a/%2e/b", "/a/b"),
    ("two slashes", "/a//b", "/a/b"),
    ("only slashes", "////", "/"),
    ("an authority in the path", "//b/c", "/b/c"),
    ("three dots", "/.../a", "/.../a"),
    ("a hidden file", "/.well-known/a", "/.well-known/a"),
    ("a parameter", "/a;v=1/b", "/a;v=1/b"),
    ("an escaped slash", "/a%2fb", "/a%2fb"),
    ("dots escaped twice", "/a/%252e%252e/b", "/a/%252e%252e/b"),
    ("an escaped letter", "/%61dmin", "/admin"),
    ("an escaped space", "/a%20b", "/a%20b"),
    ("UTF-8, escaped", "/%c3%a4", "/%c3%a4"),
    (
        "every character that may stand in a path",
        "/-._~!$&'()*+,;=:@",
        "/-._~!$&'()*+,;=:@",
    ),
    ("characters that browsers send", "/a[]^{|}", "/a[]^{|}"),
    ("an URI", "http://a/b?c", "/b?c"),
    ("an URI without a path", "http://a", "/"),
];

pub(super) fn all() -> Vec<Message> {
    // One byte for each character: what is above ASCII is no UTF-8 then.
    let get = |target: &str| -> Vec<u8> {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        text.chars().map(|one| u8::try_from(one).unwrap()).collect()
    };
    let refused = REFUSED.map(|(name, source, target)| {
        // A tab or a space splits the request line.
        let expected = if target.contains(' ') {
            super::BAD_LINE
        } else {
            BAD_TARGET
        };
        Message::refused(format!("target: {name}"), source, expected, get(target))
    });
    let hosts = OTHER_HOSTS.map(|(name, target)| {
        let source = "attack class R2; RFC 9112 section 3.2.2";
        Message::refused(format!("target: {name}"), source, BAD_HOST, get(target))
    });
    let normal = NORMAL.map(|(name, target, expected)| {
        let head = format!("GET {expected} HTTP/1.1\r\nHost: a\r\n");
        let source = "attack class R6; RFC 3986 section 5.2.4";
        Message::forwarded(format!("path: {name}"), source, get(target), &head, "")
    });
    refused.into_iter().chain(hosts).chain(normal).collect()
}
