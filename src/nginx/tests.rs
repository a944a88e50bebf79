#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails here; clippy exempts only the test functions themselves"
)]

mod properties;

use super::*;

fn error(text: &str) -> String {
    match UpstreamBlock::parse(text) {
        Ok(block) => format!("no error: {block}"),
        Err(error) => error.to_string(),
    }
}

fn errors(texts: &[&str]) -> String {
    texts
        .iter()
        .map(|text| error(text))
        .collect::<Vec<_>>()
        .join("\n")
}

fn read(text: &str) -> UpstreamBlock {
    UpstreamBlock::parse(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[test]
fn everything_that_a_block_may_say_is_read() {
    let text = r#"
        # a comment; not a { directive }
        zone backends 64k;  least_conn;
        server 127.0.0.1:28089;server 127.0.0.1:28088   weight=3 max_conns=9 max_fails=4 fail_timeout=7 backup;
        server unix:/tmp/a.sock down slow_start=1m30s;   server "[::1]:80" drain 'route=a b' resolve service=_http;
        server   # in between
            b.example:8080
            max_fails=0;
        hash $request_uri${x} consistent; random two least_time=last_byte; random two; random; ip_hash; least_time header inflight;
        keepalive 32; keepalive_timeout 60; keepalive_requests 1000; keepalive_time 1h;
        check interval=3000 rise=2 fall=5 timeout=1000 type=http port=8080 default_down=false;
        check_http_send "GET / HTTP/1.0\r\nHost: \"a\"\r\n\r\n";
        check_http_expect_alive http_2xx http_3xx; check_keepalive_requests 1;
        sticky cookie srv_id expires=1h; queue 100 timeout=70;"#;
    insta::assert_snapshot!(read(text), @r##"
zone backends 65536;
least_conn;
server 127.0.0.1:28089;
server 127.0.0.1:28088 weight=3 max_conns=9 max_fails=4 fail_timeout=7s backup;
server unix:/tmp/a.sock slow_start=90s down;
server [::1]:80 service=_http "route=a b" drain resolve;
server b.example:8080 max_fails=0;
hash "$request_uri${x}" consistent;
random two least_time=last_byte;
random two least_conn;
random;
ip_hash;
least_time header inflight;
keepalive 32;
keepalive_timeout 1m;
keepalive_requests 1000;
keepalive_time 1h;
check interval=3000 fall=5 rise=2 timeout=1000 default_down=false type=http port=8080;
check_http_send "GET / HTTP/1.0\r\nHost: \"a\"\r\n\r\n";
check_http_expect_alive http_2xx http_3xx;
check_keepalive_requests 1;
sticky cookie srv_id expires=1h;
queue 100 timeout=70;
"##);
}

#[test]
fn a_broken_text_is_told_with_its_place_and_the_rule() {
    insta::assert_snapshot!(errors(&[
        "",
        "  # server 10.0.0.1;",
        "server 10.0.0.1",
        "server 10.0.0.1;\n;",
        "server 10.0.0.1;\nserver \"10.0.0.2;",
        "server \"10.0.0.1\"x;",
        "server 10.0.0.1 { }",
        "server 10.0.0.1; }",
        "upstream a { server 10.0.0.1; }",
        "{\"server\":\"10.0.0.1\"}",
        "[\"10.0.0.1\"]",
        "balancer_by_lua_block { }",
        "sevrer 10.0.0.1;",
        "server 10.0.0.1 backup;",
        "server 10.0.0.1; no\u{1b}\n\u{0}\u{e9};",
    ]), @r##"
line 1, column 1: a block needs a `server`
line 1, column 1: a block needs a `server`
line 1, column 16: the text ends where `;` is missing
line 2, column 1: `;`: no directive stands before it
line 2, column 8: `"`: this quote is not closed
line 1, column 18: `x`: after a closing quote a blank or `;` is missing
line 1, column 17: `{`: a block is not taken here: give what stands in `upstream {}`
line 1, column 18: `}`: it closes nothing here
line 1, column 12: `{`: a block is not taken here: give what stands in `upstream {}`
line 1, column 1: `{`: a block is not taken here: give what stands in `upstream {}`
line 1, column 13: the text ends where `;` is missing
line 1, column 23: `{`: a block is not taken here: give what stands in `upstream {}`
line 1, column 1: `sevrer`: unknown directive; did you mean `server`?
line 1, column 1: a block needs a server that is no backup
line 1, column 18: `no\u{1b}`: unknown directive; known here: server, keepalive, keepalive_timeout, keepalive_requests, keepalive_time, zone, check, check_http_send, check_http_expect_alive, check_keepalive_requests, ip_hash, least_conn, least_time, random, hash, sticky, queue, ntlm, state, resolver, resolver_timeout, check_fastcgi_param, balancer_by_lua_file
"##);
}

#[test]
fn a_wrong_parameter_of_a_server_is_told_with_its_place_and_the_rule() {
    insta::assert_snapshot!(errors(&[
        "server;",
        "server 10.0.0.1 wieght=2;",
        "server 10.0.0.1\n  weight=0;",
        "server 10.0.0.1 weight=1.5;",
        "server 10.0.0.1 weight;",
        "server 10.0.0.1 max_fails=-1;",
        "server 10.0.0.1 max_conns=4294967296;",
        "server 10.0.0.1 fail_timeout=soon;",
        "server 10.0.0.1 backup=1;",
        "server 10.0.0.1 10.0.0.2;",
        "server 10.0.0.1 route=;",
    ]), @r##"
line 1, column 1: `server`: something is missing; write `server ADDRESS [PARAMETER ...];`
line 1, column 17: `wieght=2`: unknown parameter of `server`; did you mean `weight`?
line 2, column 3: `weight=0`: write a whole number from 1 to 4294967295
line 1, column 17: `weight=1.5`: write a whole number from 1 to 4294967295
line 1, column 17: `weight`: a value is missing; write `weight=...`
line 1, column 17: `max_fails=-1`: write a whole number from 0 to 4294967295
line 1, column 17: `max_conns=4294967296`: write a whole number from 0 to 4294967295
line 1, column 17: `fail_timeout=soon`: write a length of time such as `10s`, `1m30s`, `500ms` or `10` (seconds)
line 1, column 17: `backup=1`: write `backup` without a value
line 1, column 17: `10.0.0.2`: unknown parameter of `server`; known here: weight, max_conns, max_fails, fail_timeout, slow_start, service, route, backup, down, drain, resolve
line 1, column 17: `route=`: a value is missing after `=`
"##);
    let long = format!("server 10.0.0.1 {}=1;", "x".repeat(1000));
    insta::assert_snapshot!(error(&long), @r##"line 1, column 17: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...`: unknown parameter of `server`; known here: weight, max_conns, max_fails, fail_timeout, slow_start, service, route, backup, down, drain, resolve"##);
}

#[test]
fn a_wrong_setting_is_told_with_its_place_and_the_rule() {
    insta::assert_snapshot!(errors(&[
        "server 10.0.0.1; keepalive 1; keepalive 2;",
        "server 10.0.0.1; keepalive;",
        "server 10.0.0.1; keepalive 1 2 3;",
        "server 10.0.0.1; keepalive 1 remote;",
        "server 10.0.0.1; ip_hash on;",
        "server 10.0.0.1; random three;",
        "server 10.0.0.1; random two most_conn;",
        "server 10.0.0.1; hash $uri consistently;",
        "server 10.0.0.1; zone a 1q;",
        "server 10.0.0.1; check;",
        "server 10.0.0.1; check intervall=1;",
        "server 10.0.0.1; check interval=0;",
        "server 10.0.0.1; check type=https;",
        "server 10.0.0.1; check default_down=1;",
        "server 10.0.0.1; check port=65536;",
        "server 10.0.0.1; check_http_expect_alive http_2x;",
    ]), @r##"
line 1, column 31: `keepalive`: it is already set in line 1
line 1, column 18: `keepalive`: something is missing; write `keepalive N [local];`
line 1, column 32: `3`: that is one too many; write `keepalive N [local];`
line 1, column 30: `remote`: unknown word; known here: local
line 1, column 26: `on`: that is one too many; write `ip_hash;`
line 1, column 25: `three`: unknown word; known here: two
line 1, column 29: `most_conn`: unknown method; did you mean `least_conn`?
line 1, column 28: `consistently`: unknown word; did you mean `consistent`?
line 1, column 25: `1q`: write a size such as `64k` or `1m`
line 1, column 18: `check`: something is missing; write `check PARAMETER=VALUE ...;`
line 1, column 24: `intervall=1`: unknown parameter of `check`; did you mean `interval`?
line 1, column 24: `interval=0`: write a whole number from 1 to 4294967295
line 1, column 24: `type=https`: unknown type; known here: tcp, http, ssl_hello, mysql, ajp, fastcgi
line 1, column 24: `default_down=1`: write `true` or `false`
line 1, column 24: `port=65536`: a port is a number from 1 to 65535
line 1, column 42: `http_2x`: unknown class of statuses; did you mean `http_2xx`?
"##);
}

#[test]
fn a_text_has_an_end_and_so_have_its_servers() {
    let many = |count: usize| {
        (0..count)
            .map(|at| format!("server 10.0.{}.{};\n", at / 250, at % 250))
            .collect::<String>()
    };
    assert_eq!(read(&many(MOST_SERVERS)).servers().count(), MOST_SERVERS);
    insta::assert_snapshot!(error(&many(MOST_SERVERS + 1)), @r##"line 10001, column 1: `server`: a block has at most 10000 servers"##);
    let padded = |bytes: usize| {
        let line = "server 10.0.0.1;";
        format!("{line}{}", " ".repeat(bytes - line.len()))
    };
    assert_eq!(read(&padded(LONGEST_TEXT)).servers().count(), 1);
    insta::assert_snapshot!(error(&padded(LONGEST_TEXT + 1)), @r##"line 1, column 1: a block has at most 1048576 bytes"##);
}

/// What becomes of a block: the group as JSON, then a line for each gap, `!` before those that matter.
fn taken(text: &str) -> String {
    let Taken { upstream, gaps } = read(text).taken();
    let lines = gaps
        .iter()
        .map(|gap| format!("\n{} {gap}", if gap.is_harmless { " " } else { "!" }));
    format!(
        "{}{}",
        serde_json::to_string(&upstream).unwrap(),
        lines.collect::<String>()
    )
}

#[test]
fn a_block_becomes_a_group() {
    insta::assert_snapshot!(taken("server 127.0.0.1:28089; server 10.0.0.1 weight=3 max_conns=9 max_fails=4 fail_timeout=7 slow_start=1m backup; server unix:/a down; server [::1]:81 drain down; server [::1]:82 drain;"), @r##"{"servers":[{"address":"127.0.0.1:28089","weight":1,"admin":"up","backup":false},{"address":"10.0.0.1:80","weight":3,"admin":"up","backup":true,"max_connections":9,"max_fails":4,"fail_timeout":"7s","slow_start":"1m"},{"address":"unix:/a","weight":1,"admin":"down","backup":false},{"address":"[::1]:81","weight":1,"admin":"down","backup":false},{"address":"[::1]:82","weight":1,"admin":"drain","backup":false}]}"##);
    insta::assert_snapshot!(taken("server 10.0.0.1; least_conn; keepalive 16; keepalive_timeout 5; zone a 64k;"), @r##"{"balance":"least_connections","servers":[{"address":"10.0.0.1:80","weight":1,"admin":"up","backup":false}],"timeouts":{"idle":"5s"},"keepalive":16}"##);
    insta::assert_snapshot!(taken("server 10.0.0.1; random; check interval=3000 rise=2 fall=5 timeout=1000;"), @r##"{"balance":"random","servers":[{"address":"10.0.0.1:80","weight":1,"admin":"up","backup":false}],"health":{"type":"tcp","interval":"3s","timeout":"1s","fall":5,"rise":2,"start":"down"}}"##);
    insta::assert_snapshot!(taken(r#"server 10.0.0.1; check type=http default_down=false port=81; check_http_send "HEAD / HTTP/1.0\r\n\r\n"; check_http_expect_alive http_2xx http_4xx;"#), @r##"{"servers":[{"address":"10.0.0.1:80","weight":1,"admin":"up","backup":false}],"health":{"type":"http","request":"HEAD / HTTP/1.0\r\n\r\n","port":81,"interval":"30s","timeout":"1s","fall":5,"rise":2,"statuses":["200-299","400-499"],"start":"up"}}"##);
    insta::assert_snapshot!(taken("server 10.0.0.1; check type=http;"), @r##"{"servers":[{"address":"10.0.0.1:80","weight":1,"admin":"up","backup":false}],"health":{"type":"http","request":"GET / HTTP/1.0\r\n\r\n","interval":"30s","timeout":"1s","fall":5,"rise":2,"statuses":["200-299","300-399"],"start":"down"}}"##);
}

#[test]
fn a_queue_is_taken_with_nginxs_own_patience() {
    for (text, size, seconds) in [
        ("queue 5;", 5, 60),
        ("queue 100 timeout=70;", 100, 70),
        ("queue 1 timeout=2m;", 1, 120),
    ] {
        let taken = read(&format!("server 10.0.0.1 max_conns=1; {text}")).taken();
        assert!(taken.gaps.is_empty(), "{text}: {:?}", taken.gaps);
        let queue = taken.upstream.queue.clone().unwrap();
        assert_eq!(queue.size, Some(size));
        assert_eq!(queue.timeout, Some(crate::spec::Span::from_secs(seconds)));
        let without = read("server 10.0.0.1;").taken();
        assert_eq!(
            without.in_place_of(&taken.upstream).queue,
            Some(queue),
            "a block without one says nothing"
        );
    }
}

#[test]
fn each_key_of_a_hash_is_the_one_of_that_variable() {
    for (variable, key) in [
        ("$request_uri", "uri"),
        ("${host}", "host"),
        ("$remote_addr", "client_ip"),
        ("$binary_remote_addr", "client_ip"),
        ("$http_x_user", "header:x-user"),
        ("$cookie_sid", "cookie:sid"),
        ("$arg_id", "query:id"),
    ] {
        let taken = read(&format!("server 10.0.0.1; hash {variable} consistent;")).taken();
        assert!(taken.gaps.is_empty(), "{variable}");
        let hash = taken.upstream.hash.unwrap();
        assert_eq!(hash.key.unwrap().to_string(), key);
    }
}

#[test]
fn what_a_group_cannot_say_is_listed_and_what_matters_is_marked() {
    for (text, matters) in [
        ("hash $uri;", true),
        ("hash $remote_addr$host consistent;", true),
        ("random two least_time=header;", true),
        ("least_time last_byte inflight;", true),
        ("sticky cookie a;", true),
        ("queue 0;", true),
        ("queue 5 wait=1;", true),
        ("ntlm;", true),
        ("state /a;", true),
        ("balancer_by_lua_file a.lua;", true),
        ("check type=mysql;", true),
        ("check_fastcgi_param A b;", false),
        ("keepalive_requests 5;", false),
        ("keepalive_time 5;", false),
        ("resolver 10.0.0.1;", false),
        ("check_http_send a;", false),
        ("check_http_expect_alive http_2xx;", false),
        ("check_keepalive_requests 1;", false),
        ("ip_hash; least_conn;", false),
        ("server 10.0.0.1:80;", true),
        ("server a.example:80; resolver 10.0.0.53;", true),
        ("server 10.0.0.2 weight=65536;", true),
        ("server 10.0.0.2 service=http resolve;", true),
        ("server a.example service=http;", true),
        ("server a.example:80 service=http resolve;", true),
        ("server a.example service=a/b resolve;", true),
        ("server 10.0.0.2 resolve;", false),
        ("server 10.0.0.2 route=a;", false),
    ] {
        let gaps = read(&format!("server 10.0.0.1; {text}")).taken().gaps;
        assert!(!gaps.is_empty(), "{text}");
        assert_eq!(
            gaps.iter().any(|gap| !gap.is_harmless),
            matters,
            "{text}: {gaps:?}"
        );
    }
    insta::assert_snapshot!(taken("ip_hash;\nserver a.example:80;\nserver 10.0.0.1 resolve route=a;\nserver 10.0.0.1:80;\nserver 10.0.0.2 weight=70000;\nserver \"a\nb\";\nleast_time last_byte;"), @r##"
{"servers":[{"address":"a.example:80","weight":1,"admin":"up","backup":false},{"address":"10.0.0.1:80","weight":1,"admin":"up","backup":false},{"address":"10.0.0.2:80","weight":65535,"admin":"up","backup":false}]}
  line 1, column 1: `ip_hash`: the method of line 8 counts, the last one
  line 3, column 1: `resolve`: an address needs no resolving
  line 3, column 1: `route=a`: it is for sticky sessions only
! line 4, column 1: `10.0.0.1:80`: this server is in line 3 already
! line 5, column 1: `weight=70000`: a weight is at most 65535
! line 6, column 1: `server`: `a\nb` is not an address: write `ip:port`, `[v6]:port`, `unix:/path`, `name:port` or `srv:name`
! line 8, column 1: `least_time last_byte`: this method is not supported yet
"##);
}

#[test]
fn a_name_is_taken_with_its_records_as_nginx_asks_for_them() {
    let servers = |text: &str| {
        let taken = read(text).taken();
        assert!(taken.gaps.is_empty(), "{text}: {:?}", taken.gaps);
        let servers = taken.upstream.servers.into_iter();
        servers
            .map(|server| server.address.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(servers("server app.internal:8080;"), ["app.internal:8080"]);
    assert_eq!(servers("server app.internal resolve;"), ["app.internal:80"]);
    assert_eq!(
        servers("server app.internal service=http resolve;"),
        ["srv:_http._tcp.app.internal"]
    );
    assert_eq!(
        servers("server app.internal service=_a._udp resolve;"),
        ["srv:_a._udp.app.internal"]
    );
}
