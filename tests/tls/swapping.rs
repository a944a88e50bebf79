//! Certificates that change while the process runs, and those that cannot be used.

use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::certificates::replace;
use crate::handshakes::Site;
use crate::support::{EdgeBuilder, pointsman, until};

#[test]
fn a_new_pair_serves_soon_and_no_handshake_fails_meanwhile() {
    let site = Site::new();
    let edge = site.start();
    let new = site.authority.sign(&["a.example"]);
    let (is_done, shaken) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    let visited = site.client().visit(edge.address());
                    let response = visited.expect("a handshake").response;
                    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
                    shaken.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        new.write(edge.directory(), "a");
        let swapped = || {
            let visited = site.client().visit(edge.address()).unwrap();
            (visited.certificate == *new.cert.der()).then_some(())
        };
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("the new certificate serves", swapped);
        }));
        is_done.store(true, Ordering::Relaxed);
        assert!(found.is_ok());
    });
    let shaken = shaken.into_inner();
    assert!(shaken > 20, "{shaken}");
    println!("{shaken} handshakes under load, 0 failed");
}

#[test]
fn a_pair_that_does_not_fit_is_kept_out_until_it_does() {
    let site = Site::new();
    let edge = site.start();
    let new = site.authority.sign(&["a.example"]);
    let served = || site.client().visit(edge.address()).unwrap().certificate;
    let file = |name: &str| edge.directory().join(name);
    replace(&file("a.pem"), &new.cert.pem());
    edge.wait_for_stderr("a.key does not fit");
    assert_eq!(served(), *site.certificates[0].cert.der());
    replace(&file("a.pem"), "garbage");
    edge.wait_for_stderr("a.pem holds no certificate");
    std::fs::remove_file(file("a.pem")).unwrap();
    edge.wait_for_stderr("a.pem cannot be read");
    assert_eq!(served(), *site.certificates[0].cert.der());
    new.write(edge.directory(), "a");
    until("the pair that fits serves", || {
        (served() == *new.cert.der()).then_some(())
    });
}

#[test]
fn a_session_is_resumed_after_the_certificate_changed() {
    let site = Site::new();
    let edge = site.start();
    let client = site.client();
    client.visit(edge.address()).unwrap();
    let new = site.authority.sign(&["a.example"]);
    new.write(edge.directory(), "a");
    until("the new certificate serves", || {
        let shaken = site.client().visit(edge.address()).unwrap();
        (shaken.certificate == *new.cert.der()).then_some(())
    });
    let shaken = client.visit(edge.address()).unwrap();
    assert_eq!(shaken.kind, tokio_rustls::rustls::HandshakeKind::Resumed);
}

fn check(builder: &EdgeBuilder) -> (bool, String) {
    let file = builder.write_file();
    let Output {
        status,
        stdout,
        stderr,
    } = pointsman()
        .arg("check")
        .arg("-c")
        .arg(file)
        .output()
        .unwrap();
    let said = [stdout, stderr].concat();
    (status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn check_and_start_name_the_file_and_the_reason() {
    let site = Site::new();
    let builder = site.builder();
    let directory = builder.directory().to_owned();
    assert!(check(&builder).0, "{}", check(&builder).1);
    let file = |name: &str| directory.join(name);
    let key_of_b = site.certificates[1].key.serialize_pem();
    std::fs::remove_file(file("a.pem")).unwrap();
    replace(&file("b.pem"), "no PEM\n");
    replace(&file("wild.key"), &key_of_b);
    let (is_fine, said) = check(&builder);
    assert!(!is_fine);
    for part in [
        "a.pem cannot be read: No such file",
        "b.pem holds no certificate in PEM form",
        "wild.key does not fit",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    site.certificates[0].write(&directory, "a");
    site.certificates[1].write(&directory, "b");
    replace(&file("wild.key"), "nothing\n");
    assert!(check(&builder).1.contains("wild.key holds no private key"));
    let refused = builder.try_start().err().unwrap();
    assert!(format!("{refused:?}").contains("wild.key holds no private key"));
}

#[test]
fn an_expired_certificate_is_a_warning() {
    let site = Site::new();
    let builder = site.builder();
    let expired = site.authority.sign_with(&["a.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    expired.write(builder.directory(), "a");
    let (is_fine, said) = check(&builder);
    assert!(is_fine, "{said}");
    assert!(said.contains("a.pem expired on 2021-01-01"), "{said}");
    let edge = builder.start();
    edge.wait_for_stderr("a.pem expired on 2021-01-01");
}
