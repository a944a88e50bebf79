use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::discovery::NameServers;
use crate::spec::shortened;

/// Who is asked for names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DnsFile {
    servers: Option<Servers>,
}

impl DnsFile {
    pub(super) fn settle(self) -> NameServers {
        let servers = self.servers.unwrap_or(Servers(NameServers::System));
        servers.0
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "ServersText")]
struct Servers(NameServers);

#[derive(Deserialize)]
#[serde(untagged, expecting = "write `system` or a list of `ip:port`")]
enum ServersText {
    Word(String),
    List(Vec<String>),
}

impl TryFrom<ServersText> for Servers {
    type Error = String;
    fn try_from(text: ServersText) -> Result<Self, String> {
        match text {
            ServersText::Word(word) if word == "system" => Ok(Self(NameServers::System)),
            ServersText::Word(word) => Err(format!(
                "write `system` or a list of `ip:port`, not `{}`",
                shortened(&word)
            )),
            ServersText::List(list) if list.is_empty() => {
                Err("list at least one name server, or write `system`".to_owned())
            }
            ServersText::List(list) => {
                let servers: Result<_, _> = list.iter().map(|text| name_server(text)).collect();
                Ok(Self(NameServers::These(servers?)))
            }
        }
    }
}

/// Who says where names are is not itself found by a name.
fn name_server(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    match text.parse::<SocketAddr>().or(bare) {
        Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => Ok(address),
        _ => Err(format!(
            "`{}` is no name server: write `ip:port` or `[v6]:port`; without a port it is {PORT}",
            shortened(text)
        )),
    }
}

const PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn errors(text: &str) -> String {
        Config::from_text("f", text).unwrap_err().to_string()
    }

    #[test]
    fn names_are_asked_of_the_system_or_of_the_listed_servers() {
        let servers = |text: &str| Config::from_text("f", text).unwrap().name_servers;
        assert_eq!(servers("dns:"), NameServers::System);
        assert_eq!(servers("dns: {servers: system}"), NameServers::System);
        let listed = ["10.0.0.53:53", "[::1]:5353"].map(|text| text.parse().unwrap());
        assert_eq!(
            servers("dns: {servers: [10.0.0.53, '[::1]:5353']}"),
            NameServers::These(listed.to_vec())
        );
        insta::assert_snapshot!(errors("dns: {servers: []}"), @r##"f:1:16: list at least one name server, or write `system`"##);
        insta::assert_snapshot!(errors("dns: {servers: google}"), @r##"f:1:16: write `system` or a list of `ip:port`, not `google`"##);
        insta::assert_snapshot!(errors("dns: {servers: [ns.example.org]}"), @r##"f:1:16: `ns.example.org` is no name server: write `ip:port` or `[v6]:port`; without a port it is 53"##);
        insta::assert_snapshot!(errors("dns: {server: system}"), @r##"f:1:7: unknown key `server`; did you mean `servers`?"##);
    }
}
