//! Users, TLS, several addresses, sentinels.

use std::fs;
use std::time::Duration;

use pointsman::spec::Span;
use pointsman::store::{
    HandOver, Head, History, NodeRecord, Redis, RedisSettings, Registry, Secret, Store, StoreError,
};

use crate::lineage::Lineage;
use crate::support::{Port, RedisServer, until};

/// Everything that a node ever asks for.
fn everything(settings: &RedisSettings) {
    let store = Redis::new(settings.clone());
    let mut lineage = Lineage::default();
    for number in [5, 10, 15] {
        lineage.grow(&store, 5);
        lineage.checkpoint(&store, number);
    }
    let keep = History {
        revisions: 1,
        age: Span::from_secs(0),
        size: 1,
    };
    store.prune(&keep, u64::MAX).unwrap();
    assert_eq!(store.load().unwrap(), Some(lineage.last()));
    assert_eq!(store.history(None, 5).unwrap().len(), 5);
    let at = Head {
        number: 14,
        digest: lineage.at(14).digest,
    };
    assert_eq!(
        store.next(at, 9, Duration::from_millis(1)).unwrap().len(),
        1
    );
    assert!(store.successor(at).unwrap().is_some());
    store.acquire("x", "a", Duration::from_secs(1), 0).unwrap();
    store.release("x", "a").unwrap();
    let node = NodeRecord {
        id: "a".into(),
        version: "1".into(),
        address: "127.0.0.1:1".into(),
        applied: 20,
        seen_at: 1,
        ..NodeRecord::default()
    };
    store.put_node(&node).unwrap();
    store.put_health("a", &HandOver::default()).unwrap();
    assert!(store.health("a").unwrap().is_some());
    assert_eq!(store.nodes().unwrap(), std::slice::from_ref(&node));
    let roll = store.sign(&node).unwrap();
    assert!(roll.now > node.seen_at, "the time is Redis'");
    assert_eq!(roll.nodes[0].at, roll.now);
    assert_eq!(store.highest().unwrap(), 20);
    let mut revision = lineage.more(1).remove(0);
    revision.number = 21;
    store.establish(&revision, &lineage.last().spec).unwrap();
    assert_eq!(store.load().unwrap().unwrap().number, 21);
}

/// The line of docs/shared-store.md.
fn rights() -> Vec<String> {
    let page = include_str!("../../../docs/shared-store.md");
    let line = page.lines().find(|line| line.contains("ACL SETUSER"));
    let line = line
        .unwrap()
        .trim()
        .trim_matches('`')
        .replace("{edge}", "{pointsman}");
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn the_documented_rights_are_enough() {
    let server = RedisServer::start();
    let mut words = rights();
    words[4] = ">p@ss:w/rd".into();
    server.call(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let mut settings = server.settings();
    settings.credentials = Secret("pointsman:p%40ss%3aw%2frd".into());
    everything(&settings);
    settings.credentials = Secret("pointsman:wrong".into());
    let refused = Redis::new(settings).load().unwrap_err().to_string();
    assert!(!refused.contains("wrong"), "{refused}");
}

#[test]
fn a_password_alone_is_the_default_users() {
    let server = RedisServer::with(&["--requirepass", "secret"]);
    let mut settings = server.settings();
    let refused = Redis::new(settings.clone()).load().unwrap_err();
    assert!(refused.to_string().contains("NOAUTH"), "{refused}");
    settings.credentials = Secret(":secret".into());
    everything(&settings);
}

#[test]
fn tls_is_trusted_by_the_ca_of_the_file_alone() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let signed = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(path("cert.pem"), signed.cert.pem()).unwrap();
    fs::write(path("key.pem"), signed.signing_key.serialize_pem()).unwrap();
    fs::write(path("other.pem"), other.cert.pem()).unwrap();
    let port = Port::reserve();
    let text = |name: &str| path(name).display().to_string();
    let server = RedisServer::with(&[
        "--tls-port",
        &port.number().to_string(),
        "--tls-cert-file",
        &text("cert.pem"),
        "--tls-key-file",
        &text("key.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    let mut settings = server.settings();
    settings.tls = true;
    settings.addresses = vec![port.address().to_string()];
    settings.ca = Some(path("other.pem"));
    let refused = Redis::new(settings.clone()).load().unwrap_err();
    assert!(
        matches!(refused, StoreError::Unreachable { .. }),
        "{refused}"
    );
    settings.ca = None;
    Redis::new(settings.clone()).load().unwrap_err();
    settings.ca = Some(path("none.pem"));
    let refused = Redis::new(settings.clone()).load().unwrap_err();
    assert!(refused.to_string().contains("none.pem"), "{refused}");
    settings.ca = Some(path("cert.pem"));
    everything(&settings);
}

fn replica_of(master: &RedisServer) -> RedisServer {
    let port = master.address().port().to_string();
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]);
    wait_for_link(&replica);
    replica
}

fn wait_for_link(replica: &RedisServer) {
    until("the replica follows", || {
        let found = replica.call(&["INFO", "replication"]);
        let text: String = redis::from_redis_value(found).unwrap();
        text.contains("master_link_status:up").then_some(())
    });
}

#[test]
fn of_several_addresses_the_master_is_written_to() {
    let mut first = RedisServer::start();
    let second = replica_of(&first);
    let gone = Port::reserve();
    let mut settings = first.settings();
    settings.addresses = vec![
        gone.address().to_string(),
        second.address().to_string(),
        first.address().to_string(),
    ];
    let store = Redis::new(settings);
    let mut lineage = Lineage::default();
    lineage.grow(&store, 3);
    first.call(&["WAIT", "1", "5000"]);
    // Only the replica is left: it is read from, and written to when it is the master.
    first.kill();
    assert_eq!(store.load().unwrap(), Some(lineage.last()));
    let next = lineage.more(1);
    let refused = store.commit(Some(3), &next).unwrap_err();
    assert!(matches!(refused, StoreError::NotTaken { .. }), "{refused}");
    second.call(&["REPLICAOF", "NO", "ONE"]);
    store.commit(Some(3), &next).unwrap();
    assert_eq!(store.load().unwrap(), Some(lineage.last()));
}

#[test]
fn sentinels_say_where_the_master_is() {
    let mut first = RedisServer::start();
    let second = replica_of(&first);
    let sentinel = RedisServer::sentinel(&first);
    let mut settings = first.settings();
    settings.addresses = vec![Port::reserve().address().to_string()];
    settings.sentinels = vec![
        Port::reserve().address().to_string(),
        sentinel.address().to_string(),
    ];
    settings.master = Some("mymaster".into());
    let store = Redis::new(settings.clone());
    let mut lineage = Lineage::default();
    lineage.grow(&store, 3);
    until("the sentinel knows the replica", || {
        let failover = sentinel.try_call(&["SENTINEL", "FAILOVER", "mymaster"]);
        failover.is_ok().then_some(())
    });
    until("the sentinel names the other", || {
        let named = sentinel.call(&["SENTINEL", "get-master-addr-by-name", "mymaster"]);
        let (_, port): (String, u16) = redis::from_redis_value(named).unwrap();
        (port == second.address().port()).then_some(())
    });
    first.kill();
    let next = lineage.more(1);
    until("a commit goes to the new master", || {
        store.commit(Some(3), &next).ok()
    });
    assert_eq!(store.load().unwrap(), Some(lineage.last()));
    settings.master = Some("nobody".into());
    let refused = Redis::new(settings).load().unwrap_err();
    assert!(
        refused.to_string().contains("knows no master nobody"),
        "{refused}"
    );
}
