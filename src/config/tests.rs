mod source;

use proptest::prelude::*;

use super::*;
use crate::ports::access_log::LogTarget;
use crate::ports::legacy::Interface;
use crate::spec::{HostPattern, Name};
use crate::store::StoreSettings;

fn read(text: &str) -> Result<Config, ConfigErrors> {
    let variable = |name: &str| match name {
        "PORT" => Some("8081".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    read_config(text.as_bytes(), &variable).map_err(|problems| ConfigErrors::new("f", problems))
}

fn errors(text: &str) -> String {
    read(text).map_or_else(|errors| errors.to_string(), |_| "no error".to_owned())
}

/// A file with one group and one route, the group's servers as given.
fn servers(servers: &str) -> String {
    errors(&format!("upstreams:\n  web:\n    servers: {servers}\n"))
}

#[test]
fn what_the_file_does_not_say_has_its_default() {
    let config = read("upstreams: {}").unwrap();
    assert_eq!(config.server.node.as_str(), "node");
    assert_eq!(config.server.probe_concurrency, 64);
    let [listener] = config.listeners.as_slice() else {
        panic!("one listener")
    };
    assert_eq!(listener.address.to_string(), "0.0.0.0:8080");
    assert!(listener.h1 && listener.h2 && listener.trusted_proxies.is_empty());
    assert_eq!(listener.limits.keepalive_requests, Some(10_000));
    assert!(listener.legacy.is_empty());
    assert_eq!(listener.legacy_allow, config.control.allow);
    assert_eq!(config.control.legacy, Interface::ALL);
    assert_eq!(config.control.address.to_string(), "127.0.0.1:9900");
    assert_eq!(
        config.state.store,
        StoreSettings::Sqlite("/var/lib/pointsman/state.db".into())
    );
    assert_eq!(config.state.history.size, 1 << 30);
    assert_eq!(config.access_log.target, LogTarget::Stdout);
    assert_eq!(config.log_level, log::LevelFilter::Info);
}

#[test]
fn zero_is_no_limit() {
    let config = read("listeners: [{address: '127.0.0.1:1', limits: {body_timeout: 0s, keepalive_timeout: 0s, keepalive_requests: 0}}]\nstate: {history: {size: 0}}").unwrap();
    let limits = &config.listeners[0].limits;
    assert_eq!(
        (limits.body_timeout, limits.keepalive_timeout),
        (None, None)
    );
    assert_eq!(limits.keepalive_requests, None);
    assert_eq!(config.state.history.size, u64::MAX);
}

#[test]
fn routes_without_an_id_get_different_ones() {
    let config = read(
        "upstreams: {a: {}}\nroutes: [{to: a}, {to: a, paths: [=/]}, {id: any-2, to: a, hosts: [x]}]",
    )
    .unwrap();
    let ids: Vec<_> = config
        .seed
        .routes
        .iter()
        .filter_map(|route| route.id.as_ref())
        .map(Name::as_str)
        .collect();
    assert_eq!(ids, ["any", "any-3", "any-2"]);
    assert_eq!(config.seed.routes.get(0).unwrap().hosts, [HostPattern::Any]);
}

#[test]
fn servers_are_read_in_both_forms_with_the_environment() {
    let config = read("upstreams: {a: {servers: ['10.0.0.1:${PORT}', {address: '${IP:-10.0.0.2}${EMPTY}', weight: 2}, '10.0.0.${EMPTY:-3}']}}").unwrap();
    let servers = &config
        .seed
        .upstreams
        .get(&Name::new("a").unwrap())
        .unwrap()
        .servers;
    let addresses: Vec<_> = servers.iter().map(|s| s.address.to_string()).collect();
    assert_eq!(addresses, ["10.0.0.1:8081", "10.0.0.2:80", "10.0.0.3:80"]);
    assert_eq!(servers[1].weight, 2);
}

#[test]
fn the_demo_is_a_configuration() {
    let demo = Config::demo().unwrap();
    assert_eq!(demo.summary(), "2 upstreams, 4 servers, 1 route");
    assert_eq!(demo.state.store, StoreSettings::Memory);
    assert_eq!(demo.access_log.target, LogTarget::Off);
}

#[test]
fn an_unreadable_file_is_told_with_the_reason() {
    let error = Config::load(Path::new("/nowhere/pointsman.yaml")).unwrap_err();
    insta::assert_snapshot!(error, @r##"/nowhere/pointsman.yaml: cannot be read: No such file or directory (os error 2)"##);
}

#[test]
fn an_unknown_key_is_answered_with_the_nearest() {
    insta::assert_snapshot!(errors("upstreams:\n  web:\n    servres:\n      - 10.0.0.5:80\n"), @r##"f:3:5: unknown key `servres`; did you mean `servers`?"##);
    insta::assert_snapshot!(errors("upstream:\n  web: {}\n"), @r##"f:1:1: unknown key `upstream`; did you mean `upstreams`?"##);
    insta::assert_snapshot!(servers("[{address: '10.0.0.1', wieght: 3}]"), @r##"f:3:37: unknown key `wieght`; did you mean `weight`?"##);
    insta::assert_snapshot!(errors("log: {colour: green}"), @r##"f:1:7: unknown key `colour`; known here: level"##);
}

#[test]
fn what_a_group_and_the_defaults_do_not_say_together_is_told_where_it_stands() {
    let text = "
defaults: {health: {path: /up, interval_changing: 5s}}
upstreams:
  web: {servers: [10.0.0.1], health: {type: tcp}}
  api: {servers: [10.0.0.2], health: {interval: 1s}}
";
    insta::assert_snapshot!(errors(text), @r##"
f:2:51: it hastens a verdict: at most as long as `interval` (`api` has `interval_changing`, `path` from `defaults`)
"##);
}

#[test]
fn unknown_keys_bad_values_and_broken_rules_are_told_all_at_once() {
    let text = "
server: {nod: a, threads: many}
listeners:
  - addres: 0.0.0.0:80
  - address: 0.0.0.0:99999
    limits: {body_timeout: 5}
upstreams:
  web:
    health: {interval: 2, tipe: http, statuses: [99, x]}
    servers:
      - 10.0.0.1:70000
      - {adress: 10.0.0.2}
      - {weight: 1}
  a/b: {}
routes:
  - {to: web, host: a}
  - {to: '${NOWHERE}'}
";
    insta::assert_snapshot!(errors(text), @r##"
f:2:10: unknown key `nod`; did you mean `node`?
f:2:27: write `auto` or a number of threads
f:4:5: unknown key `addres`; did you mean `address`?
f:5:14: `0.0.0.0:99999`: a port to listen on is a number from 1 to 65535
f:6:28: expected a length of time with its unit, such as `2s`, not integer `5`
f:9:24: expected a length of time with its unit, such as `2s`, not integer `2`
f:9:27: unknown key `tipe`; did you mean `type`?
f:9:50: `99` is not a status from 100 to 599 or a range such as "200-299"
f:9:54: `x` is not a status from 100 to 599 or a range such as "200-299"
f:11:9: `10.0.0.1:70000`: a port is a number from 1 to 65535
f:12:10: unknown key `adress`; did you mean `address`?
f:13:9: `address` is missing
f:14:3: a name consists of letters, digits, `.`, `_`, `:` and `-`; `a/b` has '/'
f:16:15: unknown key `host`; did you mean `hosts`?
f:17:10: the environment has no `NOWHERE`; `${NOWHERE:-default}` gives a default
"##);
    let text = "
server: {nod: a}
upstreams:
  web: {servers: [10.0.0.1, 10.0.0.1:80], retry: {attempts: 0}}
  idle: {servers: [{address: 10.0.0.1, weight: 0}]}
routes: [{to: nowhere}, {id: ANY, to: web}]
";
    insta::assert_snapshot!(errors(text), @r##"
f:2:10: unknown key `nod`; did you mean `node`?
f:4:29: server `10.0.0.1:80` is listed twice
f:4:61: 0 attempts: write 1 (never retry) to 16
f:5:19: every server has weight 0: none would get a request
f:6:15: `nowhere` is neither an upstream nor an address `ip:port`
f:6:25: host `*` with path `/` is already routed by `any-2`
"##);
}

#[test]
fn a_wrong_type_is_told_with_the_right_one() {
    insta::assert_snapshot!(servers("10.0.0.1"), @r##"f:3:14: expected a list, not string "10.0.0.1""##);
    insta::assert_snapshot!(servers(""), @r##"no error"##);
    insta::assert_snapshot!(servers("[{address: 10.0.0.1, weight: heavy}]"), @r##"f:3:43: expected a whole number from 0 to 65535, not string "heavy""##);
    insta::assert_snapshot!(errors("upstreams: [web]"), @r##"f:1:12: `upstreams` is a mapping of keys to values, not a list"##);
    insta::assert_snapshot!(errors("upstreams: {web: [10.0.0.1]}"), @r##"f:1:18: `web` is a mapping of keys to values, not a list"##);
    insta::assert_snapshot!(errors("upstreams: {web: {balance: 5, retry: {on: [502]}}}"), @r##"
f:1:28: expected a string, not integer `5`
f:1:44: expected a string, not integer `502`
"##);
    insta::assert_snapshot!(errors("upstreams: {web: {health: }}"), @r##"f:1:19: write `health: {}` for checks with the defaults, or leave it out for none"##);
    insta::assert_snapshot!(errors("upstreams: {web: {health: {port: 70000}, changed_at: 5}}"), @r##"
f:1:34: expected a whole number from 0 to 65535, not integer `70000`
f:1:42: `changed_at` is kept by Pointsman itself
"##);
    insta::assert_snapshot!(errors("just a text"), @r##"f:1:1: the file is a mapping: `upstreams:` and more"##);
    insta::assert_snapshot!(errors("listeners: {address: 1}"), @r##"f:1:12: expected a list, not a mapping"##);
    insta::assert_snapshot!(errors("upstreams: {web: {timeouts: [2s], health: [tcp]}}"), @r##"
f:1:29: expected a mapping, not a list
f:1:43: expected a mapping, not a list
"##);
}

#[test]
fn broken_yaml_is_told_with_its_place() {
    insta::assert_snapshot!(errors("upstreams:\n  web: [a\n"), @r##"f:3:1: broken YAML: while parsing a flow sequence, expected ',' or ']'"##);
    insta::assert_snapshot!(errors("upstreams:\n\tweb: 1\n"), @r##"f:2:2: broken YAML: tabs disallowed within this context (block indentation)"##);
    insta::assert_snapshot!(errors("upstreams: {}\nupstreams: {}\n"), @r##"f:2:1: `upstreams` is already set in line 1"##);
    insta::assert_snapshot!(errors("upstreams: {}\n---\nroutes: []\n"), @r##"f:2:1: a second document begins here: the file is one document"##);
    insta::assert_snapshot!(errors("log: !x {level: info}"), @r##"f:1:6: the tag `!x` means nothing here"##);
    insta::assert_snapshot!(errors(""), @r##"f:1:1: the file is empty"##);
    insta::assert_snapshot!(errors("log: {level: info}\n\u{0}"), @r##"f:2:1: a control character: this is no text file"##);
    let error = Config::from_bytes("f", b"log:\n  \xff").unwrap_err();
    insta::assert_snapshot!(error, @r##"f:2:3: not a text in UTF-8"##);
}

#[test]
fn a_listener_says_whose_proxy_header_it_believes_and_which_files_it_needs() {
    insta::assert_snapshot!(errors("listeners: [{address: '0.0.0.0:1', proxy_protocol: require}]"), @r##"f:1:52: only `trusted_proxies` are believed: list who sends the PROXY header"##);
    insta::assert_snapshot!(errors("listeners: [{address: '0.0.0.0:1', tls: {certificates: []}}]"), @r##"f:1:56: no certificate: name at least one pair of `cert` and `key`"##);
    insta::assert_snapshot!(errors("listeners: [{address: '0.0.0.0:1', tls: {certificates: [{cert: /nowhere, key: /k}]}}]"), @r##"f:1:64: /nowhere cannot be read: No such file or directory (os error 2)"##);
}

#[test]
fn what_redis_needs_is_told_together() {
    insta::assert_snapshot!(errors("state: {store: 'redis://h', redis: {master: m, ca: c}}"), @r##"
f:1:36: `sentinels` and `master` go together: who is asked, and for which master
f:1:52: a CA is for TLS: write `state.store` with `rediss://`
"##);
    insta::assert_snapshot!(errors("state: {store: 'redis://u:secret word@h', redis: {sentinels: ['a:x']}}"), @r##"
f:1:16: a user or password with one of `@:/?#[] ` has it percent-encoded, as `%40`
f:1:63: `a:x` is no `host:port`
"##);
    let text =
        "state: {store: 'redis://h', redis: {sentinels: [a, 'b:1'], master: m}, local_copy: c}";
    let StoreSettings::Redis(redis) = read(text).unwrap().state.store else {
        panic!("another store")
    };
    assert_eq!(redis.sentinels, ["a:26379", "b:1"]);
    assert_eq!(redis.local_copy, Some("c".into()));
}

#[test]
fn what_is_not_built_is_not_supported_yet() {
    let text = "
server: {threads: 1}
listeners: [{address: '0.0.0.0:1'}]
control: {legacy: [plus], tls: {cert: a, key: b, client_ca: c}}
state: {store: 'redis://h:1/0'}
upstreams:
  web: {when_all_down: try_any, timeouts: {total: 1s}, retry: {budget: 10%}}
  web2: {servers: [{address: 10.0.0.1, weight: 9}]}
routes: [{redirect: {status: 301}}, {to: [{to: web, weight: 1}]}, {to: web, paths: [~x]}]
";
    insta::assert_snapshot!(errors(text), @r##"
f:4:20: `plus` is not supported yet
f:4:50: `client_ca` is not supported yet
f:9:11: `redirect` is not supported yet
f:9:42: a weighted list is not supported yet
f:9:85: `~x`: regular expressions are not supported yet
"##);
}

#[test]
fn a_bad_value_is_told_with_what_fits() {
    insta::assert_snapshot!(errors("server: {shutdown_grace: 30}"), @r##"f:1:26: expected a length of time with its unit, such as `2s`, not integer `30`"##);
    insta::assert_snapshot!(errors("server: {shutdown_grace: 30 s}"), @r##"f:1:26: `30 s` is not a length of time: write a whole number with ms, s, m, h or d, at most 3650d"##);
    insta::assert_snapshot!(errors("server: {threads: 0, probe_concurrency: 0, node: a b}"), @r##"
f:1:19: write `auto` or a number of threads from 1 to 512
f:1:41: without a single probe nothing is checked: write 1 or more
f:1:50: a name consists of letters, digits, `.`, `_`, `:` and `-`; `a b` has ' '
"##);
    insta::assert_snapshot!(servers("[10.0.0.1:0, 10.0.0.1:70000, 10.0.0.300, '']"), @r##"
f:3:15: `10.0.0.1:0`: a port is a number from 1 to 65535
f:3:27: `10.0.0.1:70000`: a port is a number from 1 to 65535
f:3:43: `10.0.0.300` is not an address: write `ip:port`, `[v6]:port`, `unix:/path`, `name:port` or `srv:name`
f:3:55: `` is not an address: write `ip:port`, `[v6]:port`, `unix:/path`, `name:port` or `srv:name`
"##);
    insta::assert_snapshot!(servers("[10.0.0.1:80, 10.0.0.2:80, 10.0.0.1]"), @r##"f:3:41: server `10.0.0.1:80` is listed twice"##);
    insta::assert_snapshot!(servers("[{address: 10.0.0.1, weight: 0}, {address: 10.0.0.2, weight: 0}]"), @r##"f:3:14: every server has weight 0: none would get a request"##);
    insta::assert_snapshot!(servers("[169.254.169.254, 127.0.0.1:9900]"), @r##"
f:3:15: `169.254.169.254:80` is link-local or a metadata service: allow it by `control.allow_link_local: true`
f:3:32: `127.0.0.1:9900` is the control endpoint itself
"##);
    insta::assert_snapshot!(errors("upstreams: {web: {}, Web: {}}"), @r##"f:1:22: `Web` is the upstream of line 1: names are unique, whatever their case"##);
    insta::assert_snapshot!(errors("routes:\n  - to: web\n"), @r##"f:2:9: `web` is neither an upstream nor an address `ip:port`"##);
    insta::assert_snapshot!(errors("upstreams: {web: {balance: roundrobin}}"), @r##"f:1:28: unknown value `roundrobin`; did you mean `round_robin`?"##);
    insta::assert_snapshot!(errors("log: {level: loud}\nstate: {store: mysql, history: {size: 1GB}}"), @r##"
f:1:14: unknown value `loud`; known here: off, error, warn, info, debug, trace
f:2:16: `mysql` is no store: write `memory`, `sqlite:PATH` or `redis://HOST:PORT/DB`
f:2:39: `1GB` is not a size: write a whole number with B, KiB, MiB, GiB or TiB
"##);
    insta::assert_snapshot!(errors("control: {tokens: [{name: a, sha256: ab, role: root}]}"), @r##"
f:1:38: write the token's SHA-256 as 64 hexadecimal digits (printf %s TOKEN | sha256sum)
f:1:48: unknown value `root`; known here: read, operate, admin
"##);
}

#[test]
fn a_variable_that_is_not_set_needs_a_default() {
    insta::assert_snapshot!(errors("server:\n  node: ${NODE}\n"), @r##"f:2:9: the environment has no `NODE`; `${NODE:-default}` gives a default"##);
    insta::assert_snapshot!(errors("server: {node: '${NODE'}"), @r##"f:1:16: `${NODE` has no closing `}`"##);
    insta::assert_snapshot!(errors("server: {node: '${1}'}"), @r##"f:1:16: `${1}` names no variable: write `${NAME}` or `${NAME:-default}`"##);
}

#[test]
fn control_is_off_loopback_only_when_protected() {
    let at =
        |address: &str, more: &str| errors(&format!("control: {{address: '{address}'{more}}}"));
    let token = format!(
        ", tokens: [{{name: a, sha256: '{}', role: admin}}]",
        "0a".repeat(32)
    );
    insta::assert_snapshot!(at("0.0.0.0:9900", ""), @r##"f:1:20: `0.0.0.0:9900` can be reached from other machines: add `control.tokens` and `control.tls`, or listen on 127.0.0.1 or unix:/path"##);
    insta::assert_snapshot!(at("10.0.0.1:9900", &token), @r##"f:1:20: `10.0.0.1:9900` can be reached from other machines: add `control.tls`, or listen on 127.0.0.1 or unix:/path"##);
    insta::assert_snapshot!(at("[::1]:9900", ""), @r##"no error"##);
    insta::assert_snapshot!(at("unix:/run/p.sock", ""), @r##"no error"##);
    insta::assert_snapshot!(at("0.0.0.0:9900", &format!("{token}, tls: {{cert: a, key: b}}")), @r##"no error"##);
}

#[test]
fn two_listeners_do_not_share_an_address() {
    let text = "
listeners:
  - address: 0.0.0.0:80
  - address: 127.0.0.1:80
  - address: '[::]:80'
  - address: 127.0.0.1:9900
  - {address: unix:/a, protocols: []}
";
    insta::assert_snapshot!(errors(text), @r##"
f:4:14: `127.0.0.1:80` is taken by another listener on `0.0.0.0:80`
f:6:14: `127.0.0.1:9900` is taken by the control endpoint on `127.0.0.1:9900`
f:7:35: no protocol: write `http/1.1`, `h2` or both
"##);
}

#[test]
fn the_first_hundred_problems_are_told() {
    let text: String = (0..1000).map(|n| format!("key{n}: 1\n")).collect();
    assert_eq!(read(&text).unwrap_err().problems().len(), 100);
    let list: String = (0..1000).map(|n| format!("{n}, ")).collect();
    let text = format!("upstreams: {{web: {{servers: [{list}]}}}}");
    assert_eq!(read(&text).unwrap_err().problems().len(), 100);
}

#[test]
fn bombs_end_with_an_error() {
    insta::assert_snapshot!(errors(&"[".repeat(1_000_000)), @r##"f:1:256: broken YAML: recursion limit exceeded"##);
    insta::assert_snapshot!(errors(&"- ".repeat(1_000_000)), @r##"f:1:65: nested deeper than 32 levels"##);
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        let copies = vec![format!("*a{before}"); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{copies}]\n"));
    }
    insta::assert_snapshot!(errors(&laughs), @r##"f:7:15: too large, with its aliases written out"##);
    insta::assert_snapshot!(errors("upstreams: &a {web: *a}"), @r##"f:1:21: this alias stands inside what it repeats"##);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_a_configuration_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Config::from_bytes("f", &bytes);
    }

    #[test]
    fn any_text_of_yaml_characters_is_a_configuration_or_an_error(text in "[-\\[\\]{},:?&*!|>'\"%@`#~ \n\ta-c0\\\\$.<]{0,80}") {
        let _ = Config::from_text("f", &text);
    }

    #[test]
    fn a_damaged_file_is_a_configuration_or_an_error(cut in 0_usize..4000, put in "[-\\[\\]{},:?&*!|>'\" \na0]{0,4}", skip in 0_usize..40) {
        let whole = include_str!("../../conf/pointsman.yaml");
        let text: String = whole.chars().take(cut).chain(put.chars()).chain(whole.chars().skip(cut + skip)).collect();
        let _ = Config::from_text("f", &text);
    }
}

#[test]
fn what_a_stranger_can_make_us_hold_has_a_limit_that_makes_sense() {
    insta::assert_snapshot!(errors("listeners:\n  - address: 127.0.0.1:1\n    limits:\n      header_size: 1TiB\n      header_count: 0\n      h2_streams: 4000000000\n"), @r##"
f:4:20: write a size from 1KiB to 16MiB: it bounds what one client takes
f:5:21: write a number from 8 to 10000: it bounds what one client takes
f:6:19: write a number from 1 to 10000: it bounds what one client takes
"##);
}
