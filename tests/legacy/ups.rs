//! `/ups` and `/ups/check`.

use crate::support::{Edge, EdgeBuilder, Origin};
use crate::told;
use serde_json::json;
use std::thread;

/// Group `web` of all but the last, which is its backup; group `more` of the first two.
fn edge(origins: &[Origin]) -> EdgeBuilder {
    let (backup, primaries) = origins.split_last().unwrap();
    let mut servers: Vec<_> = primaries
        .iter()
        .map(|origin| json!(origin.address()))
        .collect();
    servers.push(json!({ "address": backup.address(), "backup": true }));
    let web = json!({ "upstreams": { "web": { "servers": servers } } }).to_string();
    Edge::builder()
        .with(&web)
        .upstream("more", &origins[..2])
        .route("*", "web")
        .route("more.example", "more")
        .listener("legacy: [ups]")
}

fn plain(text: &str) -> (u16, &'static str, String) {
    (200, "text/plain", format!("{text}\n"))
}

fn success(word: &str, server: &str) -> (u16, &'static str, String) {
    plain(&format!(
        r#"{{"msg":"{word} a server success.","data":["{server}"],"code":"A00001"}}"#
    ))
}

fn refusal(server: &str) -> (u16, &'static str, String) {
    plain(&format!(
        r#"{{"msg":"You cat not set peer down: {server}","data":["{server}"],"code":"E00001"}}"#
    ))
}

fn checked(servers: &[&str]) -> (u16, &'static str, String) {
    let mut entries: Vec<String> = servers
        .iter()
        .map(|server| format!(r#""{server}":1"#))
        .collect();
    entries.sort();
    plain(&format!(
        r#"{{"msg":"OK","data":{{{}}},"code":"A00001"}}"#,
        entries.join(",")
    ))
}

#[test]
fn the_exchanges_are_the_recorded_ones_in_the_documented_order_of_keys() {
    let origins = Origin::many(3);
    let edge = edge(&origins).start();
    let a = origins[0].address().to_string();
    let mut client = edge.client();
    let mut put = |path: &str| {
        let answer = client.request("PUT", path, &[], b"");
        let (status, kind, text) = told(&answer);
        (status, kind.to_owned(), text)
    };
    let owned = |(status, kind, text): (u16, &str, String)| (status, kind.to_owned(), text);
    let usage = || owned(plain("usage: /ups?op=add&server=192.168.56.101:8080"));
    let none = || owned(plain(r#"{"msg":"do none.","data":{},"code":"E00001"}"#));
    let (del, add) = (
        format!("/ups?op=del&server={a}"),
        format!("/ups?op=add&server={a}"),
    );
    for (path, answer) in [
        ("/ups", usage()),
        ("/ups?", usage()),
        ("/ups?op=del", usage()),
        ("/ups?server=a", usage()),
        ("/ups?op=zzz&server=a", none()),
        ("/ups?op&server=a", none()),
        ("/ups?op=&server=a", none()),
        ("/ups?op=DEL&server=a", none()),
        ("/ups/check", owned(checked(&[]))),
        (&del, owned(success("del", &a))),
        ("/ups/check", owned(checked(&[&a]))),
        (&del, owned(success("del", &a))),
        ("/ups/check?x", owned(checked(&[&a]))),
        (&add, owned(success("add", &a))),
        (&add, owned(success("add", &a))),
        ("/ups/check", owned(checked(&[]))),
    ] {
        assert_eq!(put(path), answer, "{path}");
    }
    // A repeated call alters nothing and makes no revision.
    assert_eq!(edge.control().get("/v1/state").revision(), 3);
}

#[test]
fn a_server_is_out_of_every_group_that_has_it_before_the_answer_and_in_one_change() {
    let origins = Origin::many(3);
    let edge = edge(&origins).start();
    let (a, b) = (&origins[0], &origins[1]);
    let mut client = edge.client();
    for _ in 0..3 {
        let answer = client.get(&format!("/ups?op=del&server={}", a.address()), &[]);
        assert_eq!(told(&answer), success("del", &a.address().to_string()));
        for host in ["any.example", "more.example"] {
            for _ in 0..4 {
                assert_eq!(
                    client.get("/", &[("Host", host)]).text(),
                    b.name(),
                    "{host}"
                );
            }
        }
        client.get(&format!("/ups?op=add&server={}", a.address()), &[]);
        for host in ["any.example", "more.example"] {
            let mut seen: Vec<String> = (0..2)
                .map(|_| client.get("/", &[("Host", host)]).text())
                .collect();
            seen.sort();
            let mut both = [a.name(), b.name()];
            both.sort();
            assert_eq!(seen, both, "{host}");
        }
    }
    assert_eq!(edge.control().get("/v1/state").revision(), 7);
    let revision = edge.control().get("/v1/revisions/2").is(200).json;
    assert_eq!(revision["author"], "legacy:ups");
    assert_eq!(revision["source"], "127.0.0.1");
    let mut paths: Vec<&str> = revision["diff"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["path"].as_str().unwrap())
        .collect();
    paths.sort_unstable();
    let at = |group: &str| format!("/upstreams/{group}/servers/{}/admin", a.address());
    assert_eq!(paths, [at("more"), at("web")]);
}

#[test]
fn the_last_usable_server_of_any_group_stays_in_all_of_them() {
    let origins = Origin::many(3);
    let edge = edge(&origins).start();
    let [a, b, c] = [0, 1, 2].map(|at: usize| origins[at].address().to_string());
    let mut client = edge.client();
    let mut call = |op: &str, server: &str| {
        let answer = client.get(&format!("/ups?op={op}&server={server}"), &[]);
        let (status, _, text) = told(&answer);
        (status, "text/plain", text)
    };
    assert_eq!(call("del", &a), success("del", &a));
    // `web` has its backup left, `more` has none.
    assert_eq!(call("del", &b), refusal(&b));
    assert_eq!(call("del", &c), success("del", &c));
    assert_eq!(call("del", &b), refusal(&b));
    assert_eq!(call("del", &a), success("del", &a));
    assert_eq!(call("add", &a), success("add", &a));
    assert_eq!(call("del", &b), success("del", &b));
    assert_eq!(edge.client().get("/", &[]).text(), origins[0].name());
    assert_eq!(
        told(&edge.client().get("/ups/check", &[])),
        checked(&[&b, &c])
    );
}

#[test]
fn a_server_that_no_group_has_is_told_and_nothing_is_kept() {
    let origins = Origin::many(3);
    let edge = edge(&origins).start();
    let a = origins[0].address().to_string();
    let unknown = |shown: &str| {
        plain(&format!(
            r#"{{"msg":"server not found: {shown}","data":["{shown}"],"code":"E00001"}}"#
        ))
    };
    for (server, shown) in [
        ("9.9.9.9:99", "9.9.9.9:99"),
        ("unix:/tmp/x.sock", "unix:\\/tmp\\/x.sock"),
        ("unix%3A%2Ftmp%2Fx.sock", "unix:\\/tmp\\/x.sock"),
        ("", ""),
        ("a", "a"),
        ("app.internal:80", "app.internal:80"),
        ("a%22%0d%0a", "a\\\"\\r\\n"),
        ("a&server=b", "a"),
        ("127.0.0.1:99999", "127.0.0.1:99999"),
    ] {
        for op in ["add", "del"] {
            let answer = edge
                .client()
                .get(&format!("/ups?op={op}&server={server}"), &[]);
            assert_eq!(told(&answer), unknown(shown), "{op} {server}");
        }
    }
    let flag = edge.client().get("/ups?op=add&server", &[]);
    assert_eq!(
        told(&flag),
        plain(r#"{"msg":"server not found: true","data":[true],"code":"E00001"}"#)
    );
    assert_eq!(told(&edge.client().get("/ups/check", &[])), checked(&[]));
    assert_eq!(edge.control().get("/v1/state").revision(), 1);
    // The first of several counts; a text is shown as it was sent.
    let twice = edge
        .client()
        .get(&format!("/ups?op=del&op=add&server={a}&server=b"), &[]);
    assert_eq!(told(&twice), success("del", &a));
    let spaced = edge.client().get(&format!("/ups?op=add&server=+{a}+"), &[]);
    assert_eq!(told(&spaced), success("add", &format!(" {a} ")));
}

#[test]
fn every_method_acts() {
    let origins = Origin::many(3);
    let edge = edge(&origins).start();
    let a = origins[0].address().to_string();
    let mut client = edge.client();
    let mut ops = ["del", "add"].into_iter().cycle();
    for method in ["PUT", "GET", "POST", "HEAD", "DELETE", "PATCH"] {
        let op = ops.next().unwrap();
        let answer = client.request(method, &format!("/ups?op={op}&server={a}"), &[], b"");
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("text/plain"))
        );
        assert_eq!(answer.body.is_empty(), method == "HEAD");
        let expected = if op == "del" {
            checked(&[&a])
        } else {
            checked(&[])
        };
        assert_eq!(told(&client.get("/ups/check", &[])), expected, "{method}");
    }
}

#[test]
fn of_as_many_callers_as_servers_one_is_refused() {
    let origins = Origin::many(8);
    let edge = Edge::builder()
        .upstream("web", &origins)
        .route("*", "web")
        .listener("legacy: [ups]")
        .start();
    for round in 0..5 {
        let refused: Vec<bool> = thread::scope(|scope| {
            let callers: Vec<_> = origins
                .iter()
                .map(|origin| {
                    let (mut client, server) = (edge.client(), origin.address().to_string());
                    scope.spawn(move || {
                        let answer = client.get(&format!("/ups?op=del&server={server}"), &[]);
                        let done = told(&answer) == success("del", &server);
                        assert!(done || told(&answer) == refusal(&server), "{answer:?}");
                        !done
                    })
                })
                .collect();
            callers
                .into_iter()
                .map(|caller| caller.join().unwrap())
                .collect()
        });
        assert_eq!(
            refused.iter().filter(|refused| **refused).count(),
            1,
            "round {round}"
        );
        let last = refused.iter().position(|refused| *refused).unwrap();
        assert_eq!(edge.client().get("/", &[]).text(), origins[last].name());
        for origin in &origins {
            edge.client()
                .get(&format!("/ups?op=add&server={}", origin.address()), &[]);
        }
    }
}
