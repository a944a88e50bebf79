//! Whatever the target and the host: their normal forms are normal, and a request is forwarded by the path that it was
//! routed by. The first line is the host.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::proxy::routed_and_forwarded;
use pointsman::spec::{HostPattern, normal_host};
use pointsman::strict::{HeadLimits, HeadReader, is_target, normal_target};

fuzz_target!(|text: &str| {
    let (host, target) = text.split_once('\n').unwrap_or(("a", text));
    if is_accepted(host, "/") {
        check_host(host);
    }
    if is_accepted("a", target) {
        check_target(target);
    }
});

fn is_accepted(host: &str, target: &str) -> bool {
    let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let limits = HeadLimits {
        size: usize::MAX,
        count: 1,
    };
    matches!(
        HeadReader::default().read(head.as_bytes(), limits),
        Ok(Some(_))
    )
}

fn check_host(host: &str) {
    let normal = normal_host(host.trim());
    assert_eq!(normal_host(&normal), normal);
    assert!(!normal.is_empty() && !normal.contains([' ', '/', '@', ',', '?', '#', '\\']));
    if let Ok(pattern) = HostPattern::new(&normal) {
        assert_eq!(pattern.to_string(), *normal);
    }
}

fn check_target(target: &str) {
    // What the guard passes on Pingora can hold: it would refuse without a reason.
    let became = routed_and_forwarded(target.as_bytes()).unwrap();
    let normal = normal_target(target);
    if target.starts_with('/') {
        assert_eq!(became.is_some(), normal.is_ok());
    }
    let Some((routed, forwarded)) = became else {
        return;
    };
    let normal = normal.unwrap();
    assert_eq!(normal_target(&normal).as_deref(), Ok(&*normal));
    let forwarded = String::from_utf8(forwarded).unwrap();
    let path = forwarded.split('?').next().unwrap();
    assert_eq!(path, routed);
    assert!(is_target(forwarded.as_bytes()));
    if target.starts_with('/') {
        assert_eq!(forwarded, *normal);
    }
    assert_eq!(
        target.split_once('?').map(|(_, query)| query),
        forwarded.split_once('?').map(|(_, query)| query)
    );
    if path != "*" {
        check_path(path);
    }
}

/// As a server sees it that takes escapes apart, once.
fn check_path(path: &str) {
    assert!(path.starts_with('/') && !path.contains("//"), "{path}");
    let lower = path.to_ascii_lowercase();
    for part in ["\\", "%5c", "%00", "%c0", "%c1", "%e0%80", "%f0%80"] {
        assert!(!lower.contains(part), "{part} in {path}");
    }
    let dotted = lower.replace("%2e", ".");
    let mut names = dotted
        .split('/')
        .map(|segment| segment.split(';').next().unwrap());
    assert!(names.all(|name| name != "." && name != ".."), "{path}");
}
