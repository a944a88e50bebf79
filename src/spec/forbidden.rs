use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{Address, Broken, CheckType, Name, Spec, UpstreamSpec};

/// Which addresses may not become servers, whoever asks: a request that could make the edge talk to
/// its own control endpoint or to the cloud's metadata service would hand out what those protect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForbiddenAddresses {
    /// Whether link-local and metadata addresses are allowed after all.
    pub allow_link_local: bool,
    /// Where the control endpoint listens.
    pub control: Option<SocketAddr>,
    /// Where it listens, if on a Unix socket.
    pub control_socket: Option<PathBuf>,
}

impl ForbiddenAddresses {
    /// Why this address may not be a server, if so.
    pub fn reason(&self, address: &Address) -> Option<String> {
        let is_own = match address {
            Address::Ip(server) => self.is_control(*server),
            Address::Unix(path) => self.control_socket.as_deref() == Some(Path::new(&**path)),
            // What a name stands for is looked at when it is known.
            Address::Name(..) | Address::Service(_) => false,
        };
        if is_own {
            return Some(format!("`{address}` is the control endpoint itself"));
        }
        let guarded = match address {
            Address::Ip(server) => is_guarded(server.ip()),
            Address::Unix(_) => false,
            Address::Name(name, _) | Address::Service(name) => {
                METADATA_NAMES.contains(&name.without_dot())
            }
        };
        (guarded && !self.allow_link_local).then(|| {
            format!("`{address}` is link-local or a metadata service: allow it by `control.allow_link_local: true`")
        })
    }

    /// Every forbidden address of a group, its source's too; pointers begin at the state.
    pub fn in_servers(&self, name: &Name, upstream: &UpstreamSpec) -> Vec<Broken> {
        let servers = upstream.servers.iter().enumerate();
        let broken = servers.filter_map(|(index, server)| {
            let pointer = format!("/upstreams/{name}/servers/{index}/address");
            Some(Broken::new(pointer, self.reason(&server.address)?))
        });
        let source = upstream.source.as_ref().and_then(|source| {
            let message = self.reason(source.consul.server())?;
            Some(Broken::new(
                format!("/upstreams/{name}/source/consul"),
                message,
            ))
        });
        broken.chain(source).collect()
    }

    /// A port to probe that is the control endpoint's; the pointer begins at the state. What a probe
    /// sends is up to whoever writes it, and the control endpoint obeys whom this machine sends.
    pub fn in_probes(
        &self,
        name: &Name,
        upstream: &UpstreamSpec,
        defaults: &UpstreamSpec,
    ) -> Option<Broken> {
        let (own, default) = (upstream.health.as_ref(), defaults.health.as_ref());
        let kind = own.and_then(|own| own.kind);
        let kind = kind.or_else(|| default?.kind);
        let own_port = own.and_then(|own| own.port);
        let port = own_port.or_else(|| default?.port)?;
        let addresses = upstream.servers.iter().map(|server| server.address.ip());
        let mut probed = addresses.map(|server| Some(SocketAddr::new(server?.ip(), port)));
        let control = probed.find_map(|probed| probed.filter(|probed| self.is_control(*probed)))?;
        let pointer = match own_port {
            Some(_) => format!("/upstreams/{name}/health/port"),
            None => "/defaults/health/port".to_owned(),
        };
        let message = format!("probes would go to `{control}`, the control endpoint itself");
        (kind != Some(CheckType::None)).then(|| Broken::new(pointer, message))
    }

    fn is_control(&self, server: SocketAddr) -> bool {
        self.control.is_some_and(|own| reaches(own, server))
    }

    /// Every forbidden address of a state.
    pub fn in_state(&self, spec: &Spec) -> Vec<Broken> {
        let upstreams = spec.upstreams.iter();
        let servers = upstreams.flat_map(|(name, upstream)| {
            let probes = self.in_probes(name, upstream, &spec.defaults);
            self.in_servers(name, upstream).into_iter().chain(probes)
        });
        let targets = spec.routes.iter().enumerate().filter_map(|(index, route)| {
            let straight = route.to.address().filter(|_| {
                !route
                    .to
                    .name()
                    .is_some_and(|name| spec.upstreams.contains_key(name))
            })?;
            Some(Broken::new(
                format!("/routes/{index}/to"),
                self.reason(&straight)?,
            ))
        });
        servers.chain(targets).collect()
    }
}

/// Whether a connection to `server` ends at a listener on `own`. A listener on every address is
/// reached over loopback; the machine's other addresses are not known here.
fn reaches(own: SocketAddr, server: SocketAddr) -> bool {
    let same = own.ip() == server.ip();
    own.port() == server.port() && (same || own.ip().is_unspecified() && server.ip().is_loopback())
}

/// Metadata services outside the link-local ranges: AWS over IPv6, Alibaba Cloud.
const METADATA: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
];

/// Names that stand for such services: at Google Cloud and at AWS.
const METADATA_NAMES: [&str; 4] = [
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
];

fn is_guarded(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    link_local || METADATA.contains(&ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_services_and_control_itself_are_no_servers() {
        let forbidden = ForbiddenAddresses {
            control: Some("127.0.0.1:9900".parse().unwrap()),
            ..Default::default()
        };
        let refused = |text: &str| forbidden.reason(&Address::new(text).unwrap()).is_some();
        for text in [
            "127.0.0.1:9900",
            "169.254.169.254:80",
            "[fe80::1]:80",
            "[fd00:ec2::254]:80",
            "metadata.google.internal",
            "Metadata.Goog.:8080",
        ] {
            assert!(refused(text), "{text}");
        }
        assert!(!refused("127.0.0.1:9901"));
        let open = ForbiddenAddresses {
            allow_link_local: true,
            control: Some("0.0.0.0:9900".parse().unwrap()),
            ..Default::default()
        };
        assert_eq!(open.reason(&Address::new("169.254.169.254").unwrap()), None);
        assert!(
            open.reason(&Address::new("127.0.0.1:9900").unwrap())
                .is_some()
        );
    }

    #[test]
    fn no_probe_goes_to_the_control_api() {
        let forbidden = ForbiddenAddresses {
            control: Some("127.0.0.1:9900".parse().unwrap()),
            ..Default::default()
        };
        let places = |state: &str| -> Vec<String> {
            let broken = forbidden.in_state(&serde_json::from_str(state).unwrap());
            broken.into_iter().map(|broken| broken.pointer).collect()
        };
        let own =
            r#"{"upstreams":{"a":{"servers":["10.0.0.1","127.0.0.1:1"],"health":{"port":9900}}}}"#;
        assert_eq!(places(own), ["/upstreams/a/health/port"]);
        let default =
            r#"{"defaults":{"health":{"port":9900}},"upstreams":{"a":{"servers":["127.0.0.1"]}}}"#;
        assert_eq!(places(default), ["/defaults/health/port"]);
        for elsewhere in [
            r#"{"upstreams":{"a":{"servers":["10.0.0.1"],"health":{"port":9900}}}}"#,
            r#"{"upstreams":{"a":{"servers":["127.0.0.1:1"],"health":{"port":9901}}}}"#,
            r#"{"upstreams":{"a":{"servers":["127.0.0.1:1"],"health":{"type":"none","port":9900}}}}"#,
            r#"{"upstreams":{"a":{"servers":["unix:/s"],"health":{"port":9900}}}}"#,
            r#"{"defaults":{"health":{"port":9900}},"upstreams":{"a":{"servers":["127.0.0.1"],"health":{"port":1}}}}"#,
        ] {
            assert!(places(elsewhere).is_empty(), "{elsewhere}");
        }
    }
}
