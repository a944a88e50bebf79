//! The PROXY protocol's header as it is sent to servers, as its specification of 2020-03-05 has it.

use std::net::{IpAddr, SocketAddr};

use crate::spec::SendProxyProtocol;

/// Whose connection it is: from where, and where to. None: our own, or that of someone without an IP address.
pub type Addresses = Option<(SocketAddr, SocketAddr)>;

/// The bytes before all others on a connection; none if no header is asked for.
pub fn header(version: SendProxyProtocol, addresses: Addresses) -> Vec<u8> {
    let addresses = addresses.map(|(from, to)| (canonical(from), canonical(to)));
    // Both are of one family, or there is nothing to say.
    let addresses = addresses.filter(|(from, to)| from.is_ipv4() == to.is_ipv4());
    match version {
        SendProxyProtocol::Off => Vec::new(),
        SendProxyProtocol::V1 => version_1(addresses).into_bytes(),
        SendProxyProtocol::V2 => version_2(addresses),
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn version_1(addresses: Addresses) -> String {
    let Some((from, to)) = addresses else {
        return "PROXY UNKNOWN\r\n".to_owned();
    };
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    let (source, target) = (from.ip(), to.ip());
    format!(
        "PROXY {family} {source} {target} {} {}\r\n",
        from.port(),
        to.port()
    )
}

fn version_2(addresses: Addresses) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    let Some((from, to)) = addresses else {
        // LOCAL, of no family, with nothing behind it.
        header.extend([0x20, 0, 0, 0]);
        return header;
    };
    // PROXY, and a stream over IPv4 or IPv6.
    let (family, length) = if from.is_ipv4() {
        (0x11, 12)
    } else {
        (0x21, 36)
    };
    header.extend([0x21, family, 0, length]);
    for address in [from.ip(), to.ip()] {
        match address {
            IpAddr::V4(address) => header.extend(address.octets()),
            IpAddr::V6(address) => header.extend(address.octets()),
        }
    }
    for port in [from.port(), to.port()] {
        header.extend(port.to_be_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strict::proxy_header::{Sender, read};

    const VERSIONS: [SendProxyProtocol; 2] = [SendProxyProtocol::V1, SendProxyProtocol::V2];

    #[test]
    fn what_is_written_is_read_as_it_was_meant() {
        let to = |address: &str| address.parse::<SocketAddr>().unwrap();
        for version in VERSIONS {
            for (from, target) in [
                ("192.0.2.7:1", "10.0.0.1:65535"),
                ("[2001:db8::7]:4711", "[::1]:80"),
            ] {
                let header = header(version, Some((to(from), to(target))));
                let read = read(&header).unwrap();
                assert_eq!(read, Some((header.len(), Sender::Client(to(from)))));
            }
            let mapped = header(
                version,
                Some((to("[::ffff:192.0.2.7]:1"), to("10.0.0.1:2"))),
            );
            let client = Sender::Client(to("192.0.2.7:1"));
            assert_eq!(read(&mapped).unwrap(), Some((mapped.len(), client)));
        }
    }

    #[test]
    fn without_one_family_there_is_nothing_to_say() {
        let mixed = Some(("192.0.2.7:1".parse().unwrap(), "[::1]:2".parse().unwrap()));
        for version in VERSIONS {
            for addresses in [None, mixed] {
                let header = header(version, addresses);
                assert_eq!(read(&header).unwrap(), Some((header.len(), Sender::Itself)));
            }
        }
        assert_eq!(header(SendProxyProtocol::V1, mixed), b"PROXY UNKNOWN\r\n");
        assert_eq!(header(SendProxyProtocol::Off, mixed), b"");
    }
}
