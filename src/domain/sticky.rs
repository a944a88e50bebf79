//! The cookie that leads a client to the server that it had before.
//!
//! It holds the server's id in its group, the second at which it ends, and a signature of both. All keys are derived from
//! the operator's secret and the group's name: the id tells nothing of the address, is the same on every node with the
//! secret, and a cookie of one group is none of another.

use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;
use ring::hmac;

use super::server::Server;
use crate::spec::{Name, StickySpec};

/// How a group binds clients to servers. Each snapshot of the group has its own, with its servers; the keys stay as long
/// as the same is asked for.
#[derive(Debug)]
pub struct Sticky {
    spec: StickySpec,
    keys: Arc<OnceLock<Keys>>,
    servers: OnceLock<HashMap<StickyId, Arc<Server>>>,
}

/// A server within a group, for whoever has the group's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StickyId(u64);

/// What a sound cookie says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The server that the client had.
    pub server: StickyId,
    /// When that ends, in seconds since 1970.
    pub until: u64,
}

impl Sticky {
    /// For a group with these servers. Without keys from before nobody is bound until [`Self::prepare`].
    pub(super) fn carried_over(
        spec: Option<StickySpec>,
        servers: &[Arc<Server>],
        before: Option<&Self>,
    ) -> Option<Arc<Self>> {
        let spec = spec?;
        let same = before.filter(|before| before.spec == spec);
        let sticky = Self {
            keys: same.map(|before| before.keys.clone()).unwrap_or_default(),
            servers: OnceLock::new(),
            spec,
        };
        if let Some(keys) = sticky.keys.get() {
            let _first = sticky.servers.set(keys.table(servers));
        }
        Some(Arc::new(sticky))
    }

    /// What is asked for, with the defaults of the state.
    pub fn spec(&self) -> &StickySpec {
        &self.spec
    }

    /// Whether the secret is there.
    pub fn is_prepared(&self) -> bool {
        self.servers.get().is_some()
    }

    /// Takes the secret, for the group of this name with these servers. A secret that is there already stays.
    pub(super) fn prepare(&self, secret: &[u8], group: &Name, servers: &[Arc<Server>]) {
        let keys = self.keys.get_or_init(|| Keys::new(secret, group));
        let _first = self.servers.set(keys.table(servers));
    }

    /// The server with this id.
    pub fn server(&self, id: StickyId) -> Option<&Arc<Server>> {
        self.servers.get()?.get(&id)
    }

    /// What the first sound one of these values says at `now` (seconds since 1970). A client has one such cookie; of many
    /// only some are looked at.
    pub fn read<'v>(&self, values: impl Iterator<Item = &'v [u8]>, now: u64) -> Option<Bound> {
        let keys = self.keys.get()?;
        let fit = values.filter(|value| value.len() == LENGTH).take(MOST);
        let mut sound = fit.filter_map(|value| keys.verified(value));
        sound.find(|bound| bound.until > now)
    }

    /// A cookie's value that binds a client to this server until then; none without the secret.
    pub fn value(&self, server: &Server, until: u64) -> Option<String> {
        Some(self.keys.get()?.signed(server, until))
    }

    /// Whether a client that comes back at `now` with this gets another one: half of its time is over, or a longer one was
    /// given than is now.
    pub fn is_old(&self, bound: &Bound, now: u64) -> bool {
        let (left, max_age) = (bound.until.saturating_sub(now), self.spec.max_age_secs());
        left.saturating_mul(2) < max_age || left > max_age
    }
}

/// Two digits for each byte of id, end and signature.
const LENGTH: usize = 2 * (BODY + TAG);
const BODY: usize = 16;
const TAG: usize = 32;
/// Values whose signature is verified: others may have set cookies of the same name.
const MOST: usize = 4;

/// Not printed: whoever has them can forge.
struct Keys {
    servers: hmac::Key,
    cookies: hmac::Key,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    fn new(secret: &[u8], group: &Name) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = |purpose: &str| {
            let group = group.as_str().to_ascii_lowercase();
            let key = hmac::sign(&secret, format!("{purpose} {group}").as_bytes());
            hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())
        };
        Self {
            servers: derived("sticky server of"),
            cookies: derived("sticky cookie of"),
        }
    }

    fn table(&self, servers: &[Arc<Server>]) -> HashMap<StickyId, Arc<Server>> {
        let servers = servers.iter();
        servers
            .map(|server| (self.id(server), server.clone()))
            .collect()
    }

    fn id(&self, server: &Server) -> StickyId {
        let tag = hmac::sign(&self.servers, server.label().as_bytes());
        StickyId(number(tag.as_ref()))
    }

    fn signed(&self, server: &Server, until: u64) -> String {
        let mut text = String::with_capacity(LENGTH);
        let body: Vec<u8> = [self.id(server).0, until]
            .into_iter()
            .flat_map(u64::to_be_bytes)
            .collect();
        let tag = hmac::sign(&self.cookies, &body);
        for byte in body.iter().chain(tag.as_ref()) {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(digit.into(), 16));
            }
        }
        text
    }

    /// What a value of the right length says, if it was signed with these keys.
    fn verified(&self, value: &[u8]) -> Option<Bound> {
        let mut bytes = [0; BODY + TAG];
        for (byte, digits) in bytes.iter_mut().zip(value.chunks(2)) {
            let [high, low] = *digits else { return None };
            *byte = digit(high)? << 4 | digit(low)?;
        }
        let (body, tag) = bytes.split_at(BODY);
        hmac::verify(&self.cookies, body, tag).ok()?;
        let (server, until) = body.split_at(BODY / 2);
        Some(Bound {
            server: StickyId(number(server)),
            until: number(until),
        })
    }
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// The first eight bytes.
fn number(bytes: &[u8]) -> u64 {
    let bytes = bytes.iter().take(8);
    bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::server::ServerState;
    use crate::spec::{Address, ServerSpec, StartHealth};

    const SECRET: &[u8] = b"thirty-two bytes or more of secret";

    fn server(address: &str) -> Arc<Server> {
        let spec = ServerSpec::new(Address::new(address).unwrap());
        let state = Arc::new(ServerState::new(StartHealth::Unknown));
        Arc::new(Server::new(&spec, false, state))
    }

    fn sticky(group: &str, secret: &[u8], servers: &[Arc<Server>]) -> Arc<Sticky> {
        let spec = r#"{"cookie": "c", "max_age": "100s", "secret_file": "s"}"#;
        let spec = serde_json::from_str(spec).unwrap();
        let sticky = Sticky::carried_over(Some(spec), servers, None).unwrap();
        sticky.prepare(secret, &Name::new(group).unwrap(), servers);
        sticky
    }

    fn read(sticky: &Sticky, values: &[&str], now: u64) -> Option<Bound> {
        sticky.read(values.iter().map(|value| value.as_bytes()), now)
    }

    #[test]
    fn a_cookie_leads_to_its_server_until_it_ends_also_on_another_node() {
        let servers = [server("10.0.0.1:80"), server("10.0.0.2:80")];
        let here = sticky("web", SECRET, &servers);
        let there = sticky(
            "WEB",
            SECRET,
            &[server("10.0.0.2:80"), server("10.0.0.1:80")],
        );
        for server in &servers {
            let value = here.value(server, 1000).unwrap();
            for node in [&here, &there] {
                let bound = read(node, &[&value], 999).unwrap();
                assert_eq!(bound.until, 1000);
                let found = node.server(bound.server).unwrap();
                assert_eq!(found.label(), server.label());
                assert_eq!(read(node, &[&value], 1000), None);
            }
        }
    }

    #[test]
    fn a_cookie_that_was_not_signed_for_this_group_with_this_secret_says_nothing() {
        let servers = [server("10.0.0.1:80")];
        let ours = sticky("web", SECRET, &servers);
        let value = ours.value(&servers[0], 1000).unwrap();
        let mut others = vec![
            sticky("web2", SECRET, &servers).value(&servers[0], 1000),
            sticky("web", &[7; 32], &servers).value(&servers[0], 1000),
            Some(String::new()),
            Some("0".repeat(LENGTH)),
            Some("zz".repeat(LENGTH / 2)),
            Some("é".repeat(LENGTH / 2)),
            Some("a".repeat(100_000)),
            Some(format!("{value}0")),
            Some(value[1..].to_owned()),
        ];
        // Each digit changed by one, so that each bit group of id, end and signature is.
        for place in 0..LENGTH {
            let mut forged = value.clone().into_bytes();
            forged[place] = if forged[place] == b'0' { b'1' } else { b'0' };
            others.push(String::from_utf8(forged).ok());
        }
        for other in others.into_iter().map(Option::unwrap) {
            assert_eq!(read(&ours, &[&other], 1), None, "{other}");
        }
        assert!(read(&ours, &[&value], 1).is_some());
    }

    #[test]
    fn the_first_sound_one_of_some_counts() {
        let servers = [server("10.0.0.1:80"), server("10.0.0.2:80")];
        let sticky = sticky("web", SECRET, &servers);
        let [first, second] = [0, 1].map(|at: usize| sticky.value(&servers[at], 1000).unwrap());
        let ended = sticky.value(&servers[0], 1).unwrap();
        let server_of = |values: &[&str]| read(&sticky, values, 2).map(|bound| bound.server);
        let of = |value: &str| server_of(&[value]).unwrap();
        assert_eq!(server_of(&[&first, &second]), Some(of(&first)));
        assert_eq!(server_of(&["", "x", &ended, &second]), Some(of(&second)));
        let forged = "0".repeat(LENGTH);
        assert_eq!(
            server_of(&[&forged, &forged, &forged, &forged, &first]),
            None
        );
    }

    #[test]
    fn the_value_holds_nothing_of_the_address() {
        let servers = [server("10.0.0.1:80")];
        let value = sticky("web", SECRET, &servers).value(&servers[0], 1000);
        let value = value.unwrap();
        assert_eq!(value.len(), LENGTH);
        for part in ["10.0.0.1", "0a000001", "31302e30"] {
            assert!(!value.contains(part), "{value}");
        }
        let other = sticky("web", &[7; 32], &servers);
        assert_ne!(
            value[..16],
            other.value(&servers[0], 1000).unwrap()[..16],
            "the id depends on the secret"
        );
    }

    #[test]
    fn a_cookie_is_renewed_when_half_of_it_is_over_or_less_is_asked_for() {
        let sticky = sticky("web", SECRET, &[]);
        let server = StickyId(1);
        let is_old = |until, now| sticky.is_old(&Bound { server, until }, now);
        assert!(!is_old(200, 100) && !is_old(200, 150));
        assert!(is_old(200, 151) && is_old(201, 100));
    }

    #[test]
    fn without_its_secret_nobody_is_bound() {
        let spec = r#"{"cookie": "c", "secret_file": "s"}"#;
        let spec = serde_json::from_str(spec).unwrap();
        let sticky = Sticky::carried_over(Some(spec), &[], None).unwrap();
        assert!(!sticky.is_prepared());
        assert_eq!(read(&sticky, &["x"], 1), None);
        assert_eq!(sticky.value(&server("10.0.0.1:80"), 1), None);
    }
}
