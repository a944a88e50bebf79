use std::net::Ipv6Addr;

/// A host (RFC 3986 section 3.2.2) and a port: nothing that could be taken for a path, a list or a user.
pub fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value.iter().rposition(|&byte| byte == b':') {
        Some(colon) if !value.ends_with(b"]") => {
            let (host, port) = value.split_at(colon);
            (host, port.get(1..).unwrap_or_default())
        }
        _ => (value, &[][..]),
    };
    let is_port = port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
    let number = |port: &[u8]| {
        port.iter()
            .fold(0_u32, |number, digit| number * 10 + u32::from(digit & 0x0f))
    };
    let is_name = match host {
        [b'[', inner @ .., b']'] => {
            let inner = std::str::from_utf8(inner).unwrap_or_default();
            inner.parse::<Ipv6Addr>().is_ok()
        }
        name => is_name(name),
    };
    is_port && number(port) <= u32::from(u16::MAX) && is_name
}

/// One dot at the end is the root's. An empty label elsewhere is no name (RFC 1035 section 3.1): `a..` would be `a.` in
/// its normal form, and `a` to whoever takes the dot off again.
fn is_name(name: &[u8]) -> bool {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let mut labels = name.split(|&byte| byte == b'.');
    labels.all(|label| !label.is_empty() && label.iter().all(|&byte| is_name_byte(byte)))
}

/// No `%`: whoever decodes an escaped name has another one than whoever does not.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b';'
                | b'='
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_perhaps_a_port() {
        for host in [
            "a",
            "A.example",
            "a.",
            "a_b:8080",
            "a:",
            "192.0.2.1",
            "[::1]",
            "[::1]:80",
            "a:65535",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for other in [
            "",
            ":80",
            ".",
            "..",
            "a..",
            "a..b",
            ".a",
            "a..:80",
            "a:b",
            "a:123456",
            "a:65536",
            "a%00b",
            "a%2eb",
            "a:1:2",
            "::1",
            "[]",
            "[:::::]",
            "[192.0.2.1]",
            "[a]b",
            "[g]",
            "u@a",
            "a/b",
            "a,b",
            "a b",
        ] {
            assert!(!is_host(other.as_bytes()), "{other}");
        }
    }
}
