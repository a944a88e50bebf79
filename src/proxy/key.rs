use std::net::IpAddr;

use http::header::COOKIE;
use pingora_http::RequestHeader;

use super::forward;
use crate::domain::hashing::StableHash;
use crate::domain::route::bare_host;
use crate::domain::upstream::RequestKey;
use crate::spec::HashKey;

/// The hash of what decides where a request goes; none if the request does not have it.
pub(super) fn hash(
    key: RequestKey<'_>,
    head: &RequestHeader,
    client: Option<IpAddr>,
) -> Option<u64> {
    match key {
        RequestKey::ClientNetwork => client.map(network),
        RequestKey::Of(HashKey::ClientIp) => client.map(|client| match client {
            IpAddr::V4(client) => StableHash::of(&client.octets()),
            IpAddr::V6(client) => StableHash::of(&client.octets()),
        }),
        RequestKey::Of(HashKey::Uri) => {
            let target = head.uri.path_and_query();
            target.map(|target| StableHash::of(target.as_str().as_bytes()))
        }
        RequestKey::Of(HashKey::Host) => {
            let host = bare_host(forward::received_host(head));
            let lower = host.bytes().map(|b| b.to_ascii_lowercase());
            (!host.is_empty()).then(|| StableHash::default().with(lower).end())
        }
        RequestKey::Of(HashKey::Header(name)) => {
            let value = head.headers.get(name.as_str());
            value.map(|value| StableHash::of(value.as_bytes()))
        }
        RequestKey::Of(HashKey::Cookie(name)) => cookies(head, name).next().map(StableHash::of),
        RequestKey::Of(HashKey::Query(name)) => {
            let parameters = head.uri.query().unwrap_or_default().split('&');
            let mut named = parameters.filter_map(|parameter| match parameter.split_once('=') {
                Some((key, value)) => (key == name).then_some(value),
                None => (parameter == name).then_some(""),
            });
            named.next().map(|value| StableHash::of(value.as_bytes()))
        }
    }
}

/// nginx's `ip_hash`: the first three octets of an IPv4 address, all of an IPv6 one, so that a client
/// whose address changes within its network keeps its server.
fn network(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(client) => StableHash::of(client.octets().split_at(3).0),
        IpAddr::V6(client) => StableHash::of(&client.octets()),
    }
}

/// The values of the cookies of this name, in their order.
pub(super) fn cookies<'h>(
    head: &'h RequestHeader,
    name: &'h str,
) -> impl Iterator<Item = &'h [u8]> {
    let lines = head.headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    pairs.filter_map(|pair| cookie(pair, name))
}

/// The value, if a pair between semicolons is the cookie of this name.
pub(super) fn cookie<'h>(pair: &'h [u8], name: &str) -> Option<&'h [u8]> {
    let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
    rest.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    fn of(key: &str, head: &RequestHeader) -> Option<u64> {
        let key = HashKey::new(key).unwrap();
        hash(RequestKey::Of(&key), head, "10.1.2.3".parse().ok())
    }

    #[test]
    fn each_key_is_the_part_of_the_request_that_it_names() {
        let head = head(
            "/a?id=7&x&id=8",
            &[
                ("Host", "WWW.example:81"),
                ("X-User", "u"),
                ("Cookie", "a=1; sid=s"),
                ("Cookie", "sid=t"),
            ],
        );
        for (key, value) in [
            ("uri", "/a?id=7&x&id=8"),
            ("host", "www.example"),
            ("header:X-User", "u"),
            ("cookie:sid", "s"),
            ("query:id", "7"),
            ("query:x", ""),
        ] {
            assert_eq!(
                of(key, &head),
                Some(StableHash::of(value.as_bytes())),
                "{key}"
            );
        }
        assert_eq!(of("client_ip", &head), Some(StableHash::of(&[10, 1, 2, 3])));
    }

    #[test]
    fn what_a_request_does_not_have_is_no_key() {
        let head = head("/", &[("Cookie", "sidx=1; id")]);
        for key in [
            "header:x-user",
            "cookie:sid",
            "cookie:id",
            "query:id",
            "host",
        ] {
            assert_eq!(of(key, &head), None, "{key}");
        }
        assert_eq!(hash(RequestKey::ClientNetwork, &head, None), None);
    }

    #[test]
    fn neighbours_of_ipv4_are_one_client_to_ip_hash() {
        let head = head("/", &[]);
        let of = |ip: &str| hash(RequestKey::ClientNetwork, &head, ip.parse().ok());
        assert_eq!(of("10.1.2.3"), of("10.1.2.200"));
        assert_ne!(of("10.1.2.3"), of("10.1.3.3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8::2"));
    }
}
