use serde_json::{Value, json};

use super::answer::Listed;
use super::members::{edits, merged};
use crate::spec::{Address, Admin, ForbiddenAddresses, Listing, Name, ServerSpec};

fn read(listing: &Listing, body: &str) -> Result<Listed, String> {
    let forbidden = ForbiddenAddresses::default();
    Listed::read(listing, Some(body.as_bytes()), &forbidden)
}

/// The members that a group of `now` has after an answer, as the control API would take them.
fn after(now: &[&str], listing: &Listing, body: &Value) -> Result<Vec<String>, String> {
    let now: Vec<ServerSpec> = now
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let listed = read(listing, &body.to_string())?;
    let next = merged(&now, &listed)?;
    Ok(next
        .iter()
        .map(|spec| serde_json::to_string(spec).unwrap())
        .collect())
}

fn keys() -> Listing {
    Listing::Keys("up/web".into())
}

/// `{"weight":5}` in base64 is `eyJ3ZWlnaHQiOjV9`.
const WEIGHT_5: &str = "eyJ3ZWlnaHQiOjV9";

#[test]
fn each_key_is_a_server_and_its_value_says_how_it_is_used() {
    let body = json!([
        { "Key": "up/web/", "Value": null },
        { "Key": "up/web/10.0.0.1:80", "Value": WEIGHT_5 },
        { "Key": "up/web/[::1]:81", "Value": null },
        { "Key": "up/web/app.internal:82", "Value": "" },
    ]);
    insta::assert_snapshot!(after(&[], &keys(), &body).unwrap().join("\n"), @r##"
{"address":"10.0.0.1:80","weight":5,"admin":"up","backup":false,"max_fails":2}
{"address":"[::1]:81","weight":1,"admin":"up","backup":false,"max_fails":2}
{"address":"app.internal:82","weight":1,"admin":"up","backup":false,"max_fails":2}
"##);
}

#[test]
fn what_is_no_server_is_skipped_with_the_reason() {
    let body = json!([
        { "Key": "up/web/10.0.0.1:80", "Value": null }, { "Key": "up/web/10.0.0.1:080", "Value": null },
        { "Key": "up/web/10.0.0.2", "Value": null }, { "Key": "up/web/sub/10.0.0.2:80", "Value": null },
        { "Key": "up/web/::1:80", "Value": null }, { "Key": "up/web/10.0.0.2:0", "Value": null },
        { "Key": "up/web/0.0.0.0:80", "Value": null }, { "Key": "up/web/169.254.1.1:80", "Value": null },
        { "Key": "up/web/10.0.0.3:80", "Value": "%%" }, { "Key": "up/web/10.0.0.4:80", "Value": 7 },
        { "Key": "other/10.0.0.5:80" }, {}, 7,
    ]);
    let listed = read(&keys(), &body.to_string()).unwrap();
    assert!(listed.is_partial);
    insta::assert_snapshot!(listed.skipped.join("\n"), @r##"
`10.0.0.1:80` is listed twice
key `10.0.0.2` is no `ip:port`
key `sub/10.0.0.2:80` is not an address: write `ip:port`, `[v6]:port`, `unix:/path`, `name:port` or `srv:name`
key `::1:80` is no `ip:port`
key `10.0.0.2:0`: a port is a number from 1 to 65535
key `0.0.0.0:80`: the unspecified address is not a server
`169.254.1.1:80` is link-local or a metadata service: allow it by `control.allow_link_local: true`
`10.0.0.3:80`: its value is no base64
`10.0.0.4:80`: its value is no text
key `other/10.0.0.5:80` was not asked for
an item has no `Key`
an item has no `Key`
"##);
}

#[test]
fn a_value_that_does_not_fit_leaves_its_server_as_it_was() {
    let settings = |value: Value| {
        let place =
            json!([{ "ServiceAddress": "10.0.0.1", "ServicePort": 80, "ServiceTags": value }]);
        let listing = Listing::Catalogue("web".into());
        let listed = read(&listing, &place.to_string()).unwrap();
        let told = listed.skipped.join("; ");
        let found = listed.servers.into_iter().next().unwrap().settings;
        found.map_or(told, |it| {
            let (weight, fails, timeout) = (it.weight, it.max_fails, it.fail_timeout);
            format!("{weight} {fails} {timeout} {} {}", it.backup, it.down)
        })
    };
    let all = [
        json!([]),
        json!(null),
        json!(["weight=-3", "max_fails=-1", "fail_timeout=-1"]),
        json!([
            "weight=7",
            "max_fails=0",
            "fail_timeout=5m",
            "down",
            "backup=1",
            "x=y",
            "blue"
        ]),
        json!(["weight=70000"]),
        json!(["weight=x"]),
        json!(["fail_timeout=99999999999"]),
        json!(["down=2"]),
        json!(["max_fails=99999999999"]),
        json!(["fail_timeout=5y"]),
    ];
    insta::assert_snapshot!(all.map(settings).join("\n"), @r##"
1 2 10s false false
1 2 10s false false
1 2 10s false false
7 0 5m true true
`10.0.0.1:80`: `weight` is at most 65535, not "70000"
`10.0.0.1:80`: `weight` is a number, not "x"
`10.0.0.1:80`: `fail_timeout` is at most 3650 days, not "99999999999"
`10.0.0.1:80`: `down` is 0 or 1, not "2"
`10.0.0.1:80`: `max_fails` is a number, not "99999999999"
`10.0.0.1:80`: `fail_timeout` is a number, not "5y"
"##);
}

#[test]
fn a_server_keeps_what_consul_says_nothing_about() {
    let now = r#"{"address": "10.0.0.1:80", "admin": "drain", "max_connections": 9, "labels": {"a": "b"}, "weight": 2}"#;
    let gone = r#"{"address": "10.0.0.2:80"}"#;
    let one = json!([{ "Key": "up/web/10.0.0.1:80", "Value": WEIGHT_5 }]);
    insta::assert_snapshot!(after(&[now, gone], &keys(), &one).unwrap().join("\n"), @r##"
{"address":"10.0.0.1:80","weight":5,"admin":"drain","backup":false,"labels":{"a":"b"},"max_connections":9,"max_fails":2}
"##);
    // Perhaps the other one is what cannot be read.
    let cut = json!([{ "Key": "up/web/10.0.0.1:80", "Value": "%" }, {}]);
    assert_eq!(after(&[now, gone], &keys(), &cut).unwrap().len(), 2);
}

#[test]
fn nothing_to_take_is_an_error() {
    let one = r#""10.0.0.1:80""#;
    let error = |body: Value| after(&[one], &keys(), &body).unwrap_err();
    assert_eq!(error(json!([])), "Consul lists no server for it");
    let bad = json!([{ "Key": "up/web/nonsense", "Value": null }]);
    assert_eq!(
        error(bad),
        "Consul lists no server for it that can be taken"
    );
    assert!(error(json!({})).starts_with("the answer is no list in JSON"));
    assert!(
        merged(
            &[],
            &Listed::read(&keys(), None, &ForbiddenAddresses::default()).unwrap()
        )
        .is_err()
    );
}

#[test]
fn health_is_down_where_a_check_does_not_pass() {
    let place = |status: &str| {
        json!([{ "Node": { "Address": "10.0.0.9" },
            "Service": { "Address": "", "Port": 80, "Tags": null, "Weights": { "Passing": 3 } },
            "Checks": [{ "Status": "passing" }, { "Status": status }] }])
    };
    let listing = Listing::Health("web".into());
    insta::assert_snapshot!(["passing", "warning", "critical"].map(|status| {
        after(&[], &listing, &place(status)).unwrap().join("\n")
    }).join("\n"), @r##"
{"address":"10.0.0.9:80","weight":3,"admin":"up","backup":false,"max_fails":2}
{"address":"10.0.0.9:80","weight":3,"admin":"up","backup":false,"max_fails":2,"down_at_source":true}
{"address":"10.0.0.9:80","weight":3,"admin":"up","backup":false,"max_fails":2,"down_at_source":true}
"##);
}

#[test]
fn edits_lead_from_one_to_the_other_and_leave_the_rest_alone() {
    let group = Name::new("web").unwrap();
    let now: Vec<ServerSpec> = (1..=3).map(spec).collect();
    let mut next: Vec<ServerSpec> = (2..=4).map(spec).collect();
    next[0].weight = 9;
    let list = edits(&group, &now, &next).unwrap();
    insta::assert_snapshot!(serde_json::to_string(&list).unwrap(), @r##"
[{"op":"patch_server","upstream":"web","address":"10.0.0.1:2","server":{"weight":9}},{"op":"add_server","upstream":"web","server":{"address":"10.0.0.1:4","weight":1,"admin":"up","backup":false}},{"op":"remove_server","upstream":"web","address":"10.0.0.1:1"}]
"##);
    // An operator's word that came in between is not touched by an edit of a weight.
    let mut state = crate::spec::Spec::default();
    let mut servers = now.clone();
    servers[1].admin = Admin::Down;
    let upstream = crate::spec::UpstreamSpec {
        servers,
        ..Default::default()
    };
    state.upstreams.insert(group.clone(), upstream.into());
    for edit in &list {
        edit.apply(&mut state, 1).unwrap();
    }
    let servers = &state.upstreams.get(&group).unwrap().servers;
    assert_eq!((servers[0].weight, servers[0].admin), (9, Admin::Down));
    // Many are one.
    let many: Vec<ServerSpec> = (10..60).map(spec).collect();
    assert_eq!(edits(&group, &now, &many).unwrap().len(), 1);
}

fn spec(number: u16) -> ServerSpec {
    ServerSpec::new(Address::new(&format!("10.0.0.1:{number}")).unwrap())
}

proptest::proptest! {
    /// Whatever a network delivers.
    #[test]
    fn no_answer_panics(body in ".*", listing in 0..3) {
        let listing = match listing {
            0 => keys(),
            1 => Listing::Catalogue("a".into()),
            _ => Listing::Health("a".into()),
        };
        let _ = read(&listing, &body);
        let _ = read(&listing, &format!("[{{\"Key\": {}, \"Value\": {}}}]", json!(format!("up/web/{body}")), json!(body)));
    }
}
