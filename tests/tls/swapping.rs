//! Certificates that change while the process runs, and those that cannot be used.

use std::os::unix::fs::symlink;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tokio_rustls::rustls::HandshakeKind;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::certificates::{Authority, Signed, replace};
use crate::client::TlsClient;
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
    assert_eq!(shaken.kind, HandshakeKind::Resumed);
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

/// As Kubernetes and certbot do: the names that the file has lead through a link that is swapped.
#[test]
fn files_behind_a_link_that_is_swapped_are_changed_files() {
    let site = Site::new();
    let builder = site.builder();
    let directory = builder.directory().to_owned();
    let generation = |number: usize, signed: &Signed| {
        let own = directory.join(format!("..{number}"));
        std::fs::create_dir(&own).unwrap();
        signed.write(&own, "tls");
        let draft = directory.join("..data_tmp");
        symlink(format!("..{number}"), &draft).unwrap();
        std::fs::rename(draft, directory.join("..data")).unwrap();
    };
    let first = site.authority.sign(&["a.example"]);
    generation(1, &first);
    let mut pair = String::new();
    for (key, file) in [("cert", "tls.pem"), ("key", "tls.key")] {
        // A link to a file behind the link to its directory.
        symlink(format!("..data/{file}"), directory.join(file)).unwrap();
        pair += &format!("{key}: '{}', ", directory.join(file).display());
    }
    let edge = builder
        .listener(&format!("tls: {{ certificates: [{{ {pair} }}] }}"))
        .start();
    let served = || site.client().visit(edge.address()).unwrap().certificate;
    assert_eq!(served(), *first.cert.der());
    for number in 2..5 {
        let next = site.authority.sign(&["a.example"]);
        generation(number, &next);
        until("the pair of the new generation serves", || {
            (served() == *next.cert.der()).then_some(())
        });
        std::fs::remove_dir_all(directory.join(format!("..{}", number - 1))).unwrap();
    }
}

#[test]
fn a_new_client_ca_decides_who_may_connect_and_old_tickets_do_not() {
    let site = Site::new();
    let builder = site.builder();
    let ca = builder.directory().join("ca.pem");
    replace(&ca, &site.authority.pem());
    let edge = builder
        .listener(&format!("tls: {{ client_ca: '{}' }}", ca.display()))
        .start();
    let (old_ca, new_ca) = (&site.authority, Authority::new());
    for version in [&TLS12, &TLS13] {
        replace(&ca, &old_ca.pem());
        let (old, new) = (old_ca.sign(&["c.example"]), new_ca.sign(&["c.example"]));
        let client = |own| TlsClient::new(&site.authority, &[version], Some(own));
        let (old, new) = (client(&old), client(&new));
        let visit = |client: &TlsClient| client.visit(edge.address());
        until("the old authority's client may connect", || {
            visit(&old).ok()
        });
        // It has tickets now, and uses them.
        assert_eq!(visit(&old).unwrap().kind, HandshakeKind::Resumed);
        assert!(visit(&new).is_err());
        replace(&ca, &new_ca.pem());
        until("the new authority's client may connect", || {
            visit(&new).ok()
        });
        assert!(visit(&old).is_err());
    }
    // Nonsense changes nothing.
    replace(&ca, "garbage");
    edge.wait_for_stderr("ca.pem holds no certificate");
    let known = new_ca.sign(&["c.example"]);
    let known = TlsClient::new(&site.authority, &[&TLS13], Some(&known));
    assert!(known.visit(edge.address()).is_ok());
}
