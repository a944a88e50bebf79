//! The samples in conf/ stay true.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pointsman::config::{self, Config};
use pointsman::domain::names::Names;
use pointsman::domain::upstream::Upstream;
use pointsman::spec::Span;

#[test]
fn every_sample_is_a_configuration() {
    let samples = samples();
    assert!(samples.len() >= 2, "{samples:?}");
    for sample in samples {
        let line = config::check(&sample).unwrap();
        assert!(line.contains(": ok ("), "{line}");
    }
}

#[test]
fn the_commented_values_are_the_defaults() {
    let (written, all) = (plain(), uncommented());
    let (a, b) = (read(&written), read(&all));
    assert_eq!(a.server, b.server);
    assert_eq!(a.listeners, b.listeners);
    assert_eq!(a.control, b.control);
    assert_eq!(a.state, b.state);
    assert_eq!(a.access_log, b.access_log);
    assert_eq!(a.log_level, b.log_level);
    assert_eq!(a.seed.routes, b.seed.routes);
    assert_eq!(upstream(&a).servers().len(), 2);
    assert_eq!(behaviour(&upstream(&a)), behaviour(&upstream(&b)));
}

#[test]
fn the_commented_health_checks_are_the_documented_defaults() {
    let health = upstream(&read(&uncommented())).health().cloned().unwrap();
    assert_eq!(health.interval, Some(Span::from_secs(2)));
    assert_eq!(health.timeout, Some(Span::from_secs(1)));
    assert_eq!((health.fall, health.rise), (Some(3), Some(2)));
    assert_eq!(health.concurrency, Some(10));
    assert_eq!((health.host.as_ref(), health.port), (None, None));
}

#[test]
fn each_commented_key_can_be_uncommented_alone() {
    let lines: Vec<String> = plain().lines().map(str::to_owned).collect();
    let commented = (0..lines.len()).filter(|&at| uncomment(&lines[at]).is_some());
    for at in commented {
        let mut changed = lines.clone();
        changed[at] = uncomment(&lines[at]).unwrap();
        let read = Config::from_text("pointsman.yaml", &changed.join("\n"));
        assert!(read.is_ok(), "{}: {}", lines[at], read.unwrap_err());
    }
}

#[test]
fn a_key_marked_as_not_supported_yet_is_so() {
    let lines: Vec<String> = plain().lines().map(str::to_owned).collect();
    let mut count = 0;
    for (at, line) in lines.iter().enumerate() {
        // A line `# key: value   (not supported yet)`; a dotted key stands for one inside.
        let Some((key, _)) = line.split_once("(not supported yet)") else {
            continue;
        };
        let Some((indent, key)) = key.trim_end().split_once("# ") else {
            continue;
        };
        if !indent.trim().is_empty() || key.split(':').next().unwrap().contains('.') {
            continue;
        }
        let mut changed = lines.clone();
        changed[at] = format!("{indent}{key}");
        let errors = Config::from_text("pointsman.yaml", &changed.join("\n")).unwrap_err();
        let messages: Vec<_> = errors.problems().iter().map(|p| &p.message).collect();
        let name = key.split(':').next().unwrap();
        assert_eq!(messages, [&format!("`{name}` is not supported yet")]);
        count += 1;
    }
    assert!(count > 4, "{count} lines");
}

fn samples() -> Vec<PathBuf> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf")).unwrap();
    files
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect()
}

fn plain() -> String {
    include_str!("../conf/pointsman.yaml").to_owned()
}

fn uncommented() -> String {
    let line = |line: &str| uncomment(line).unwrap_or_else(|| line.to_owned());
    plain().lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A line `#key: value` without its `#`; one of words (`# words`) is none.
fn uncomment(line: &str) -> Option<String> {
    let (indent, rest) = line.split_once('#')?;
    let key = indent.trim().is_empty() && rest.starts_with(|c: char| c.is_ascii_lowercase());
    key.then(|| format!("{indent}{rest}"))
}

fn read(text: &str) -> Config {
    Config::from_text("pointsman.yaml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn upstream(config: &Config) -> Arc<Upstream> {
    let (name, spec) = config.seed.upstreams.iter().next().unwrap();
    Arc::new(Upstream::build(
        name,
        spec,
        &config.seed.defaults,
        &Names::default(),
        None,
    ))
}

/// All that a group does with its settings, checks aside.
fn behaviour(upstream: &Upstream) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {} {} {}",
        upstream.policy(),
        upstream.host(),
        upstream.timeouts(),
        upstream.retry(),
        upstream.keeps_connections(),
        upstream.min_healthy(),
        upstream.health().is_some(),
    )
}
