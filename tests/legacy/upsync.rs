//! The page of upsync.

use crate::dyups::{by_host, call, done, post, told};

#[test]
fn a_page_about_a_group_is_the_one_of_upsync() {
    let edge = by_host();
    let show = |query: &str| {
        let answer = call(&edge, "GET", &format!("/upstream_show{query}"), "");
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("text/plain"))
        );
        answer.text()
    };
    assert_eq!(show(""), "No upstreams defined");
    let body =
        "server 127.0.0.1:8088 weight=10 max_fails=3;server 127.0.0.1:8089 max_fails=2 down;";
    assert_eq!(post(&edge, "test", body), done());
    let test = "Upstream name: test; Backend server count: 2
        server 127.0.0.1:8088 weight=10 max_fails=3 fail_timeout=10s;
        server 127.0.0.1:8089 weight=1 max_fails=2 fail_timeout=10s down;
";
    assert_eq!((show("?test"), show("?TEST")), (test.into(), test.into()));
    assert_eq!(show(""), format!("{test}\n"));
    let unknown = "The upstream you requested does not exist. Please double-check the name";
    assert_eq!(show("?nosuch"), unknown);
    assert_eq!(
        told(&edge, "POST", "/upstream_show?test", ""),
        (405, String::new())
    );
    let head = call(&edge, "HEAD", "/upstream_show?test", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
}
