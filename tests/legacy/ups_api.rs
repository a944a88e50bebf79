//! `/ups_api`.

use crate::support::{Client, Edge, Origin};
use crate::told;
use serde_json::{Value, json};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const DOWN: &str = "/ups_api?act=down&ups=foo.com";
const UP: &str = "/ups_api?act=up&ups=foo.com";
const NO_ARGUMENTS: &str =
    "failed to get post args: nil\n{\"msg\":\"no args\",\"code\":\"E001\"}\n";
const USAGE: &str = "usage: /ups_api?ups={name}&act=[down,up,list]\n";
const UNKNOWN: &str =
    "{\"msg\":\"failed to set peer down\",\"data\":\"server not found\",\"code\":\"E002\"}\n";

/// Group `foo.com` of two primaries and a backup.
fn foo(origins: &[Origin]) -> Edge {
    let [a, b, c] = [0, 1, 2].map(|at: usize| origins[at].address());
    let b = json!({ "address": b, "max_fails": 4, "fail_timeout": "1500ms" });
    let servers = json!([a, b, { "address": c, "backup": true }]);
    let file = json!({ "upstreams": { "foo.com": { "servers": servers } } });
    Edge::builder()
        .with(&file.to_string())
        .route("*", "foo.com")
        .listener("legacy: [ups_api]")
        .start()
}

fn post(client: &mut Client, path: &str, body: &str) -> String {
    let answer = client.request("POST", path, &[FORM], body.as_bytes());
    let (status, kind, text) = told(&answer);
    assert_eq!(
        (status, kind),
        (200, "application/json"),
        "{path} {body}: {text}"
    );
    text
}

fn success(servers: &[&str]) -> String {
    let data = if servers.is_empty() {
        json!({})
    } else {
        json!(servers)
    };
    format!("{{\"msg\":\"set peer is success\",\"data\":{data},\"code\":\"D002\"}}\n")
}

/// The servers that `list` shows as down.
fn down(client: &mut Client) -> Vec<String> {
    let list = client.get("/ups_api?act=list&ups=foo.com", &[]).json();
    let out = |server: &&Value| server.get("down") == Some(&json!(true));
    let servers = list.as_array().unwrap().iter().filter(out);
    servers
        .map(|server| server["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn list_shows_the_servers_with_their_live_state_in_a_fixed_order_of_keys() {
    let origins = Origin::many(3);
    let edge = foo(&origins);
    let [a, b, c] = [0, 1, 2].map(|at: usize| origins[at].address().to_string());
    let mut client = edge.client();
    let member = |name: &str, more: &str| {
        // nginx knows whole seconds: 1500ms is 2.
        let (fails, timeout) = if name == b { (4, 2) } else { (1, 10) };
        format!(
            r#"{{"name":"{name}","addr":"{name}","weight":1,"max_fails":{fails},"fail_timeout":{timeout}{more}}}"#
        )
    };
    for path in [
        "/ups_api?act=list&ups=foo.com",
        "/ups_api?ups=FOO.com&act=%20list+",
        "/ups_api?ups=+foo.com&act=list",
    ] {
        let all = format!(
            "[{},{},{}]\n",
            member(&a, ""),
            member(&b, ""),
            member(&c, r#","backup":true"#)
        );
        assert_eq!(
            told(&client.get(path, &[])),
            (200, "application/json", all),
            "{path}"
        );
    }
    post(&mut client, DOWN, &format!("server={b},{c}"));
    let all = format!(
        "[{},{},{}]\n",
        member(&a, ""),
        member(&b, r#","down":true"#),
        member(&c, r#","backup":true,"down":true"#)
    );
    assert_eq!(client.get("/ups_api?act=list&ups=foo.com", &[]).text(), all);
    for unknown in ["nosuch", "", "a/b", "%00"] {
        let answer = client.get(&format!("/ups_api?act=list&ups={unknown}"), &[]);
        assert_eq!(
            told(&answer),
            (200, "application/json", "null\n".into()),
            "{unknown}"
        );
    }
    let _ = edge
        .control()
        .put("/v1/upstreams/empty", &json!({}))
        .is(201);
    assert_eq!(
        client.get("/ups_api?act=list&ups=empty", &[]).text(),
        "{}\n"
    );
}

#[test]
fn what_is_missing_or_unknown_is_answered_with_the_usage() {
    let origins = Origin::many(3);
    let edge = foo(&origins);
    for path in [
        "/ups_api",
        "/ups_api?",
        "/ups_api?act=list",
        "/ups_api?ups=foo.com",
        "/ups_api?act&ups=foo.com",
        "/ups_api?act=list&ups",
        "/ups_api?act=zzz&ups=foo.com",
        "/ups_api?act=&ups=foo.com",
        "/ups_api?act=LIST&ups=foo.com",
    ] {
        let body = format!("server={}", origins[0].address());
        assert_eq!(post(&mut edge.client(), path, &body), USAGE, "{path}");
    }
    assert_eq!(edge.control().get("/v1/state").revision(), 1);
}

#[test]
fn one_or_many_servers_go_out_and_come_back_in_one_change() {
    let origins = Origin::many(3);
    let edge = foo(&origins);
    let [a, b, c] = [0, 1, 2].map(|at: usize| origins[at].address().to_string());
    let mut client = edge.client();
    let both = [a.as_str(), b.as_str()];
    let encoded = format!(
        "server={}%2C{}",
        a.replace(':', "%3A"),
        b.replace(':', "%3A")
    );
    for (body, named) in [
        (format!("server={a}"), &both[..1]),
        (format!("server={a},{b}"), &both),
        (format!("server={a}&server={b}"), &both),
        (format!("server=+{a}+,%20{b}%09"), &both),
        (format!("other=1&server=,,{a},&x&server={b}"), &both),
        (encoded, &both),
    ] {
        let before = edge.control().get("/v1/state").revision();
        assert_eq!(post(&mut client, DOWN, &body), success(named), "{body}");
        assert_eq!(down(&mut client), named, "{body}");
        let server = if named.len() == 2 {
            &origins[2]
        } else {
            &origins[1]
        };
        assert_eq!(client.get("/", &[]).text(), server.name());
        assert_eq!(post(&mut client, UP, &body), success(named), "{body}");
        assert_eq!(down(&mut client), Vec::<String>::new(), "{body}");
        assert_eq!(
            edge.control().get("/v1/state").revision(),
            before + 2,
            "{body}"
        );
    }
    assert_eq!(
        post(&mut client, DOWN, &format!("server={c}")),
        success(&[&c])
    );
    assert_eq!(down(&mut client), [c], "a backup");
    let revision = edge.control().get("/v1/revisions/4").is(200).json;
    assert_eq!(
        (&revision["author"], &revision["source"]),
        (&json!("legacy:ups_api"), &json!("127.0.0.1"))
    );
    assert_eq!(revision["diff"].as_array().unwrap().len(), 2);
}

#[test]
fn a_call_without_servers_is_told_as_the_script_told_it() {
    let origins = Origin::many(3);
    let edge = foo(&origins);
    let mut client = edge.client();
    for path in [DOWN, UP] {
        for (kind, body) in [
            (None, ""),
            (Some(FORM.1), ""),
            (Some(FORM.1), "x=1"),
            (Some(FORM.1), "server"),
            (Some(FORM.1), "{\"server\":\"a\"}"),
            (Some("application/json"), "{\"server\":\"a\"}"),
            (Some("application/json"), "server=a"),
            (Some("multipart/form-data; boundary=x"), "server=a"),
        ] {
            let headers: Vec<_> = kind.iter().map(|kind| ("Content-Type", *kind)).collect();
            let answer = client.request("POST", path, &headers, body.as_bytes());
            assert_eq!(
                told(&answer),
                (200, "application/json", NO_ARGUMENTS.into()),
                "{kind:?} {body}"
            );
        }
        assert_eq!(client.get(path, &[]).text(), NO_ARGUMENTS);
        for body in ["server=", "server=,", "server=+,+&server="] {
            assert_eq!(post(&mut client, path, body), success(&[]), "{body}");
        }
    }
    // Without a Content-Type a form is meant.
    let a = origins[0].address().to_string();
    let answer = client.request("PUT", DOWN, &[], format!("server={a}").as_bytes());
    assert_eq!(answer.text(), success(&[&a]));
    assert_eq!(edge.control().get("/v1/state").revision(), 2);
}

#[test]
fn an_unknown_server_is_told_and_nobody_elses_state_changes() {
    let origins = Origin::many(3);
    let edge = foo(&origins);
    let [a, b, _] = [0, 1, 2].map(|at: usize| origins[at].address().to_string());
    let mut client = edge.client();
    assert_eq!(
        post(&mut client, DOWN, &format!("server={a}")),
        success(&[&a])
    );
    // The original put the server that was named before back in.
    for server in ["9.9.9.9:1", "nonsense", "127.0.0.1:0", "http://x/"] {
        assert_eq!(
            post(&mut client, UP, &format!("server={server}")),
            UNKNOWN,
            "{server}"
        );
    }
    assert_eq!(down(&mut client), [a.as_str()]);
    let mixed = post(
        &mut client,
        DOWN,
        &format!("server=9.9.9.9:1,{b},8.8.8.8:1"),
    );
    assert_eq!(mixed, format!("{UNKNOWN}{UNKNOWN}{}", success(&[&b])));
    assert_eq!(down(&mut client), [a, b.clone()]);
    let nowhere =
        "{\"msg\":\"failed to set peer down\",\"data\":\"upstream not found\",\"code\":\"E002\"}\n";
    for group in ["nosuch", "", "a/b"] {
        let path = format!("/ups_api?act=down&ups={group}");
        assert_eq!(
            post(&mut client, &path, &format!("server={b}")),
            nowhere,
            "{group}"
        );
    }
    assert_eq!(edge.control().get("/v1/state").revision(), 3);
}

#[test]
fn a_rail_refuses_the_whole_call() {
    let origins = Origin::many(3);
    let edge = foo(&origins);
    let [a, b, c] = [0, 1, 2].map(|at: usize| origins[at].address().to_string());
    let mut client = edge.client();
    let rail = "{\"msg\":\"failed to set peer down\",\"data\":\"upstream `foo.com` would be left without a usable server\",\"code\":\"E002\"}\n";
    assert_eq!(
        post(&mut client, DOWN, &format!("server={a},{b},{c}")),
        rail
    );
    assert_eq!(down(&mut client), Vec::<String>::new());
    assert_eq!(
        post(&mut client, DOWN, &format!("server={c},{a}")),
        success(&[&c, &a])
    );
    assert_eq!(
        post(&mut client, DOWN, &format!("server={b},1.1.1.1:1")),
        format!("{UNKNOWN}{rail}")
    );
    assert_eq!(
        post(&mut client, DOWN, &format!("server={a}")),
        success(&[&a]),
        "it is so already"
    );
    assert_eq!(client.get("/", &[]).text(), origins[1].name());
}

#[test]
fn every_method_acts_by_its_form_body() {
    let origins = Origin::many(3);
    let edge = foo(&origins);
    let a = origins[0].address().to_string();
    let mut client = edge.client();
    for method in ["POST", "PUT", "GET", "DELETE", "PATCH"] {
        let body = format!("server={a}");
        let answer = client.request(method, DOWN, &[FORM], body.as_bytes());
        assert_eq!(answer.text(), success(&[&a]), "{method}");
        assert_eq!(down(&mut client), [a.as_str()], "{method}");
        assert_eq!(post(&mut client, UP, &body), success(&[&a]));
    }
    let head = client.request("HEAD", "/ups_api?act=list&ups=foo.com", &[], b"");
    assert_eq!(
        (head.status, head.header("content-type"), head.body.len()),
        (200, Some("application/json"), 0)
    );
}
