//! A group's source in the file.

use super::*;

#[test]
fn a_source_stands_instead_of_servers_and_its_token_is_named() {
    let text = "
defaults: {source: {consul: 'http://c/v1/kv/c'}}
upstreams:
  a: {source: {consul: 'http://c/v1/kv/c'}, servers: [10.0.0.1]}
  b: {source: {consul: 'ftp://c/v1/kv/c'}}
  c: {source: {token: null}}
  d: {source: {consul: 'http://c/v1/kv/c', token: s3cret}}
  e: {source: {consul: 'http://c/v1/kv/c', token: '${CONSUL_MISSING}'}}
  f: {source: http://c/v1/kv/c}
";
    insta::assert_snapshot!(errors(text), @r##"
f:2:20: a source belongs to one upstream, `defaults` cannot have one
f:4:45: `source` says which servers the group has: write `servers` or `source`
f:5:24: `ftp://c/v1/kv/c`: a URL begins with `http://` or `https://`
f:6:15: `consul` is missing
f:7:51: write the variable that holds the token, with a name that begins with CONSUL_, as `${CONSUL_HTTP_TOKEN}`: the token itself would stand in the history
f:8:51: the environment has no `CONSUL_MISSING`
f:9:15: expected a mapping, not string "http://c/v1/kv/c"
"##);
    let set = |name: &str| (name == "CONSUL_T").then(|| "s3cret".to_owned());
    let text = "listeners: [{address: '0.0.0.0:1'}]\nupstreams: {a: {source: {consul: 'http://c/v1/kv/c', token: '${CONSUL_T}'}}}";
    let config = read_config(text.as_bytes(), &set).unwrap();
    let seed = serde_json::to_string(&config.seed).unwrap();
    assert!(
        seed.contains("${CONSUL_T}") && !seed.contains("s3cret"),
        "{seed}"
    );
}
