//! Starting: what stands in the way is said at once, and what was served is served again.

use crate::support::{Edge, EdgeBuilder, NotStarted, Origin, Port, pointsman, until};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Far below the half minute for which a busy port could be retried; a machine may be busy.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Why it did not start: exit code 1, at once, with this in the message.
fn assert_refuses(builder: EdgeBuilder, part: &str) {
    let start = Instant::now();
    let Err(NotStarted { status, stderr }) = builder.try_start() else {
        panic!("it started");
    };
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{stderr}");
    assert!(stderr.contains(part), "{part:?} is not in {stderr:?}");
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
}

#[test]
fn a_busy_port_fails_at_once_with_its_address() {
    let taken = Port::reserve();
    let _listener = taken.listen();
    let builder = Edge::builder().listener(&format!("address: '{}'", taken.address()));
    assert_refuses(builder, &taken.address().to_string());
}

#[test]
fn a_busy_control_port_fails_at_once_with_its_address() {
    let taken = Port::reserve();
    let _listener = taken.listen();
    let builder = Edge::builder().with(&format!("control: {{ address: '{}' }}", taken.address()));
    let Output { status, stderr, .. } = run(builder.directory(), &config(&builder, &taken));
    assert_eq!(status.code(), Some(1));
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stderr.contains(&taken.address().to_string()), "{stderr}");
}

/// A file of its own: the support would ask whoever holds the control port whether it is ready.
fn config(builder: &EdgeBuilder, control: &Port) -> String {
    format!(
        "listeners: [{{ address: '{}' }}]\ncontrol: {{ address: '{}' }}\nstate: {{ store: memory }}\n",
        builder.address(),
        control.address()
    )
}

fn run(directory: &Path, file: &str) -> Output {
    let path = directory.join("written.yaml");
    fs::write(&path, file).unwrap();
    command(directory, &["run", "-c", path.to_str().unwrap()])
        .output()
        .unwrap()
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = pointsman();
    command.args(arguments).current_dir(directory);
    command
}

/// Exit code, standard output and error output of `pointsman check` on a file with this content.
fn check(file: &str) -> (Option<i32>, String, String) {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("file.yaml"), file).unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = command(directory.path(), &["check", "-c", "file.yaml"])
        .output()
        .unwrap();
    (
        status.code(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

const FINE: &str = "upstreams: { web: { servers: ['127.0.0.1:1'] } }\nroutes: [{ to: web }]\n";

#[test]
fn check_says_0_for_a_file_that_is_fine() {
    let (code, stdout, stderr) = check(FINE);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(!stdout.is_empty());
}

#[test]
fn check_says_1_and_every_place_for_a_file_that_is_not() {
    let (code, _, stderr) = check("upstream: {}\nlisteners: [{ address: '127.0.0.1:70000' }]\n");
    assert_eq!(code, Some(1));
    for part in ["file.yaml:1:1:", "`upstreams`", "file.yaml:2:", "70000"] {
        assert!(stderr.contains(part), "{part:?} is not in {stderr}");
    }
}

#[test]
fn check_says_1_for_broken_yaml_and_for_no_file() {
    let (code, _, stderr) = check("a: [");
    assert_eq!(code, Some(1), "{stderr}");
    let directory = TempDir::new().unwrap();
    let missing = command(directory.path(), &["check", "-c", "nowhere.yaml"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        String::from_utf8(missing.stderr)
            .unwrap()
            .contains("nowhere.yaml")
    );
}

#[test]
fn check_says_not_supported_yet_for_a_key_of_the_future() {
    let (code, _, stderr) = check(&format!("{FINE}\ncontrol: {{ tls: {{ client_ca: a }} }}"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("not supported yet"), "{stderr}");
}

#[test]
fn wrong_usage_is_2() {
    let directory = TempDir::new().unwrap();
    for arguments in [
        &["check", "--surprise"][..],
        &["surprise"],
        &[],
        &["run", "-c"],
    ] {
        let output = command(directory.path(), arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn check_and_run_say_the_same_about_a_broken_file() {
    let file = "routes: [{ to: nowhere }]\nsurprise: 1\n";
    let directory = TempDir::new().unwrap();
    let ran = run(directory.path(), file);
    let checked = command(
        directory.path(),
        &[
            "check",
            "-c",
            directory.path().join("written.yaml").to_str().unwrap(),
        ],
    )
    .output()
    .unwrap();
    assert_eq!(
        (ran.status.code(), checked.status.code()),
        (Some(1), Some(1))
    );
    let (ran, checked) = (
        String::from_utf8(ran.stderr).unwrap(),
        String::from_utf8(checked.stderr).unwrap(),
    );
    assert_eq!(ran, checked);
    assert!(ran.contains("nowhere") && ran.contains("surprise"), "{ran}");
}

#[test]
fn a_missing_state_directory_is_named() {
    let builder = Edge::builder().with("state: { store: 'sqlite:/nowhere/at/all/state.db' }");
    assert_refuses(builder, "/nowhere/at/all");
}

#[test]
fn a_state_file_that_is_none_is_named_and_left_as_it_is() {
    let builder = Edge::builder();
    let path = builder.directory().join("state.db");
    let content = b"this is no database, whatever its name says".repeat(100);
    fs::write(&path, &content).unwrap();
    assert_refuses(
        builder.with(&format!("state: {{ store: 'sqlite:{}' }}", path.display())),
        "state.db",
    );
}

#[test]
fn an_access_log_that_cannot_be_opened_is_named() {
    assert_refuses(
        Edge::builder().with("access_log: { path: /nowhere/access.log }"),
        "/nowhere/access.log",
    );
}

#[test]
fn kill_9_and_a_new_start_serve_the_same() {
    let origins = Origin::many(2);
    let mut edge = Edge::to([&origins[0]]);
    assert_eq!(edge.client().get("/", &[]).text(), origins[0].name());
    // The state counts, not the file.
    let file = serde_json::json!({ "upstreams": { "web": { "servers": [origins[1].address()] } } });
    edge.reconfigure(&file.to_string());
    for _ in 0..3 {
        edge.kill9();
        edge.start_again();
        assert_eq!(edge.client().get("/", &[]).text(), origins[0].name());
        edge.wait_for_stderr("differs from the file");
    }
    edge.restart();
    assert_eq!(edge.client().get("/", &[]).text(), origins[0].name());
}

#[test]
fn reset_state_installs_the_file_as_the_next_revision() {
    let origins = Origin::many(2);
    let mut edge = Edge::to([&origins[0]]);
    edge.client().get("/1", &[]);
    let file = serde_json::json!({ "upstreams": { "web": { "servers": [origins[1].address()] } } });
    edge.reconfigure(&file.to_string());
    edge.terminate();
    assert!(edge.wait_exit().success());
    let path = edge.directory().join("reset.yaml");
    let config = fs::read_to_string(edge.directory().join("pointsman.yaml")).unwrap();
    fs::write(
        &path,
        config.replace(
            &origins[0].address().to_string(),
            &origins[1].address().to_string(),
        ),
    )
    .unwrap();
    let mut child = command(
        edge.directory(),
        &["run", "--reset-state", "-c", path.to_str().unwrap()],
    )
    .stderr(std::process::Stdio::null())
    .spawn()
    .unwrap();
    let text = crate::support::until("it serves", || {
        let mut client = crate::support::Client::try_connect(&edge.address()).ok()?;
        client.try_get("/2", &[]).ok().map(|answer| answer.text())
    });
    let record = edge.record("/2");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(text, origins[1].name());
    assert_eq!(record["revision"], 2);
}

/// The nice values of this process's threads with the name.
fn nice_of(process: u32, name: &str) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let stat = |task: fs::DirEntry| fs::read_to_string(task.path().join("stat")).ok();
    tasks
        .filter_map(|task| stat(task.ok()?))
        .filter(|stat| stat.contains(&format!("({name})")))
        .map(|stat| {
            let (_, fields) = stat.rsplit_once(") ").unwrap();
            // The 19th field, and two are cut off (proc_pid_stat(5)).
            fields.split(' ').nth(16).unwrap().parse().unwrap()
        })
        .collect()
}

#[test]
fn requests_go_before_health_checks() {
    let origin = Origin::start();
    let edge = Edge::to([&origin]);
    until("the checks yield", || {
        (nice_of(edge.process_id(), "BG health") == [5]).then_some(())
    });
    assert_eq!(nice_of(edge.process_id(), "controller"), [0]);
}
