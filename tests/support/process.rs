//! The binary under test as a process: started, watched, its outputs kept.

use super::{Client, PATIENCE, pause};
use std::{
    io::Read,
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The binary under test, for commands other than `run`. `POINTSMAN_BINARY` names another build of it.
pub fn pointsman() -> Command {
    let built = env!("CARGO_BIN_EXE_pointsman");
    let binary = std::env::var_os("POINTSMAN_BINARY").unwrap_or_else(|| built.into());
    let mut command = Command::new(binary);
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// The same with these limits on open files, by the shell's `ulimit`: `std` has no call for it.
pub fn pointsman_within(soft: u32, hard: u32) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$@\"");
    command.args(["-c", &script, "sh"]);
    command.arg(pointsman().get_program());
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Why there is no edge: it ended, or was not ready in time (then without a status).
#[derive(Debug)]
pub struct NotStarted {
    pub status: Option<ExitStatus>,
    pub stderr: String,
}

/// A started binary whose outputs are kept.
pub struct Process {
    pub child: Child,
    pub stdout: Captured,
    pub stderr: Captured,
}

impl Process {
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Captured::from(child.stdout.take().unwrap());
        let stderr = Captured::from(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Waits until `/readyz` on the control endpoint says 200.
    pub fn ready(mut self, control: &SocketAddr) -> Result<Self, NotStarted> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer =
                Client::try_connect(control).and_then(|mut client| client.try_get("/readyz", &[]));
            if answer.is_ok_and(|response| response.status == 200) {
                return Ok(self);
            }
            let status = self.child.try_wait().unwrap();
            if status.is_some() || Instant::now() > deadline {
                let _already_gone = self.child.kill();
                self.child.wait().unwrap();
                self.stderr.finish();
                return Err(NotStarted {
                    status,
                    stderr: self.stderr.text(),
                });
            }
            pause(Duration::from_millis(5));
        }
    }
}

/// A stream of the process, read to its end by a thread, so that the process never waits for us.
pub struct Captured {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Captured {
    fn from(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self {
            bytes,
            reader: Some(reader),
        }
    }

    /// Waits for the end of the stream.
    pub fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}
