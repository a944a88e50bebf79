//! Who may call dyups, and where.

use sha2::{Digest, Sha256};

use super::Desk;
use crate::control::{Role, Token};
use crate::ports::legacy::Interface;
use crate::spec::NamePattern;

#[tokio::test]
async fn a_token_needs_the_role_that_rest_asks_for() {
    let desk = Desk::with(|settings| {
        let token = |name: &str, role, upstreams: &str| Token {
            name: name.into(),
            sha256: Sha256::digest(name).into(),
            role,
            upstreams: vec![NamePattern::try_from(upstreams.to_owned()).unwrap()],
        };
        settings.tokens = vec![
            token("reads", Role::Read, "*"),
            token("operates", Role::Operate, "*"),
            token("blue-admin", Role::Admin, "blue"),
        ];
    });
    let bearing = async |name: &str, method: &str, path: &str| {
        let bearer = format!("Bearer {name}");
        let headers = [("authorization", bearer.as_str())];
        desk.send(method, path, &headers, "server 10.0.0.1;").await
    };
    desk.get("/list").await.refused(401, "unauthorized");
    assert_eq!(
        bearing("reads", "GET", "/list").await.is(200).text,
        "blue\ngreen\n"
    );
    for (name, method, path) in [
        ("reads", "POST", "/upstream/blue"),
        ("operates", "POST", "/upstream/blue"),
        ("operates", "DELETE", "/upstream/blue"),
        ("blue-admin", "POST", "/upstream/green"),
        ("blue-admin", "DELETE", "/upstream/green"),
    ] {
        let answer = bearing(name, method, path).await.is(403);
        assert!(answer.text.starts_with("the token `"), "{}", answer.text);
    }
    assert_eq!(desk.revision(), 1);
    bearing("blue-admin", "POST", "/upstream/blue")
        .await
        .is(200);
    let revision = desk.controller.store().revision(2).unwrap().unwrap();
    assert_eq!(revision.meta.author, "legacy:dyups:blue-admin");
}

#[tokio::test]
async fn nothing_answers_where_it_is_not_mounted() {
    let desk = Desk::with(|settings| settings.legacy = vec![Interface::Upsync]);
    desk.get("/list").await.refused(404, "not_found");
    desk.send("DELETE", "/upstream/blue", &[], "")
        .await
        .refused(404, "not_found");
    let desk = Desk::with(|settings| settings.legacy = vec![Interface::Dyups]);
    desk.get("/upstream_show").await.refused(404, "not_found");
    assert_eq!(desk.get("/list").await.is(200).text, "blue\ngreen\n");
}
