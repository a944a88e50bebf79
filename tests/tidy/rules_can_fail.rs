//! A rule that cannot fail guards nothing: each is shown a bad line that it refuses and a good one that it passes.

use super::{Problems, Source};

fn refuses(rule: fn(&Source) -> Problems, path: &str, text: &str) {
    assert_ne!(
        rule(&Source::parse(path, text)),
        Problems::new(),
        "{path} passed:\n{text}"
    );
}

fn passes(rule: fn(&Source) -> Problems, path: &str, text: &str) {
    assert_eq!(
        rule(&Source::parse(path, text)),
        Problems::new(),
        "{path} was refused:\n{text}"
    );
}

#[test]
fn imports_upward_and_sideways_are_refused() {
    let rule = super::import_direction;
    refuses(
        rule,
        "src/domain/server.rs",
        "use crate::controller::Controller;",
    );
    refuses(
        rule,
        "src/domain/server.rs",
        "use crate::{spec::Spec, proxy::{self, Proxy}};",
    );
    refuses(
        rule,
        "src/proxy/retry.rs",
        "fn f() -> crate::health::Streak { loop {} }",
    );
    refuses(rule, "src/proxy.rs", "use super::control::Api;");
    refuses(
        rule,
        "src/proxy/retry.rs",
        "use super::super::control::Api;",
    );
    refuses(rule, "src/config.rs", "use crate::app::App;");
    refuses(rule, "src/spec.rs", "use crate::domain::server::Admin;");
    refuses(rule, "src/proxy.rs", "use crate::Spec;");
    refuses(rule, "src/surprise.rs", "");
}

#[test]
fn imports_downward_and_within_a_part_pass() {
    let rule = super::import_direction;
    passes(
        rule,
        "src/proxy/retry.rs",
        "use crate::{domain::{route, server::Server}, ports::events, proxy::Proxy};",
    );
    passes(
        rule,
        "src/proxy/retry.rs",
        "use super::Proxy; pub(crate) fn f() {}",
    );
    passes(rule, "src/proxy.rs", "mod inner { use super::Proxy; }");
    passes(rule, "src/change.rs", "use crate::spec::Spec;");
    passes(rule, "src/spec.rs", "use crate::change::Change;");
    passes(
        rule,
        "src/domain/server.rs",
        "#[cfg(test)] mod tests { use crate::store::Memory; }",
    );
    passes(
        rule,
        "src/domain/server.rs",
        "// use crate::proxy\nconst A: &str = \"crate::proxy\";",
    );
    passes(
        rule,
        "src/main.rs",
        "use pointsman::cli; use crate::anything;",
    );
}

#[test]
fn runtimes_clocks_and_dice_are_refused_in_the_domain_only() {
    let rule = super::purity;
    for text in [
        "use tokio::sync::Mutex;",
        "use pingora_core::Result;",
        "fn f() { rand::random() }",
        "use std::fs;",
    ] {
        refuses(rule, "src/domain/server.rs", text);
        passes(rule, "src/proxy.rs", text);
    }
    refuses(
        rule,
        "src/spec.rs",
        "fn f() { std::time::SystemTime::now(); }",
    );
    refuses(rule, "src/change.rs", "fn f() { Instant::now(); }");
    passes(
        rule,
        "src/domain/server.rs",
        "fn state(now: Instant) { f(now) }",
    );
    passes(
        rule,
        "src/domain/server.rs",
        "#[cfg(test)] mod tests { fn f() { Instant::now(); } }",
    );
}

#[test]
fn other_peoples_words_are_refused_in_our_names() {
    let rule = super::words;
    for name in [
        "Backend",
        "StateManager",
        "cluster_name",
        "Endpoints",
        "peers",
        "string_utils",
        "RequestInfo",
        "BACKENDS",
    ] {
        refuses(rule, "src/proxy.rs", &format!("struct {name};"));
    }
    passes(
        rule,
        "src/proxy.rs",
        "fn upstream_peer() -> HttpPeer { info!(\"backend {}\", metadata) }",
    );
    passes(
        rule,
        "src/health/probe.rs",
        "use pingora_load_balancing::Backend;",
    );
}

#[test]
fn length_is_counted_in_lines() {
    let long = |lines: usize| "\n".repeat(lines);
    refuses(super::file_length, "src/proxy.rs", &long(401));
    passes(super::file_length, "src/proxy.rs", &long(400));
    refuses(super::file_length, "src/app.rs", &long(201));
    refuses(super::file_length, "src/main.rs", &long(46));

    let function = |inner: usize| format!("trait T {{ fn g(); }}\nfn f() {{{}}}", long(inner));
    refuses(super::function_length, "src/proxy.rs", &function(70));
    passes(super::function_length, "src/proxy.rs", &function(69));

    assert_ne!(
        super::document_length("A.md", &long(201), 200),
        Problems::new()
    );
    assert_eq!(
        super::document_length("A.md", &long(200), 200),
        Problems::new()
    );
}

#[test]
fn giving_up_is_refused_outside_tests_only() {
    let rule = super::giving_up;
    refuses(rule, "src/proxy.rs", "fn f() { a.unwrap(); }");
    refuses(
        rule,
        "src/proxy.rs",
        "#[cfg(test)] mod tests {} fn f() { a.expect(\"b\"); }",
    );
    passes(
        rule,
        "src/proxy.rs",
        "#[expect(dead_code)] fn f() { a.unwrap_or_default(); }",
    );
    passes(
        rule,
        "src/proxy.rs",
        "#[cfg(test)] mod tests { fn f() { a.unwrap(); } }",
    );
    passes(rule, "src/proxy/tests.rs", "fn f() { a.unwrap(); }");
    passes(rule, "src/proxy/tests/world.rs", "fn f() { a.unwrap(); }");
}

#[test]
fn work_left_for_later_is_refused() {
    let rule = super::unfinished;
    refuses(rule, "src/proxy.rs", "fn f() { todo!() }");
    refuses(rule, "tests/a.rs", "#[test] #[ignore = \"slow\"] fn f() {}");
    passes(rule, "src/proxy.rs", "/// todo!()\nfn ignore() {}");
}

#[test]
fn a_dependency_without_a_reason_is_refused() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nlog = \"0.4\"\n[dev-dependencies]\n# old = \"1\"\ninsta = \"1\"";
    assert_eq!(
        super::dependencies_are_named(manifest, "`log` and **insta**"),
        Problems::new()
    );
    assert_eq!(
        super::dependencies_are_named(manifest, "`insta`, the catalogue").len(),
        1
    );
    assert_eq!(super::dependencies_are_named(manifest, "").len(), 2);
}
