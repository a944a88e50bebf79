//! The PROXY protocol's header, versions 1 and 2, as its specification of 2020-03-05 has it.
//!
//! Read strictly: what a sender of either version would not write is malformed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::crc32c::crc32c;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client's, who has this address.
    Client(SocketAddr),
    /// The sender's own (`LOCAL`), or that of someone without an IP address (`UNKNOWN`, `UNSPEC`, a Unix socket).
    Itself,
}

/// No sound header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

const V1: &[u8] = b"PROXY ";
/// "The maximum line lengths the receiver must support including the CRLF": 107, and the specification's own buffer.
const LONGEST_V1: usize = 107;
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_V2: usize = 16;
/// Addresses and what a sender adds to them; with a client's certificate it can be this much.
const LONGEST_V2: usize = 4096;

/// Whether a connection that begins with these bytes can begin with a header.
pub fn can_begin(bytes: &[u8]) -> bool {
    let begins = |signature: &[u8]| {
        let length = bytes.len().min(signature.len());
        bytes.get(..length) == signature.get(..length)
    };
    begins(V1) || begins(V2)
}

/// The header and its length; none if more bytes are needed to tell.
pub fn read(bytes: &[u8]) -> Result<Option<(usize, Sender)>, Malformed> {
    if !can_begin(bytes) {
        return Err(Malformed);
    }
    match bytes.first() {
        Some(b'P') => version_1(bytes),
        Some(_) => version_2(bytes),
        None => Ok(None),
    }
}

fn version_1(bytes: &[u8]) -> Result<Option<(usize, Sender)>, Malformed> {
    let seen = bytes.get(..LONGEST_V1).unwrap_or(bytes);
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LONGEST_V1 {
            Ok(None)
        } else {
            Err(Malformed)
        };
    };
    let line = seen.get(V1.len()..end).ok_or(Malformed)?;
    let line = str::from_utf8(line).map_err(|_| Malformed)?;
    let sender = match line.split_once(' ') {
        Some(("TCP4", rest)) => client::<Ipv4Addr>(rest)?,
        Some(("TCP6", rest)) => client::<Ipv6Addr>(rest)?,
        // "The receiver must ignore anything presented before the CRLF."
        Some(("UNKNOWN", _)) => Sender::Itself,
        None if line == "UNKNOWN" => Sender::Itself,
        _ => return Err(Malformed),
    };
    Ok(Some((end + 2, sender)))
}

/// `SOURCE DESTINATION PORT PORT`, with single spaces.
fn client<A: FromStr + Into<IpAddr>>(text: &str) -> Result<Sender, Malformed> {
    let mut words = text.split(' ');
    let mut word = || words.next().ok_or(Malformed);
    let source: A = word()?.parse().map_err(|_| Malformed)?;
    let _destination: A = word()?.parse().map_err(|_| Malformed)?;
    let (source_port, _destination_port) = (port(word()?)?, port(word()?)?);
    match words.next() {
        None => Ok(Sender::Client((source, source_port).into_address())),
        Some(_) => Err(Malformed),
    }
}

trait IntoAddress {
    fn into_address(self) -> SocketAddr;
}

impl<A: Into<IpAddr>> IntoAddress for (A, u16) {
    fn into_address(self) -> SocketAddr {
        SocketAddr::new(self.0.into(), self.1)
    }
}

fn port(text: &str) -> Result<u16, Malformed> {
    let is_plain = text.bytes().all(|digit| digit.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    let number = text.parse().map_err(|_| Malformed)?;
    is_plain.then_some(number).ok_or(Malformed)
}

fn version_2(bytes: &[u8]) -> Result<Option<(usize, Sender)>, Malformed> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_V2) else {
        return Ok(None);
    };
    let &[.., command, family, high, low] = fixed else {
        return Err(Malformed);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST_V2 - FIXED_V2 {
        return Err(Malformed);
    }
    let Some(rest) = rest.get(..length) else {
        return Ok(None);
    };
    let sender = match command {
        // "The receiver must accept this connection as valid and must use the real connection endpoints and discard the
        // protocol block including the family which is ignored."
        0x20 => Sender::Itself,
        0x21 => proxied(bytes, family, rest)?,
        _ => return Err(Malformed),
    };
    Ok(Some((FIXED_V2 + length, sender)))
}

fn proxied(header: &[u8], family: u8, block: &[u8]) -> Result<Sender, Malformed> {
    let (sender, addresses) = match family {
        0x00 => return Ok(Sender::Itself),
        0x11 => {
            let source: [u8; 4] = part(block, 0)?;
            let port = u16::from_be_bytes(part(block, 8)?);
            (Sender::Client((source, port).into_address()), 12)
        }
        0x21 => {
            let source: [u8; 16] = part(block, 0)?;
            let port = u16::from_be_bytes(part(block, 32)?);
            (Sender::Client((source, port).into_address()), 36)
        }
        0x31 => (Sender::Itself, 216),
        // Datagrams do not come over a stream.
        _ => return Err(Malformed),
    };
    let header = header.get(..FIXED_V2 + block.len()).ok_or(Malformed)?;
    additions(header, FIXED_V2 + addresses)?;
    Ok(sender)
}

fn part<const N: usize>(block: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    let part = block.get(at..at + N).ok_or(Malformed)?;
    part.try_into().map_err(|_| Malformed)
}

/// What follows the addresses is type, length and value again and again, to the end.
fn additions(header: &[u8], mut at: usize) -> Result<(), Malformed> {
    if at > header.len() {
        return Err(Malformed);
    }
    while let Some(&kind) = header.get(at) {
        let value = at + 3;
        let length = usize::from(u16::from_be_bytes(part(header, at + 1)?));
        at = value + length;
        if at > header.len() || (kind == CHECKSUM && !is_intact(header, value, length)) {
            return Err(Malformed);
        }
    }
    Ok(())
}

/// `PP2_TYPE_CRC32C`: "if the checksum does not match the receiver must abort the connection".
const CHECKSUM: u8 = 3;

/// Whether the checksum at this place is that of the header, with zeros in its own place.
fn is_intact(header: &[u8], place: usize, length: usize) -> bool {
    let Some((before, rest)) = header.split_at_checked(place) else {
        return false;
    };
    match rest.split_first_chunk() {
        Some((sum, behind)) if length == sum.len() => {
            u32::from_be_bytes(*sum) == crc32c([before, &[0; 4], behind])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2, &[command, family], &length, block].concat()
    }

    const BLOCK_4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];

    fn client(text: &str) -> Sender {
        Sender::Client(text.parse().unwrap())
    }

    #[test]
    fn version_1_names_the_client() {
        for (line, sender) in [
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n",
                client("192.0.2.7:12345"),
            ),
            (
                "PROXY TCP6 2001:db8::7 ::1 1 65535\r\n",
                client("[2001:db8::7]:1"),
            ),
            ("PROXY UNKNOWN\r\n", Sender::Itself),
            (
                "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
                Sender::Itself,
            ),
        ] {
            let with_request = [line.as_bytes(), b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(
                read(&with_request),
                Ok(Some((line.len(), sender))),
                "{line}"
            );
        }
    }

    #[test]
    fn version_2_names_the_client() {
        let mut block_6 = [0; 36];
        block_6[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        block_6[15] = 9;
        block_6[32..34].copy_from_slice(&[0, 99]);
        let with_additions = [&BLOCK_4[..], &[4, 0, 2, 0, 0, 0xea, 0, 0]].concat();
        for (header, sender) in [
            (header_2(0x21, 0x11, &BLOCK_4), client("192.0.2.7:12345")),
            (
                header_2(0x21, 0x11, &with_additions),
                client("192.0.2.7:12345"),
            ),
            (header_2(0x21, 0x21, &block_6), client("[2001:db8::9]:99")),
            (header_2(0x21, 0x31, &[0; 216]), Sender::Itself),
            (header_2(0x21, 0x00, b"anything"), Sender::Itself),
            (header_2(0x20, 0x00, b""), Sender::Itself),
            (header_2(0x20, 0x11, &BLOCK_4), Sender::Itself),
        ] {
            let with_request = [&header[..], b"GET"].concat();
            assert_eq!(read(&with_request), Ok(Some((header.len(), sender))));
        }
    }

    #[test]
    fn a_checksum_must_be_that_of_the_header() {
        let block = [
            &BLOCK_4[..],
            &[4, 0, 1, 9],
            &[3, 0, 4, 0, 0, 0, 0],
            &[4, 0, 0],
        ]
        .concat();
        let mut header = header_2(0x21, 0x11, &block);
        let place = FIXED_V2 + BLOCK_4.len() + 4 + 3;
        let sum = crc32c([&header[..]]).to_be_bytes();
        header[place..place + 4].copy_from_slice(&sum);
        let found = Ok(Some((header.len(), client("192.0.2.7:12345"))));
        assert_eq!(read(&[&header[..], b"GET"].concat()), found);
        for place in FIXED_V2..header.len() {
            // Types and lengths apart: those may make another sound header.
            if (place - FIXED_V2 < BLOCK_4.len()) || (place - FIXED_V2 - BLOCK_4.len() == 3) {
                let mut other = header.clone();
                other[place] ^= 1;
                assert_eq!(read(&other), Err(Malformed), "{place}");
            }
        }
        let short = [&BLOCK_4[..], &[3, 0, 2, 0, 0]].concat();
        assert_eq!(read(&header_2(0x21, 0x11, &short)), Err(Malformed));
    }

    #[test]
    fn a_header_cut_anywhere_needs_more_bytes() {
        let lines = [
            b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n".to_vec(),
            header_2(0x21, 0x11, &BLOCK_4),
        ];
        for header in lines {
            for end in 0..header.len() {
                assert_eq!(read(&header[..end]), Ok(None), "{end}");
            }
        }
    }

    #[test]
    fn what_no_sender_writes_is_malformed() {
        let long = format!("PROXY UNKNOWN {}", "x".repeat(107));
        for line in [
            "GET / HTTP/1.1\r\n",
            "proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
            "PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
            "PROXY TCP4 1.1.1.1  1.1.1.1 1 1\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n",
            "PROXY TCP4 1.1.1.01 1.1.1.1 1 1\r\n",
            "PROXY TCP4 ::1 ::1 1 1\r\n",
            "PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n",
            "PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY \r\n",
            "PROXY TCP4 a.example 1.1.1.1 1 1\r\n",
            &long,
        ] {
            assert_eq!(read(line.as_bytes()), Err(Malformed), "{line}");
        }
        for header in [
            header_2(0x11, 0x11, &BLOCK_4),       // version 1 in the form of 2
            header_2(0x22, 0x11, &BLOCK_4),       // no such command
            header_2(0x21, 0x11, &BLOCK_4[..11]), // an address cut short
            header_2(0x21, 0x21, &BLOCK_4),       // the same for IPv6
            header_2(0x21, 0x12, &BLOCK_4),       // datagrams
            header_2(0x21, 0x41, &BLOCK_4),       // no such family
            header_2(0x21, 0x31, &[0; 215]),      // a path cut short
            header_2(0x21, 0x11, &[&BLOCK_4[..], &[4, 0]].concat()), // half an addition
            header_2(0x21, 0x11, &[&BLOCK_4[..], &[4, 0, 9, 0]].concat()), // one longer than the header
            header_2(0x21, 0x11, &[0; 4081]),                              // oversized
            b"\r\n\r\n\0\r\nQUIX".to_vec(),
        ] {
            assert_eq!(read(&header), Err(Malformed), "{header:?}");
        }
    }
}
