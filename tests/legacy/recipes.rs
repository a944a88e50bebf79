//! docs/migrate-from-openresty.md, run: each section's file, and each of its calls with what follows it.

use crate::support::{Edge, Origin, Reply};
use std::process::Command;

const PAGE: &str = include_str!("../../docs/migrate-from-openresty.md");
/// Where the page has its servers.
const SERVERS: [u16; 4] = [8081, 8082, 8083, 8084];

#[test]
fn every_call_of_the_migration_page_is_answered_as_the_page_says() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl");
        return;
    }
    let mut calls = 0;
    for section in PAGE.split("\n## ").skip(1) {
        let blocks = blocks(section);
        let of = |kind: &str| {
            let found = blocks.iter().filter(move |(is, _)| *is == kind);
            found.map(|(_, text)| text.as_str()).collect::<Vec<_>>()
        };
        let files = of("yaml");
        let [file] = files.as_slice() else {
            assert!(files.is_empty() && of("console").is_empty(), "{section}");
            continue;
        };
        let site = Site::of(file);
        for (call, answer) in of("console").into_iter().flat_map(exchanges) {
            // The end of the last line is not to be seen on a page; the other tests look at it.
            assert_eq!(
                site.run(call).trim_end_matches('\n'),
                answer.trim_end_matches('\n'),
                "{call}"
            );
            calls += 1;
        }
        for script in of("sh") {
            site.run(script);
        }
    }
    assert!(calls >= 44, "{calls} calls");
    println!("{calls} calls of the page are answered as it says");
}

/// The fenced blocks with their kinds.
fn blocks(section: &str) -> Vec<(&str, String)> {
    let mut pieces = section.split("```");
    let mut blocks = Vec::new();
    pieces.next();
    while let (Some(block), _) = (pieces.next(), pieces.next()) {
        let (kind, text) = block.split_once('\n').unwrap();
        blocks.push((kind, text.to_owned()));
    }
    blocks
}

/// Each `$ command` with the lines up to the next.
fn exchanges(block: &str) -> Vec<(&str, &str)> {
    let block = block
        .strip_prefix("$ ")
        .expect("a console block begins with a command");
    block
        .split("\n$ ")
        .map(|text| text.split_once('\n').unwrap_or((text, "")))
        .collect()
}

struct Site {
    edge: Edge,
    origins: Vec<Origin>,
}

impl Site {
    fn of(file: &str) -> Self {
        let origins: Vec<Origin> = SERVERS
            .iter()
            .map(|port| {
                let origin = Origin::start();
                origin.always(Reply::text(&format!("server name {port}\n")));
                origin
            })
            .collect();
        let builder = Edge::builder();
        let (listener, control) = (builder.address().port(), builder.control_address().port());
        let file = translated(file, &ports(listener, control, &origins));
        let edge = builder.with(&file).start();
        Self { edge, origins }
    }

    /// What the command writes to its output, in the page's terms.
    fn run(&self, command: &str) -> String {
        let ours = ports(
            self.edge.address().port(),
            self.edge.control_address().port(),
            &self.origins,
        );
        let output = Command::new("sh")
            .args(["-c", &translated(command, &ours)])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {errors}");
        let theirs: Vec<(u16, u16)> = ours.iter().map(|(page, real)| (*real, *page)).collect();
        let text = translated(&String::from_utf8(output.stdout).unwrap(), &theirs);
        text.replace(&format!("PID: {}\n", self.edge.process_id()), "PID: 1448\n")
    }
}

/// The page's ports with those that stand for them here.
fn ports(listener: u16, control: u16, origins: &[Origin]) -> Vec<(u16, u16)> {
    let servers = SERVERS.into_iter().zip(origins.iter().map(Origin::port));
    servers.chain([(8080, listener), (9900, control)]).collect()
}

/// With every `127.0.0.1:` port of the first kind replaced by its second. All at once: a port may stand on
/// both sides.
fn translated(text: &str, ports: &[(u16, u16)]) -> String {
    let mut pieces = text.split("127.0.0.1:");
    let mut translated = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.len() - piece.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (port, rest) = piece.split_at(digits);
        let found = ports.iter().find(|(from, _)| from.to_string() == port);
        let port = found.map_or_else(|| port.to_owned(), |(_, to)| to.to_string());
        translated += &format!("127.0.0.1:{port}{rest}");
    }
    translated
}
