//! What Consul sees: connections, questions, the token.

use super::{WEB, addresses, from, get, key, servers, wait_for_servers, wait_for_state};
use crate::support::{Consul, Edge, Fault, Origin, until};
use serde_json::json;

const TOKEN: &str = "8f6e-secret-3b1c";

#[test]
fn the_groups_of_a_folder_share_one_connection() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    let names: Vec<String> = (0..20).map(|number| format!("g{number}")).collect();
    let mut edge = Edge::builder();
    for name in &names {
        consul.put(&format!("upstreams/{name}/{}", origins[0].address()), "");
        let source = json!({ "consul": consul.url(&format!("/v1/kv/upstreams/{name}")) });
        edge = edge.with(&json!({ "upstreams": { name: { "source": source } } }).to_string());
    }
    let edge = edge.route("*", "g7").start();
    let count = |edge: &Edge, name: &str| {
        let group = edge
            .control()
            .get(&format!("/v1/upstreams/{name}"))
            .is(200)
            .json;
        group["servers"].as_array().unwrap().len()
    };
    until("all have their server", || {
        names
            .iter()
            .all(|name| count(&edge, name) == 1)
            .then_some(())
    });
    consul.put(&format!("upstreams/g7/{}", origins[1].address()), "");
    until("one has another", || {
        (count(&edge, "g7") == 2).then_some(())
    });
    assert_eq!(get(&edge), 200);
    assert_eq!(consul.accepted(), 1);
    // A folder that may not be waited for as a whole is waited for in parts.
    consul.fail(Fault::FolderStatus(403));
    edge.wait_for_stderr("cannot be waited for together");
    consul.delete(&format!("upstreams/g7/{}", origins[1].address()));
    until("it has gone", || (count(&edge, "g7") == 1).then_some(()));
}

#[test]
fn the_token_is_sent_and_told_nobody() {
    let consul = Consul::start();
    let origins = Origin::many(1);
    consul.put(&key(&origins[0]), "");
    let token =
        json!({ "upstreams": { "web": { "source": { "token": "${CONSUL_HTTP_TOKEN}" } } } });
    let mut edge = from(&consul, WEB)
        .with(&token.to_string())
        .with(r#"{"log": {"level": "debug"}}"#)
        .environment("CONSUL_HTTP_TOKEN", TOKEN)
        .start();
    assert_eq!(servers(&edge), addresses(&origins));
    assert!(
        consul
            .asked()
            .iter()
            .all(|asked| asked.token.as_deref() == Some(TOKEN))
    );
    // Consul may repeat it in what it says.
    consul.fail(Fault::Status(403, "ACL not found: 8f6e-secret-3b1c"));
    let said = wait_for_state(&edge, "failing");
    assert!(
        said["problem"].as_str().unwrap().contains("ACL not found"),
        "{said}"
    );
    for path in [
        "/v1/state",
        "/v1/upstreams/web",
        "/v1/status",
        "/v1/revisions",
        "/v1/revisions/1",
        "/metrics",
    ] {
        let answer = edge.control().get(path).is(200).text;
        assert!(!answer.contains(TOKEN), "{path}: {answer}");
    }
    edge.terminate();
    assert!(edge.wait_exit().success());
    assert!(
        !edge.stderr().contains(TOKEN) && !edge.stdout().contains(TOKEN),
        "{}",
        edge.stderr()
    );
    let files = std::fs::read_dir(edge.directory()).unwrap();
    for file in files {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        let has_it = bytes
            .windows(TOKEN.len())
            .any(|window| window == TOKEN.as_bytes());
        assert!(!has_it);
    }
}

#[test]
fn a_token_itself_is_refused_and_not_repeated() {
    let consul = Consul::start();
    let origins = Origin::many(1);
    consul.put(&key(&origins[0]), "");
    let token = json!({ "upstreams": { "web": { "source": { "token": TOKEN } } } });
    let failure = from(&consul, WEB)
        .with(&token.to_string())
        .try_start()
        .err()
        .unwrap();
    assert!(
        failure.stderr.contains("${CONSUL_HTTP_TOKEN}"),
        "{}",
        failure.stderr
    );
    assert!(!failure.stderr.contains(TOKEN), "{}", failure.stderr);
    let edge = from(&consul, WEB).start();
    let refused = edge
        .control()
        .patch("/v1/upstreams/web", &token["upstreams"]["web"]);
    assert_eq!(
        (refused.status, refused.code()),
        (400, "invalid_field"),
        "{}",
        refused.text
    );
    assert!(!refused.text.contains(TOKEN), "{}", refused.text);
    wait_for_servers(&edge, &addresses(&origins));
}

#[test]
fn of_two_processes_with_one_store_one_asks() {
    let consul = Consul::start();
    let origins = Origin::many(2);
    consul.put(&key(&origins[0]), "");
    let first = from(&consul, WEB)
        .with(r#"{"server": {"node": "one"}}"#)
        .start();
    let store = format!("sqlite:{}", first.directory().join("state.db").display());
    let with = json!({ "server": { "node": "two" }, "state": { "store": store } });
    let second = from(&consul, WEB).with(&with.to_string()).start();
    assert_eq!(servers(&second), addresses(&origins[..1]));
    let asked = consul.asked().len();
    consul.put(&key(&origins[1]), "");
    wait_for_servers(&first, &addresses(&origins));
    wait_for_servers(&second, &addresses(&origins));
    assert_eq!(consul.accepted(), 1, "{asked} {:?}", consul.asked());
    // An orderly end hands it over.
    let mut first = first;
    first.terminate();
    assert!(first.wait_exit().success());
    consul.delete(&key(&origins[0]));
    wait_for_servers(&second, &addresses(&origins[1..]));
}
