//! A real Redis of the test's own: a free port, a directory of its own, no configuration file.

use super::{Port, until};
use pointsman::store::{RedisSettings, Secret};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A running `redis-server`. Killed when dropped.
pub struct RedisServer {
    port: Port,
    directory: TempDir,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl RedisServer {
    /// Without persistence: what it holds is gone with it.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With further arguments, as `--maxmemory 3mb`.
    pub fn with(arguments: &[&str]) -> Self {
        let mut server = Self {
            port: Port::reserve(),
            directory: TempDir::new().unwrap(),
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            process: None,
        };
        server.start_again();
        server
    }

    /// After [`RedisServer::kill`]: the same port and directory.
    pub fn start_again(&mut self) {
        self.spawn();
        until("redis-server answers", || {
            // Without its password it answers too.
            match self.try_call(&["PING"]) {
                Ok(_) => Some(()),
                Err(text) => text.contains("NOAUTH").then_some(()),
            }
        });
    }

    /// Further arguments from the next start on.
    pub fn argue(&mut self, arguments: &[&str]) {
        self.arguments
            .extend(arguments.iter().map(|&text| text.to_owned()));
    }

    /// Starts it without waiting until it answers.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &self.port.number().to_string()])
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let missing = "redis-server is missing: `make test` installs it (scripts/prepare.sh)";
        self.process = Some(child.unwrap_or_else(|error| panic!("{missing}: {error}")));
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address())
    }

    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    pub fn settings(&self) -> RedisSettings {
        RedisSettings {
            addresses: vec![self.address().to_string()],
            tls: false,
            ca: None,
            credentials: Secret::default(),
            database: 0,
            prefix: "pointsman".into(),
            sentinels: Vec::new(),
            master: None,
            local_copy: None,
        }
    }

    pub fn connection(&self) -> redis::Connection {
        client(&self.url()).get_connection().unwrap()
    }

    /// A sentinel that watches `master` under the name `mymaster`.
    pub fn sentinel(master: &Self) -> Self {
        let (port, directory) = (Port::reserve(), TempDir::new().unwrap());
        let file = directory.path().join("sentinel.conf");
        let text = format!(
            "port {}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {} 1\n",
            port.number(),
            master.port.number()
        );
        std::fs::write(&file, text).unwrap();
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let server = Self {
            port,
            directory,
            arguments: Vec::new(),
            process: Some(child.unwrap()),
        };
        until("the sentinel answers", || server.try_call(&["PING"]).ok());
        server
    }

    /// One command, as an operator's `redis-cli` sends it.
    pub fn call(&self, words: &[&str]) -> redis::Value {
        self.try_call(words)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub fn try_call(&self, words: &[&str]) -> Result<redis::Value, String> {
        let mut connection = client(&self.url())
            .get_connection()
            .map_err(|error| error.to_string())?;
        let mut command = redis::Cmd::new();
        command.arg(words);
        command
            .query(&mut connection)
            .map_err(|error| error.to_string())
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _already_gone = process.kill();
            let _status = process.wait();
        }
    }

    /// Stops or continues it, as a machine that hangs: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let process = self.process.as_ref().expect("it runs");
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", process.id())])
            .status();
        assert!(sent.unwrap().success(), "kill -{name}");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn client(url: &str) -> redis::Client {
    redis::Client::open(url).unwrap()
}
