//! The files that groups name for TLS to their servers: changed ones, and those that cannot be used.

use std::process::Output;

use serde_json::json;

use crate::certificates::{Authority, Signed, replace};
use crate::origin::told;
use crate::servers::{OWN_CA, Site};
use crate::support::{EdgeBuilder, pointsman, until};

#[test]
fn changed_files_are_used_without_a_restart_and_old_connections_are_not() {
    let site = Site::new();
    let edge = site.start(OWN_CA);
    let ca = edge.directory().join("ca.pem");
    let ask = || edge.client().host("a.example").get("/", &[]);
    assert_eq!(told(&ask())["connection"], 1);
    replace(&ca, "nothing");
    edge.wait_for_stderr("ca.pem holds no certificate in PEM form");
    // What was read before goes on.
    assert_eq!(ask().status, 200);
    replace(&ca, &Authority::new().pem());
    until("the new authority is asked", || {
        (ask().text() == "502 upstream_certificate\n").then_some(())
    });
    let before = site.origin.connections();
    let both = [Authority::new().pem(), site.authority.pem()].concat();
    replace(&ca, &both);
    until("both authorities are asked", || {
        (ask().status == 200).then_some(())
    });
    assert!(told(&ask())["connection"].as_u64() > Some(before as u64));
}

fn check(builder: &EdgeBuilder) -> (bool, String) {
    let mut command = pointsman();
    command.arg("check").arg("-c").arg(builder.write_file());
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    (
        status.success(),
        String::from_utf8([stdout, stderr].concat()).unwrap(),
    )
}

#[test]
fn check_and_the_start_name_the_file_and_the_reason() {
    let site = Site::new();
    let tls = "{ ca: '{dir}/ca.pem', cert: '{dir}/own.pem', key: '{dir}/own.key' }";
    let builder = site.builder(tls);
    let (is_fine, said) = check(&builder);
    assert!(!is_fine);
    for part in [
        "own.pem cannot be read: No such file",
        "own.key cannot be read: No such file",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let (own, other): (Signed, Signed) = (site.authority.sign(&["x"]), site.authority.sign(&["x"]));
    own.write(builder.directory(), "own");
    assert!(check(&builder).0, "{}", check(&builder).1);
    replace(
        &builder.directory().join("own.key"),
        &other.key.serialize_pem(),
    );
    assert!(check(&builder).1.contains("own.key does not fit"));
    replace(&builder.directory().join("ca.pem"), "no PEM\n");
    let said = check(&builder).1;
    assert!(
        said.contains("ca.pem holds no certificate in PEM form"),
        "{said}"
    );
    let refused = builder.try_start().err().unwrap();
    assert!(format!("{refused:?}").contains("ca.pem holds no certificate in PEM form"));
}

#[test]
fn a_stored_state_whose_files_are_gone_is_not_started() {
    let site = Site::new();
    let mut edge = site.start(OWN_CA);
    let tls = json!({ "tls": { "ca": edge.directory().join("later.pem") } });
    replace(&edge.directory().join("later.pem"), &site.authority.pem());
    assert_eq!(edge.control().patch("/v1/upstreams/web", &tls).status, 200);
    std::fs::remove_file(edge.directory().join("later.pem")).unwrap();
    edge.terminate();
    assert!(edge.wait_exit().success());
    let refused = edge.try_start_again().err().unwrap();
    let said = format!("{refused:?}");
    assert!(
        said.contains("/upstreams/web/tls/ca: ") && said.contains("later.pem cannot be read"),
        "{said}"
    );
    replace(&edge.directory().join("later.pem"), &site.authority.pem());
    edge.start_again();
    told(&edge.client().host("a.example").get("/", &[]));
}

#[test]
fn the_api_refuses_files_that_cannot_be_used_and_nothing_changes() {
    let site = Site::new();
    let edge = site.start(OWN_CA);
    let control = edge.control();
    let revision = control
        .get("/v1/state")
        .headers
        .first("etag")
        .map(str::to_owned);
    let tls = json!({ "tls": { "ca": "/nowhere/ca.pem" } });
    for path in ["/v1/upstreams/web", "/v1/upstreams/web?dry_run=true"] {
        let answer = control.patch(path, &tls);
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains("/tls/ca"), "{}", answer.text);
        assert!(
            answer.text.contains("/nowhere/ca.pem cannot be read"),
            "{}",
            answer.text
        );
    }
    for (tls, part) in [
        (json!({ "cert": "x.pem" }), "`cert` needs its `key`"),
        (json!({ "sni": "a:443" }), "is no name of a server"),
    ] {
        let answer = control.patch("/v1/upstreams/web", &json!({ "tls": tls }));
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains(part), "{}", answer.text);
    }
    // Nor do defaults that would change every group.
    let mut state = control.get("/v1/state").json.clone();
    state["defaults"]["tls"] = json!({ "cert": "/nowhere/c", "key": "/nowhere/k" });
    let answer = control.put("/v1/state", &state);
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(
        answer.text.contains("/defaults/tls/cert"),
        "{}",
        answer.text
    );
    assert_eq!(
        control
            .get("/v1/state")
            .headers
            .first("etag")
            .map(str::to_owned),
        revision
    );
    told(&edge.client().host("a.example").get("/", &[]));
    // A file that is broken now is no reason to refuse what does not concern it.
    replace(&edge.directory().join("ca.pem"), "nothing");
    let answer = control.patch("/v1/upstreams/web", &json!({ "keepalive": 0 }));
    assert_eq!(answer.status, 200, "{}", answer.text);
    told(&edge.client().host("a.example").get("/", &[]));
}
