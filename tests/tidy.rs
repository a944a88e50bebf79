//! The architecture as a test: directions between modules, words, sizes. The rules themselves are tested in `tidy/rules.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy exempts only the #[test] functions themselves"
)]

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use rules::Problems;
use source::Source;
use std::{fs, path::Path};

#[test]
fn a_layer_uses_only_the_layers_below_it() {
    check(&["src"], rules::import_direction);
}

#[test]
fn the_domain_and_the_vocabulary_know_no_runtime_no_clock_and_no_chance() {
    check(&["src"], rules::purity);
}

#[test]
fn one_word_stands_for_one_thing() {
    check(&["src", "tests", "benches"], rules::words);
}

#[test]
fn no_file_hides_a_second_subject() {
    check(&["src", "tests", "benches"], rules::file_length);
}

#[test]
fn no_function_hides_a_second_thought() {
    check(&["src", "tests", "benches"], rules::function_length);
}

#[test]
fn nothing_outside_tests_gives_up_by_unwrap_or_expect() {
    check(&["src"], rules::giving_up);
}

#[test]
fn nothing_is_left_for_later() {
    check(&["src", "tests", "benches"], rules::unfinished);
}

#[test]
fn the_architecture_document_stays_readable_in_one_sitting() {
    let document = text("ARCHITECTURE.md");
    report(rules::document_length("ARCHITECTURE.md", &document, 240));
}

#[test]
fn every_dependency_is_justified_in_the_architecture_document() {
    let document = text("ARCHITECTURE.md");
    if !document.is_empty() {
        report(rules::dependencies_are_named(
            &text("Cargo.toml"),
            &document,
        ));
    }
}

fn check(folders: &[&str], rule: fn(&Source) -> Problems) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: Vec<Source> = folders
        .iter()
        .flat_map(|folder| Source::all_below(root, folder))
        .collect();
    assert!(!sources.is_empty(), "no source files below {folders:?}");
    report(sources.iter().flat_map(rule).collect());
}

fn report(problems: Problems) {
    assert!(
        problems.is_empty(),
        "{} problem(s):\n{}",
        problems.len(),
        problems.join("\n")
    );
}

/// A document that does not exist is empty.
fn text(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap_or_default()
}
