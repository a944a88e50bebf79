use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::middleware::from_fn;
use axum::routing::get;
use tower::ServiceExt;

use super::Desk;
use crate::control::router::isolated;
use crate::spec::{Digest, Revision, Spec};
use crate::store::{Backlog, History, Logged, Memory, Store, StoreError, Stored};

/// A store that can be made to fail, or to hang when it is read.
#[derive(Default)]
struct Faulty {
    inner: Memory,
    fails: AtomicBool,
    hangs: Mutex<()>,
}

impl Faulty {
    fn check(&self) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::Full {
                path: "state.db".into(),
            });
        }
        Ok(())
    }
}

impl Store for Faulty {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        self.inner.load()
    }

    fn commit(&self, expected: Option<u64>, revisions: &[Revision]) -> Result<(), StoreError> {
        self.check()?;
        self.inner.commit(expected, revisions)
    }

    fn checkpoint(&self, number: u64, digest: Digest, spec: &Spec) -> Result<(), StoreError> {
        self.inner.checkpoint(number, digest, spec)
    }

    fn backlog(&self) -> Result<Backlog, StoreError> {
        self.inner.backlog()
    }

    fn since(&self, number: u64, limit: usize) -> Result<Vec<Logged>, StoreError> {
        self.inner.since(number, limit)
    }

    fn history(&self, before: Option<u64>, limit: usize) -> Result<Vec<Revision>, StoreError> {
        let _waiting = self.hangs.lock();
        self.check()?;
        self.inner.history(before, limit)
    }

    fn revision(&self, number: u64) -> Result<Option<Revision>, StoreError> {
        self.check()?;
        self.inner.revision(number)
    }

    fn state_at(&self, number: u64) -> Result<Option<Stored>, StoreError> {
        self.check()?;
        self.inner.state_at(number)
    }

    fn prune(&self, keep: &History, now: u64) -> Result<(), StoreError> {
        self.inner.prune(keep, now)
    }
}

#[tokio::test]
async fn a_store_that_fails_is_503_in_the_words_of_each_legacy_interface() {
    let store = Arc::new(Faulty::default());
    let desk = Desk::over(store.clone(), |_| {});
    store.fails.store(true, Ordering::Relaxed);
    let form = "server=10.0.0.1:80";
    let switch = desk.get("/upstream_switch?ups=green&host=a").await.is(503);
    let ups = desk.get("/ups?op=del&server=10.0.0.1:80").await.is(503);
    let api = desk.form("/ups_api?act=down&ups=blue", form).await.is(503);
    assert!(
        switch.text.contains("no space left") && switch.text.lines().count() == 1,
        "{}",
        switch.text
    );
    assert_eq!(ups.json["code"], "E00001");
    assert_eq!(ups.json["data"], serde_json::json!(["10.0.0.1:80"]));
    assert_eq!(api.json["code"], "E003");
    assert_eq!(api.json["msg"], "failed to set peer down state");
    assert_eq!(desk.revision(), 1);
    store.fails.store(false, Ordering::Relaxed);
    assert_eq!(
        desk.form("/ups_api?act=down&ups=blue", form)
            .await
            .is(200)
            .json["code"],
        "D002"
    );
}

#[tokio::test]
async fn a_store_that_fails_is_503_and_nothing_changes() {
    let store = Arc::new(Faulty::default());
    let desk = Desk::over(store.clone(), |_| {});
    store.fails.store(true, Ordering::Relaxed);
    let down = "/v1/upstreams/blue/servers/10.0.0.1:80/down";
    for path in [down, "/v1/revisions/1/restore"] {
        let answer = desk.act(path).await.refused(503, "store_unavailable");
        assert!(
            answer.detail().contains("no space left"),
            "{}",
            answer.detail()
        );
        assert!(!answer.header("retry-after").is_empty());
    }
    desk.get("/v1/revisions")
        .await
        .refused(503, "store_unavailable");
    desk.get("/v1/upstreams/blue").await.is(200);
    assert_eq!(desk.revision(), 1);
    store.fails.store(false, Ordering::Relaxed);
    desk.act(down).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
#[allow(
    clippy::await_holding_lock,
    reason = "the store hangs for as long as this lock is held"
)]
async fn a_store_that_hangs_is_503_and_the_rest_goes_on() {
    let store = Arc::new(Faulty::default());
    let desk = Desk::over(store.clone(), |_| {});
    let hanging = store.hangs.lock().unwrap();
    let (list, status) = tokio::join!(desk.get("/v1/revisions"), desk.get("/v1/status"));
    list.refused(503, "store_unavailable");
    status.is(200);
    drop(hanging);
    desk.get("/v1/revisions").await.is(200);
}

#[tokio::test]
async fn a_refusal_by_condition_is_told_also_without_the_store() {
    let store = Arc::new(Faulty::default());
    let desk = Desk::over(store.clone(), |_| {});
    store.fails.store(true, Ordering::Relaxed);
    let stale = [("if-match", "\"7\"")];
    let down = "/v1/upstreams/blue/servers/10.0.0.1:80/down";
    let answer = desk.send("POST", down, &stale, "").await;
    let answer = answer.refused(412, "precondition_failed");
    assert!(
        answer.detail().contains("revision 1"),
        "{}",
        answer.detail()
    );
}

#[tokio::test]
async fn a_panic_costs_one_answer() {
    async fn broken() -> &'static str {
        panic!("as the test wants")
    }
    let router = Router::new()
        .route("/", get(broken))
        .layer(from_fn(async |request, next| isolated(request, next).await));
    let request = Request::get("/").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 500);
}
