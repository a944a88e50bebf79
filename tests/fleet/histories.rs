//! Redis with another history than the nodes': nothing of it is applied without force.

use serde_json::json;

use crate::site::{Site, refused, store, switch, switched, wait_for_trouble, wait_until_in_step};
use crate::support::{Answer, Edge, RedisServer, Traffic, until};

/// Any change will do, also one that alters nothing.
fn force(edge: &Edge) -> Answer {
    let state = edge.control().get("/v1/state").is(200).json;
    edge.control()
        .with("Pointsman-Reason", "the store lost it")
        .put("/v1/state?force=true", &state)
}

fn wait_until_diverged(edge: &Edge) -> String {
    until(
        "the node knows that the store holds another history",
        || {
            let store = store(edge);
            (store["diverged"] == true).then(|| store["reason"].as_str().unwrap().to_owned())
        },
    )
}

/// Two nodes at revision 4, on `green`.
struct Fleet {
    site: Site,
    redis: RedisServer,
    a: Edge,
    b: Edge,
}

impl Fleet {
    fn new() -> Self {
        let (site, redis) = (Site::new(), RedisServer::start());
        let a = site.node("a", &redis.url()).start();
        let b = site.node("b", &redis.url()).start();
        let fleet = Self { site, redis, a, b };
        fleet.switch_to_four();
        fleet
    }

    fn switch_to_four(&self) {
        for group in ["green", "blue", "green"] {
            switched(&self.a, group);
        }
        until("both have it", || {
            (self.b.control().get("/v1/state").revision() == 4).then_some(())
        });
    }

    /// Both serve what they had, a restart changes nothing, and force makes it the fleet's again.
    fn holds_until_forced(&mut self, reason: &str, forced: u64) {
        let traffic = Traffic::to(self.b.address());
        for edge in [&self.a, &self.b] {
            let said = wait_until_diverged(edge);
            assert!(said.contains(reason), "{said}");
            assert!(said.contains("force=true"), "{said}");
            assert!(self.site.is_served_by(edge, "green"));
            refused(edge, "blue");
        }
        self.a.restart();
        assert!(self.site.is_served_by(&self.a, "green"));
        wait_until_diverged(&self.a);
        assert_eq!(force(&self.a).is(200).revision(), forced);
        for edge in [&self.a, &self.b] {
            wait_until_in_step(edge);
            let state = edge.control().get("/v1/state");
            assert_eq!(state.revision(), forced);
        }
        let record = self.b.control().get(&format!("/v1/revisions/{forced}"));
        let record = record.is(200).json;
        assert_eq!(
            (&record["forced"], &record["reason"]),
            (&json!(true), &json!("the store lost it"))
        );
        assert_eq!(switched(&self.b, "blue"), forced + 1);
        self.site.wait_for(&self.a, "blue");
        traffic.assert_flawless();
    }
}

#[test]
fn an_emptied_store_empties_no_node() {
    let mut fleet = Fleet::new();
    fleet.redis.call(&["FLUSHALL"]);
    fleet.holds_until_forced("the store is empty", 5);
}

#[test]
fn an_older_backup_takes_nothing_back() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let a = site.node("a", &redis.url()).start();
    let b = site.node("b", &redis.url()).start();
    redis.call(&["SAVE"]);
    let mut fleet = Fleet { site, redis, a, b };
    fleet.switch_to_four();
    // Without persistence its end leaves the file as it is.
    fleet.redis.kill();
    fleet.redis.start_again();
    fleet.holds_until_forced("the newest in the store is 1", 5);
}

#[test]
fn what_grew_on_an_older_backup_is_of_another_descent() {
    let (site, redis) = (Site::new(), RedisServer::start());
    let a = site.node("a", &redis.url()).start();
    let b = site.node("b", &redis.url()).start();
    redis.call(&["SAVE"]);
    let mut fleet = Fleet { site, redis, a, b };
    fleet.switch_to_four();
    fleet.redis.kill();
    fleet.redis.start_again();
    // A node without a past takes the backup for the state, and goes on from there beyond the others.
    let c = fleet.site.node("c", &fleet.redis.url()).start();
    for n in 0..6 {
        let path = format!("/v1/upstreams/other-{n}");
        drop(c.control().put(&path, &json!({ "servers": [] })).is(201));
    }
    assert!(fleet.site.is_served_by(&c, "blue"));
    fleet.holds_until_forced("does not follow", 8);
    until("the new node gives in to force", || {
        (c.control().get("/v1/state").revision() == 9).then_some(())
    });
}

#[test]
fn keys_of_another_type_are_refused_and_mended_by_force() {
    for key in ["head", "log"] {
        let mut fleet = Fleet::new();
        let key = format!("{{pointsman}}:{key}");
        fleet.redis.call(&["DEL", &key]);
        fleet.redis.call(&["SET", &key, "nonsense"]);
        fleet.holds_until_forced("another type", 5);
    }
}

#[test]
fn another_fleets_log_is_not_ours_even_by_force() {
    let fleet = Fleet::new();
    let other = RedisServer::start();
    let c = fleet.site.node("c", &other.url()).start();
    for group in ["green", "blue", "green", "blue", "green", "blue"] {
        switched(&c, group);
    }
    drop(c);
    let mut a = fleet.a;
    a.reconfigure(&format!("state: {{store: '{}'}}", other.url()));
    a.restart();
    assert!(fleet.site.is_served_by(&a, "green"));
    assert!(wait_until_diverged(&a).contains("another fleet"));
    assert!(refused(&a, "blue").contains("another fleet"));
    assert!(force(&a).is(503).text.contains("another fleet"));
    assert!(fleet.site.is_served_by(&a, "green"));
}

#[test]
fn flipped_bits_in_the_log_reach_no_node() {
    let mut fleet = Fleet::new();
    // The same entry with another body; its digest stays.
    let log = "{pointsman}:log";
    let newest = fleet
        .redis
        .call(&["XREVRANGE", log, "+", "-", "COUNT", "1"]);
    let entries: Vec<(String, Vec<String>)> = redis::from_redis_value(newest).unwrap();
    let (_, fields) = &entries[0];
    let mut words = vec!["XADD".to_owned(), log.to_owned(), "5-0".to_owned()];
    words.extend(fields.iter().map(|field| field.replace("green", "grees")));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    fleet.redis.call(&words);
    let reason = wait_until_diverged(&fleet.a);
    assert!(reason.contains("does not match its digest"), "{reason}");
    assert_eq!(fleet.a.control().get("/v1/state").revision(), 4);
    fleet.holds_until_forced("damaged", 5);
}

#[test]
fn a_lost_log_stops_a_node_without_a_past_and_no_other() {
    let fleet = Fleet::new();
    fleet.redis.call(&["DEL", "{pointsman}:log"]);
    let failure = fleet.site.node("c", &fleet.redis.url()).try_start();
    let said = failure.err().unwrap().stderr;
    assert!(said.contains("damaged"), "{said}");
    let mut a = fleet.a;
    refused(&a, "blue");
    a.restart();
    assert!(fleet.site.is_served_by(&a, "green"));
    let trouble = wait_for_trouble(&a);
    println!("{trouble}");
    assert_eq!(switch(&a, "blue").status, 503);
}
