//! No request is lost, doubled or crossed while an origin goes and comes back.

use crate::support::{Edge, Ledger, Origin};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn no_request_fails_while_an_origin_is_refused_and_comes_back() {
    let mut origins = Origin::many(2);
    // It is soon asked again, and each of its many failures may be made up for.
    let member = |origin: &Origin| json!({ "address": origin.address(), "fail_timeout": "20ms" });
    let servers: Vec<_> = origins.iter().map(member).collect();
    let web = json!({ "servers": servers, "retry": { "budget": "100%" } });
    let edge = Edge::builder()
        .with(&json!({ "upstreams": { "web": web } }).to_string())
        .route("*", "web")
        .start();
    let (ledger, is_over) = (Ledger::new(), AtomicBool::new(false));
    let flapping = &mut origins[1];
    std::thread::scope(|scope| {
        let kept = || {
            let mut client = edge.client();
            for _ in 0..500 {
                ledger
                    .record(|nonce| client.try_get("/", &[("X-Nonce", nonce)]))
                    .unwrap();
            }
        };
        let fresh = || {
            for _ in 0..500 {
                ledger
                    .record(|nonce| edge.client().try_get("/", &[("X-Nonce", nonce)]))
                    .unwrap();
            }
        };
        let clients = [
            scope.spawn(kept),
            scope.spawn(kept),
            scope.spawn(fresh),
            scope.spawn(fresh),
        ];
        let is_over = &is_over;
        let flaps = scope.spawn(move || {
            let mut flaps = 0;
            while !is_over.load(Ordering::SeqCst) {
                flapping.refuse();
                flapping.come_back();
                let seen = flapping.count();
                crate::support::until("it takes part again", || {
                    (flapping.count() >= seen + 20 || is_over.load(Ordering::SeqCst)).then_some(())
                });
                flaps += 1;
            }
            flaps
        });
        let ends = clients.map(std::thread::ScopedJoinHandle::join);
        is_over.store(true, Ordering::SeqCst);
        assert!(flaps.join().unwrap() >= 3);
        assert!(ends.iter().all(Result::is_ok));
    });
    let tally = ledger.settle(&origins);
    tally.assert_flawless();
    assert_eq!(tally.sent, 2000);
    assert!(origins.iter().all(|origin| origin.count() > 0));
}
