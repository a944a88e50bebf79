//! Groups that come, go and change while others call.

use crate::dyups::{by_host, done, post, served, told};
use crate::support::{Origin, until};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn groups_come_and_go_under_load_without_a_wrong_answer() {
    let origins = Origin::many(2);
    let edge = by_host();
    let body = |at: usize| format!("server {};", origins[at].address());
    assert_eq!(post(&edge, "stays", &body(0)), done());
    let deadline = Instant::now() + Duration::from_secs(2);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = edge.client().host("stays");
                while Instant::now() < deadline {
                    let answer = client.get("/", &[]);
                    assert_eq!((answer.status, answer.text()), (200, origins[0].name()));
                }
            });
        }
        for round in 0.. {
            if Instant::now() >= deadline {
                break;
            }
            let at = round % 2;
            assert_eq!(post(&edge, "comes", &body(at)), done());
            assert_eq!(served(&edge, "comes"), origins[at].name());
            if round % 3 == 2 {
                assert_eq!(told(&edge, "DELETE", "/upstream/comes", ""), done());
                assert_eq!(served(&edge, "comes"), "502");
            }
        }
    });
}

#[test]
fn callers_of_one_group_at_a_time_lose_no_change_of_it_and_none_of_the_groups_settings() {
    let edge = by_host();
    assert_eq!(post(&edge, "busy", "server 127.0.0.1:1;"), done());
    thread::scope(|scope| {
        for caller in 0..4 {
            let edge = &edge;
            scope.spawn(move || {
                for round in 1..=20 {
                    let body = format!("server 127.0.0.{}:{round};", caller + 1);
                    // The answer to whoever loses too many races, as the original says of its lock.
                    let busy = (409, "wait and try again\n".to_owned());
                    until("the change is made", || {
                        let answer = post(edge, "busy", &body);
                        assert!(answer == done() || answer == busy, "{answer:?}");
                        (answer == done()).then_some(())
                    });
                }
            });
        }
        let control = edge.control();
        for attempts in (1..=10).chain([3]) {
            let retry = serde_json::json!({ "retry": { "attempts": attempts } });
            let _ = control.patch("/v1/upstreams/busy", &retry).is(200);
            let group = control.get("/v1/upstreams/busy").is(200).json;
            assert_eq!(group["retry"]["attempts"], attempts);
        }
    });
    let group = edge.control().get("/v1/upstreams/busy").is(200).json;
    assert_eq!(group["retry"]["attempts"], 3);
    assert_eq!(group["servers"].as_array().unwrap().len(), 1);
}
