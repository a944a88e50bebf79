//! Other proxies before the same recorder, where they are installed, each with no more configuration than it needs.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::{Client, Port, until};

/// A running proxy; ends with this.
pub(crate) struct Other {
    pub(crate) name: String,
    /// One for each protocol: none of them tells the two apart on one port in this version.
    pub(crate) http1: Port,
    pub(crate) http2: Port,
    process: Child,
    _directory: TempDir,
}

/// Starts one; none where it is not installed.
type Start = fn(SocketAddr) -> Option<Other>;

pub(crate) const ALL: [Start; 3] = [nginx, haproxy, bare_pingora];

fn nginx(origin: SocketAddr) -> Option<Other> {
    let name = version(&["nginx", "/usr/sbin/nginx"], "-v")?;
    start(&name, |directory, http1, http2| {
        let file = directory.join("nginx.conf");
        let at = directory.display();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{}}\nhttp {{\n\
             access_log off;\nclient_body_temp_path {at}/body;\nproxy_temp_path {at}/proxy;\n\
             fastcgi_temp_path {at}/f;\nuwsgi_temp_path {at}/u;\nscgi_temp_path {at}/s;\n\
             server {{\nlisten {http1};\nlisten {http2} http2;\nlocation / {{\nproxy_pass http://{origin};\n\
             proxy_http_version 1.1;\nproxy_set_header Connection \"\";\nproxy_set_header Host $http_host;\n}}\n}}\n}}\n"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new(installed(&["nginx", "/usr/sbin/nginx"]).unwrap());
        command.arg("-p").arg(directory).arg("-c").arg(file);
        command
    })
}

fn haproxy(origin: SocketAddr) -> Option<Other> {
    let name = version(&["haproxy", "/usr/sbin/haproxy"], "-v")?;
    start(&name, |directory, http1, http2| {
        let file = directory.join("haproxy.cfg");
        let text = format!(
            "defaults\nmode http\ntimeout connect 5s\ntimeout client 5s\ntimeout server 5s\n\
             listen all\nbind {http1}\nbind {http2} proto h2\nserver web {origin}\n"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new(installed(&["haproxy", "/usr/sbin/haproxy"]).unwrap());
        command.arg("-db").arg("-f").arg(file);
        command
    })
}

/// `benches/bare_proxy.rs`, which every build of the tests builds too.
fn bare_pingora(origin: SocketAddr) -> Option<Other> {
    let binary = Path::new(env!("CARGO_BIN_EXE_pointsman"))
        .with_file_name("examples")
        .join("bare_proxy");
    binary.exists().then_some(())?;
    start("bare Pingora 0.9.1", |_, http1, http2| {
        let mut command = Command::new(binary);
        command.args([http1, origin, origin].map(|address| address.to_string()));
        command.env("BARE_PROXY_H2C", http2.to_string());
        command
    })
}

fn start(
    name: &str,
    command: impl FnOnce(&Path, SocketAddr, SocketAddr) -> Command,
) -> Option<Other> {
    let (directory, http1, http2) = (TempDir::new().unwrap(), Port::reserve(), Port::reserve());
    let process = command(directory.path(), http1.address(), http2.address())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for port in [&http1, &http2] {
        until(&format!("{name} listens"), || {
            Client::try_connect(&port.address()).ok()
        });
    }
    Some(Other {
        name: name.to_owned(),
        http1,
        http2,
        process,
        _directory: directory,
    })
}

impl Drop for Other {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _status = self.process.wait();
    }
}

fn installed(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let places = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}

/// Its own words about its version, without those behind.
fn version(names: &[&str], flag: &str) -> Option<String> {
    let said = Command::new(installed(names)?).arg(flag).output().ok()?;
    let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    let first = text
        .lines()
        .next()?
        .replace("nginx version: nginx/", "nginx ");
    let first = first.replace("HAProxy version ", "HAProxy ");
    Some(first.split(' ').take(2).collect::<Vec<_>>().join(" "))
}
