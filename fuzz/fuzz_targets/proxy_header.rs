//! Whatever comes before a connection: the PROXY header's verdict does not depend on how much of the rest has come, and
//! needs no more than the header.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::strict::proxy_header::{can_begin, read};

fuzz_target!(|sent: &[u8]| {
    let whole = read(sent);
    // Where the header ends; every part of an open one is open.
    let end = match whole {
        Ok(Some((length, _))) => length,
        Ok(None) => sent.len() + 1,
        Err(_) => (0..=sent.len())
            .find(|&end| read(&sent[..end]).is_err())
            .unwrap(),
    };
    for cut in 0..=sent.len() {
        let expected = if cut < end { Ok(None) } else { whole };
        assert_eq!(read(&sent[..cut]), expected, "{cut}");
    }
    if let Ok(Some((length, _))) = whole {
        assert!(length <= sent.len() && can_begin(sent));
        let header = &sent[..length];
        let is_line = header.starts_with(b"PROXY ") && header.ends_with(b"\r\n");
        assert!(is_line || header.len() >= 16, "{header:?}");
    }
});
