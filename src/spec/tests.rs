//! What a field takes, a store gives back.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Address, ConsulUrl, HashKey, HostPattern, Name, PathPattern, Percent, ServerName, Span,
    StatusRange, Target, TokenVariable,
};

/// What means something to one of the fields, so that chance puts them together in every way.
const PARTS: &[&str] = &[
    "unix",
    "UNIX",
    "srv",
    "host",
    "uri",
    "client_ip",
    "header",
    "cookie",
    "query",
    "http",
    "https",
    "://",
    ":",
    ":",
    "/",
    "/",
    ".",
    "..",
    "-",
    "_",
    "@",
    "=",
    "~",
    "*",
    "*.",
    "[",
    "]",
    "{host}",
    "%",
    "?",
    "#",
    "&",
    " ",
    "\0",
    "é",
    "0",
    "00",
    "80",
    "080",
    "443",
    "200",
    "200-299",
    "65535",
    "65536",
    "10.0.0.5",
    "127.1",
    "0x7f",
    "::1",
    "::ffff:1.2.3.4",
    "fe80::1%1",
    "a",
    "App",
    "example.org",
    "xn--a",
    "ms",
    "s",
    "m",
    "1h",
    "+",
    "1.5",
    "99999999999999999999",
];

/// A text that is taken is written as one that is read as the same.
fn reads_back<T: DeserializeOwned + Serialize + PartialEq + Debug>(text: &str) {
    let Ok(taken) = serde_json::from_value::<T>(Value::from(text)) else {
        return;
    };
    let written = serde_json::to_value(&taken).expect("a text");
    match serde_json::from_value::<T>(written.clone()) {
        Ok(again) => assert_eq!(again, taken, "{text:?} was written as {written}"),
        Err(error) => panic!("{text:?} was written as {written}: {error}"),
    }
}

fn every_field_reads_back(text: &str) {
    reads_back::<Address>(text);
    reads_back::<ConsulUrl>(text);
    reads_back::<HashKey>(text);
    reads_back::<HostPattern>(text);
    reads_back::<Name>(text);
    reads_back::<PathPattern>(text);
    reads_back::<Percent>(text);
    reads_back::<ServerName>(text);
    reads_back::<Span>(text);
    reads_back::<StatusRange>(text);
    reads_back::<Target>(text);
    reads_back::<TokenVariable>(text);
}

#[test]
fn each_part_reads_back_alone_and_with_a_port() {
    for part in PARTS {
        every_field_reads_back(part);
        every_field_reads_back(&format!("{part}:80"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_text_that_is_taken_reads_back(parts in vec(select(PARTS), 1..7)) {
        every_field_reads_back(&parts.concat());
    }
}
