//! What anyone with `redis-cli` can do to our keys: the right state or an error, never another state, never a panic.

use pointsman::store::{Head, Redis, Registry, Store};
use proptest::test_runner::{Config, TestRunner};
use redis::Value;

use crate::lineage::Lineage;
use crate::support::RedisServer;

const KEYS: [&str; 6] = ["head", "log", "past", "checkpoints", "nodes", "health"];

/// 45 revisions with checkpoints at 20 and 40.
fn grown() -> (RedisServer, Lineage) {
    let server = RedisServer::start();
    let store = Redis::new(server.settings());
    let mut lineage = Lineage::default();
    for number in [20, 40] {
        lineage.grow(&store, 20);
        lineage.checkpoint(&store, number);
    }
    lineage.grow(&store, 5);
    (server, lineage)
}

/// All keys as they are, to be put back.
struct Saved(Vec<(String, Value)>);

fn key(name: &str) -> String {
    format!("{{pointsman}}:{name}")
}

fn keys(server: &RedisServer) -> Vec<String> {
    redis::from_redis_value(server.call(&["KEYS", "*"])).unwrap()
}

impl Saved {
    fn of(server: &RedisServer) -> Self {
        let dump = |key: String| (key.clone(), server.call(&["DUMP", &key]));
        Self(keys(server).into_iter().map(dump).collect())
    }

    fn put_back(&self, server: &RedisServer) {
        server.call(&["FLUSHALL"]);
        let mut connection = server.connection();
        for (key, value) in &self.0 {
            let Value::BulkString(bytes) = value else {
                panic!("{key}: {value:?}")
            };
            let mut command = redis::cmd("RESTORE");
            command.arg(key).arg(0).arg(bytes.as_slice());
            let _: Value = command.query(&mut connection).unwrap();
        }
    }
}

/// Flips a bit of one value: of a field of the head, of an entry, of a checkpoint's line or of a part.
fn flip(server: &RedisServer, which: usize, bit: usize) {
    let mut connection = server.connection();
    let mut run = |command: &mut redis::Cmd| -> Value { command.query(&mut connection).unwrap() };
    let flipped = |mut bytes: Vec<u8>| {
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    match which % 4 {
        hash @ (0 | 1) => {
            let key = key(if hash == 0 { "head" } else { "checkpoints" });
            let all = run(redis::cmd("HGETALL").arg(&key));
            let fields: Vec<(String, Vec<u8>)> = redis::from_redis_value(all).unwrap();
            let (field, value) = fields[which / 4 % fields.len()].clone();
            run(redis::cmd("HSET").arg(&key).arg(field).arg(flipped(value)));
        }
        2 => {
            let key = key("log");
            let all = run(redis::cmd("XRANGE").arg(&key).arg("-").arg("+"));
            let mut entries: Vec<(String, Vec<Vec<u8>>)> = redis::from_redis_value(all).unwrap();
            let at = which / 4 % entries.len();
            let field = (which / 4 / 45 % 5) * 2 + 1;
            let value = entries[at].1[field].clone();
            entries[at].1[field] = flipped(value);
            run(redis::cmd("DEL").arg(&key));
            for (id, fields) in entries {
                run(redis::cmd("XADD").arg(&key).arg(id).arg(fields));
            }
        }
        _ => {
            let parts: Vec<String> = keys(server)
                .into_iter()
                .filter(|key| key.contains(":parts:"))
                .collect();
            let key = &parts[which / 4 % parts.len()];
            let part = run(redis::cmd("LINDEX").arg(key).arg(0));
            let part: Vec<u8> = redis::from_redis_value(part).unwrap();
            run(redis::cmd("LSET").arg(key).arg(0).arg(flipped(part)));
        }
    }
}

/// Whatever it says must be true.
fn says_nothing_wrong(server: &RedisServer, lineage: &Lineage) {
    let store = Redis::new(server.settings());
    if let Ok(loaded) = store.load() {
        assert!(loaded == Some(lineage.last()), "another state was loaded");
    }
    for number in [1, 20, 31, 44] {
        if let Ok(Some(state)) = store.state_at(number) {
            assert_eq!(state, lineage.at(number));
        }
        if let Ok(Some(revision)) = store.revision(number) {
            assert_eq!(revision, lineage.revision(number));
        }
        let at = Head {
            number,
            digest: lineage.at(number).digest,
        };
        for logged in store
            .next(at, 100, std::time::Duration::ZERO)
            .unwrap_or_default()
        {
            assert_eq!(logged, lineage.all[logged.revision.number as usize - 1].0);
        }
        if let Ok(Some(state)) = store.successor(at) {
            assert_eq!(state, lineage.at(state.number));
        }
    }
    for revision in store.history(None, 100).unwrap_or_default() {
        assert_eq!(revision, lineage.revision(revision.number));
    }
    let _ = (
        store.nodes(),
        store.health("edge"),
        store.backlog(),
        store.highest(),
    );
    lineage.goes_on_or_is_refused(&store);
}

#[test]
fn a_flipped_bit_anywhere_says_nothing_wrong() {
    let (server, lineage) = grown();
    let saved = Saved::of(&server);
    let config = Config {
        cases: 500,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    runner
        .run(&(0..10_000usize, 0..1_000_000usize), |(which, bit)| {
            saved.put_back(&server);
            flip(&server, which, bit);
            says_nothing_wrong(&server, &lineage);
            Ok(())
        })
        .unwrap();
}

#[test]
fn keys_of_another_type_or_missing_say_nothing_wrong() {
    let (server, lineage) = grown();
    let saved = Saved::of(&server);
    for name in KEYS {
        let key = key(name);
        let others: [&[&str]; 5] = [
            &[],
            &["SET", &key, "text"],
            &["HSET", &key, "number", "7"],
            &["RPUSH", &key, "a", "b"],
            &["XADD", &key, "*", "a", "b"],
        ];
        for other in others {
            saved.put_back(&server);
            server.call(&["DEL", &key]);
            if !other.is_empty() {
                server.call(other);
            }
            says_nothing_wrong(&server, &lineage);
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let (server, lineage) = grown();
    server.call(&["HSET", &key("checkpoints"), "40", "nonsense"]);
    let store = Redis::new(server.settings());
    assert_eq!(store.load().unwrap(), Some(lineage.last()));
    server.call(&["HDEL", &key("checkpoints"), "20", "40"]);
    assert_eq!(store.load().unwrap(), Some(lineage.last()));
    server.call(&["XTRIM", &key("log"), "MINID", "2-0"]);
    assert!(store.load().unwrap_or(None).is_none());
}
