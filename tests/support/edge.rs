//! The real binary, with a configuration file of its own in a temporary directory.

use super::{
    Client, Control, Origin, Port,
    process::{NotStarted, Process, pointsman, pointsman_within},
    until,
};
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// A running `pointsman run`. Killed when dropped; its log is printed if the test failed.
pub struct Edge {
    builder: EdgeBuilder,
    process: Process,
}

/// Collects the configuration. What is not said: one listener, the control endpoint, SQLite and a JSON access log in the temporary directory.
pub struct EdgeBuilder {
    directory: TempDir,
    listener: Port,
    control: Port,
    configuration: Value,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    descriptors: Option<(u32, u32)>,
}

impl Edge {
    /// One group `web` of these origins, and a route for everything to it.
    pub fn to<'a>(origins: impl IntoIterator<Item = &'a Origin>) -> Self {
        Self::builder()
            .upstream("web", origins)
            .route("*", "web")
            .start()
    }

    pub fn builder() -> EdgeBuilder {
        let (directory, listener, control) =
            (TempDir::new().unwrap(), Port::reserve(), Port::reserve());
        let configuration = json!({
            "server": { "threads": 2, "shutdown_grace": "5s" },
            "listeners": [{ "address": listener.address() }],
            "control": { "address": control.address() },
            "state": { "store": format!("sqlite:{}", directory.path().join("state.db").display()) },
            "access_log": { "path": directory.path().join("access.log") },
            "upstreams": {},
            "routes": [],
        });
        EdgeBuilder {
            directory,
            listener,
            control,
            configuration,
            arguments: Vec::new(),
            environment: Vec::new(),
            descriptors: None,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.builder.listener.address()
    }

    pub fn control_address(&self) -> SocketAddr {
        self.builder.control.address()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn control_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.control_address())
    }

    /// A new connection to the listener.
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    pub fn control(&self) -> Control {
        Control::at(self.control_address())
    }

    /// `pointsman ctl --url ... ARGUMENTS`, to its end.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        pointsman()
            .args(["ctl", "--url", &self.control_url("")])
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Holds the configuration, the state and the access log.
    pub fn directory(&self) -> &Path {
        self.builder.directory.path()
    }

    pub fn process_id(&self) -> u32 {
        self.process.child.id()
    }

    /// What its process has in memory, in KiB.
    pub fn memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process_id());
        let status = fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.unwrap().split_whitespace().nth(1);
        number.unwrap().parse().unwrap()
    }

    /// User and system time of its process, counted in ticks of 10 ms.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process_id())).unwrap();
        let behind_name = stat.rsplit(')').next().unwrap();
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// All that it wrote to its error output since the last start.
    pub fn stderr(&self) -> String {
        self.process.stderr.text()
    }

    pub fn stdout(&self) -> String {
        self.process.stdout.text()
    }

    pub fn wait_for_stderr(&self, part: &str) {
        until(&format!("the log says {part:?}"), || {
            self.stderr().contains(part).then_some(())
        });
    }

    /// The access log's lines so far, whole ones only.
    pub fn access_log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory().join("access.log")).unwrap_or_default();
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    /// Polls for an access log line that contains `part`.
    pub fn access_line(&self, part: &str) -> String {
        until(&format!("the access log says {part:?}"), || {
            self.access_log()
                .into_iter()
                .find(|line| line.contains(part))
        })
    }

    /// The JSON line of the request with this target; polls until it is there.
    pub fn record(&self, target: &str) -> Value {
        let line = self.access_line(&format!("\"target\":\"{target}\""));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    /// Ends it at once, as a power cut would, and waits until it is gone.
    pub fn kill9(&mut self) -> ExitStatus {
        self.process.child.kill().unwrap();
        self.wait_exit()
    }

    /// Asks it to finish (SIGTERM); does not wait.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// By the shell's `kill`: `std` has no call for it.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.process_id())])
            .status();
        assert!(sent.unwrap().success(), "kill -{name}");
    }

    pub fn wait_exit(&mut self) -> ExitStatus {
        let status = until("the edge has exited", || {
            self.process.child.try_wait().unwrap()
        });
        self.process.stdout.finish();
        self.process.stderr.finish();
        status
    }

    /// Starts again after an exit: same ports, same state, same file unless `reconfigure` changed it.
    pub fn start_again(&mut self) {
        self.try_start_again()
            .unwrap_or_else(|failure| panic!("{failure:?}"));
    }

    pub fn try_start_again(&mut self) -> Result<(), NotStarted> {
        self.process = self.builder.spawn()?;
        Ok(())
    }

    /// Starts again without waiting for anything.
    pub fn spawn_again(&mut self) {
        self.process = Process::spawn(self.builder.command());
    }

    /// An orderly end and a new start.
    pub fn restart(&mut self) {
        self.terminate();
        let status = self.wait_exit();
        assert!(status.success(), "{status}: {}", self.stderr());
        self.start_again();
    }

    /// Takes effect at the next start.
    pub fn reconfigure(&mut self, yaml: &str) {
        merge(&mut self.builder.configuration, parse(yaml));
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _already_gone = self.process.child.kill();
        let _status = self.process.child.wait();
        let log = self.stderr();
        if thread::panicking() {
            eprintln!("--- the edge's log\n{log}---");
        } else {
            // One request's panic ends its connection alone: nothing else might tell of it.
            assert!(!log.contains("panicked at"), "{log}");
        }
    }
}

impl EdgeBuilder {
    #[must_use]
    pub fn upstream<'a>(self, name: &str, origins: impl IntoIterator<Item = &'a Origin>) -> Self {
        let servers: Vec<SocketAddr> = origins.into_iter().map(Origin::address).collect();
        self.merge(json!({ "upstreams": { name: { "servers": servers } } }))
    }

    /// Adds a route for the host (`*` for any) and every path.
    #[must_use]
    pub fn route(mut self, host: &str, to: &str) -> Self {
        let routes = self.configuration["routes"]
            .as_array_mut()
            .expect("routes is a list");
        routes.push(json!({ "hosts": [host], "to": to }));
        self
    }

    /// Merges YAML into the file as RFC 7396 says: maps by key, everything else replaced, null removes.
    #[must_use]
    pub fn with(self, yaml: &str) -> Self {
        self.merge(parse(yaml))
    }

    /// The same for the keys of the listener.
    #[must_use]
    pub fn listener(mut self, yaml: &str) -> Self {
        merge(&mut self.configuration["listeners"][0], parse(yaml));
        self
    }

    fn merge(mut self, patch: Value) -> Self {
        merge(&mut self.configuration, patch);
        self
    }

    /// After `run -c FILE`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The limits on open files that it is started with, soft and hard.
    #[must_use]
    pub fn descriptors(mut self, soft: u32, hard: u32) -> Self {
        self.descriptors = Some((soft, hard));
        self
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    pub fn control_address(&self) -> SocketAddr {
        self.control.address()
    }

    /// Runs the binary and waits until `/readyz` says 200.
    pub fn start(self) -> Edge {
        self.try_start()
            .unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    pub fn try_start(self) -> Result<Edge, NotStarted> {
        let process = self.spawn()?;
        Ok(Edge {
            builder: self,
            process,
        })
    }

    fn spawn(&self) -> Result<Process, NotStarted> {
        Process::spawn(self.command()).ready(&self.control_address())
    }

    fn command(&self) -> Command {
        let mut command = match self.descriptors {
            Some((soft, hard)) => pointsman_within(soft, hard),
            None => pointsman(),
        };
        command
            .arg("run")
            .arg("-c")
            .arg(self.write_file())
            .args(&self.arguments);
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory());
        command
    }

    pub fn write_file(&self) -> PathBuf {
        let path = self.directory().join("pointsman.yaml");
        fs::write(&path, serde_yaml::to_string(&self.configuration).unwrap()).unwrap();
        path
    }
}

fn parse(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{error} in the test's YAML:\n{yaml}"))
}

/// RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}
