//! Rules about the file as a whole. Those about the seed by itself are the vocabulary's.

use std::collections::HashSet;

use super::holes::Holes;
use super::tree::Node;
use super::{Config, ControlSettings, LimitSettings, ListenAddress, ListenerSettings};
use crate::spec::{Broken, ForbiddenAddresses, broken_rules};
use crate::store::StoreSettings;

/// Every broken rule about what could be read; pointers begin at the top of the file.
pub(super) fn broken(config: &Config, root: &Node, holes: &Holes) -> Vec<Broken> {
    let has_control = holes.is_whole(root, "/control/address");
    let mut broken = listeners(config, has_control);
    broken.extend(process(config));
    broken.extend(state(config));
    if holes.is_whole(root, "/control") {
        broken.extend(protection(&config.control));
    }
    broken.extend(tokens(&config.control));
    broken.extend(broken_rules(&config.seed));
    if has_control && holes.is_whole(root, "/control/allow_link_local") {
        broken.extend(config.control.forbidden_addresses().in_state(&config.seed));
    }
    // Where no group could be read, nobody knows which there are.
    let has_upstreams = holes.is_read(root, "/upstreams");
    broken.retain(|broken| {
        let is_target = broken.pointer.starts_with("/routes/") && broken.pointer.ends_with("/to");
        holes.is_whole(root, &broken.pointer) && (has_upstreams || !is_target)
    });
    broken
}

impl ControlSettings {
    /// Which addresses may not become servers.
    pub fn forbidden_addresses(&self) -> ForbiddenAddresses {
        let (control, control_socket) = match &self.address {
            ListenAddress::Tcp(address) => (Some(*address), None),
            ListenAddress::Unix(path) => (None, Some(path.clone())),
        };
        ForbiddenAddresses {
            allow_link_local: self.allow_link_local,
            control,
            control_socket,
        }
    }
}

/// More threads than this is a typo: a core is never shared by two data plane workers on purpose.
const MOST_THREADS: usize = 512;

fn process(config: &Config) -> Vec<Broken> {
    let mut broken = Vec::new();
    if !(1..=MOST_THREADS).contains(&config.server.threads) {
        let message = format!("write `auto` or a number of threads from 1 to {MOST_THREADS}");
        broken.push(Broken::new("/server/threads", message));
    }
    if config.server.probe_concurrency == 0 {
        let message = "without a single probe nothing is checked: write 1 or more";
        broken.push(Broken::new("/server/probe_concurrency", message));
    }
    broken
}

fn state(config: &Config) -> Vec<Broken> {
    let StoreSettings::Redis(redis) = &config.state.store else {
        let message =
            "hosts have keys in Redis: write `state.store` with `redis://` or `rediss://`";
        let broken = Broken::new("/state/host_keys", message);
        return config
            .state
            .host_keys
            .iter()
            .map(|_| broken.clone())
            .collect();
    };
    let mut broken = Vec::new();
    if redis.sentinels.is_empty() != redis.master.is_none() {
        let message = "`sentinels` and `master` go together: who is asked, and for which master";
        broken.push(Broken::new("/state/redis", message));
    }
    if redis.ca.is_some() && !redis.tls {
        let message = "a CA is for TLS: write `state.store` with `rediss://`";
        broken.push(Broken::new("/state/redis/ca", message));
    }
    broken
}

/// `has_control`: whether the control endpoint's address is known.
fn listeners(config: &Config, has_control: bool) -> Vec<Broken> {
    let mut broken = Vec::new();
    if config.listeners.is_empty() {
        let message = "no listener: name one, or leave `listeners` out for 0.0.0.0:8080";
        broken.push(Broken::new("/listeners", message));
    }
    let control = has_control.then_some((&config.control.address, "the control endpoint"));
    for (index, listener) in config.listeners.iter().enumerate() {
        let address = &listener.address;
        let before = config.listeners.iter().take(index);
        let mut taken = before
            .map(|other| (&other.address, "another listener"))
            .chain(control);
        if let Some((other, whose)) = taken.find(|(other, _)| other.overlaps(address)) {
            let message = format!("`{address}` is taken by {whose} on `{other}`");
            broken.push(Broken::new(format!("/listeners/{index}/address"), message));
        }
        if !listener.legacy.is_empty() && matches!(address, ListenAddress::Unix(_)) {
            let message = "who calls over a Unix socket has no address that `legacy_allow` could list: use `control.legacy`";
            broken.push(Broken::new(format!("/listeners/{index}/legacy"), message));
        }
        if let Some(message) = proxy_protocol(listener) {
            let pointer = format!("/listeners/{index}/proxy_protocol");
            broken.push(Broken::new(pointer, message));
        }
        broken.extend(limits(&listener.limits).map(|(key, message)| {
            Broken::new(format!("/listeners/{index}/limits/{key}"), message)
        }));
        if !listener.h1 && !listener.h2 {
            let message = "no protocol: write `http/1.1`, `h2` or both";
            broken.push(Broken::new(
                format!("/listeners/{index}/protocols"),
                message,
            ));
        }
    }
    broken
}

/// What a stranger can make this process hold in memory has a limit, and the limit lets a browser's request through.
fn limits(limits: &LimitSettings) -> impl Iterator<Item = (&'static str, String)> {
    let head = (1 << 10..=16 << 20).contains(&limits.header_size);
    let fields = (8..=10_000).contains(&limits.header_count);
    let streams = (1..=10_000).contains(&limits.h2_streams);
    let rules = [
        (head, "header_size", "write a size from 1KiB to 16MiB"),
        (fields, "header_count", "write a number from 8 to 10000"),
        (streams, "h2_streams", "write a number from 1 to 10000"),
    ];
    let broken = rules.into_iter().filter(|(is_kept, ..)| !is_kept);
    broken.map(|(_, key, message)| (key, format!("{message}: it bounds what one client takes")))
}

/// Whoever may send the header decides under which address a client is known.
fn proxy_protocol(listener: &ListenerSettings) -> Option<&'static str> {
    let is_unix = matches!(listener.address, ListenAddress::Unix(_));
    match listener.proxy_protocol {
        Some(_) if is_unix => {
            Some("who connects over a Unix socket has no address that `trusted_proxies` could list")
        }
        Some(_) if listener.trusted_proxies.is_empty() => {
            Some("only `trusted_proxies` are believed: list who sends the PROXY header")
        }
        _ => None,
    }
}

/// Who can reach the control endpoint can change everything: off loopback it asks for a token, and a
/// token is only sent where nobody reads along.
fn protection(control: &ControlSettings) -> Option<Broken> {
    let missing = match (control.tokens.is_empty(), control.tls.is_none()) {
        _ if control.address.is_local() => return None,
        (false, false) => return None,
        (true, true) => "`control.tokens` and `control.tls`",
        (true, false) => "`control.tokens`",
        (false, true) => "`control.tls`",
    };
    let message = format!(
        "`{}` can be reached from other machines: add {missing}, or listen on 127.0.0.1 or unix:/path",
        control.address
    );
    Some(Broken::new("/control/address", message))
}

fn tokens(control: &ControlSettings) -> Vec<Broken> {
    let mut broken = Vec::new();
    let (mut names, mut sums) = (HashSet::new(), HashSet::new());
    for (index, token) in control.tokens.iter().enumerate() {
        if !names.insert(&token.name) {
            let message = format!("another token is called `{}`", token.name);
            broken.push(Broken::new(
                format!("/control/tokens/{index}/name"),
                message,
            ));
        }
        if !sums.insert(token.sha256) {
            let message = "this is the same token as another";
            broken.push(Broken::new(
                format!("/control/tokens/{index}/sha256"),
                message,
            ));
        }
    }
    broken
}
