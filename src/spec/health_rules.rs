//! Rules that well-formed checks may still break.

use std::ops::RangeInclusive;

use super::rules::unfit_host;
use super::tls::is_name;
use super::{Broken, CheckType, HealthSpec, Span};

/// Longest probe deadline and longest time between two probes, in seconds. Beyond them a check says
/// nothing about a server any more; most likely the unit is wrong.
const LONGEST_PROBE: u64 = 3600;
const LONGEST_INTERVAL: u64 = 86_400;

/// Whether a rule is kept, where it stands, and what it says.
type Rule = (bool, &'static str, &'static str);

impl HealthSpec {
    /// Every broken rule; pointers begin here.
    pub(super) fn broken_rules(&self) -> Vec<Broken> {
        let rules = self.numbers().into_iter().chain(self.texts());
        let broken = rules.filter(|(is_kept, ..)| !is_kept);
        let mut broken: Vec<_> = broken
            .map(|(_, pointer, message)| Broken::new(pointer, message))
            .collect();
        let unfit = self.host.as_deref().and_then(unfit_host);
        broken.extend(unfit.map(|message| Broken::new("/host", message)));
        broken.extend(self.unfit_for_type());
        broken
    }

    fn numbers(&self) -> [Rule; 10] {
        let lasts = |span: Option<Span>, most: u64| {
            span.is_none_or(|span| {
                let length = span.duration();
                !length.is_zero() && length.as_secs() <= most
            })
        };
        let counts = |number: Option<u32>| number != Some(0);
        let statuses = self.statuses.as_ref();
        [
            (
                lasts(self.interval, LONGEST_INTERVAL),
                "/interval",
                "time between two probes: more than 0s, at most 1d",
            ),
            (
                lasts(self.interval_down, LONGEST_INTERVAL),
                "/interval_down",
                "time between two probes of a server that is down: more than 0s, at most 1d",
            ),
            (
                lasts(self.interval_changing, LONGEST_INTERVAL),
                "/interval_changing",
                "time between two probes of a server that may come or go: more than 0s, at most 1d",
            ),
            (
                self.hastens(),
                "/interval_changing",
                "it hastens a verdict: at most as long as `interval`",
            ),
            (
                lasts(self.timeout, LONGEST_PROBE),
                "/timeout",
                "time for a probe: more than 0s, at most 1h",
            ),
            (counts(self.fall), "/fall", "write 1 or more"),
            (counts(self.rise), "/rise", "write 1 or more"),
            (counts(self.concurrency), "/concurrency", "write 1 or more"),
            (
                self.port != Some(0),
                "/port",
                "a port is a number from 1 to 65535",
            ),
            (
                statuses.is_none_or(|list| !list.is_empty()),
                "/statuses",
                "no status would pass: name one",
            ),
        ]
    }

    /// Where one of both is left out, `defaults` may have it.
    fn hastens(&self) -> bool {
        let both = self.interval_changing.zip(self.interval);
        both.is_none_or(|(changing, interval)| changing.duration() <= interval.duration())
    }

    fn texts(&self) -> [Rule; 6] {
        let fits = |text: &Option<String>, range: RangeInclusive<usize>| {
            text.as_ref().is_none_or(|text| range.contains(&text.len()))
        };
        [
            (
                self.path.as_deref().is_none_or(is_request_path),
                "/path",
                "a path begins with `/` and has no spaces, control characters or `#`",
            ),
            (
                self.request.as_deref() != Some(""),
                "/request",
                "an empty request gets no answer",
            ),
            (
                self.request.is_none() || self.path.is_none(),
                "/request",
                "`request` is sent instead of `path`: write one of them",
            ),
            (
                fits(&self.body, 1..=LONGEST_BODY),
                "/body",
                "a text of 1 to 65536 bytes: more of an answer is not read",
            ),
            (
                fits(&self.service, 0..=LONGEST_SERVICE),
                "/service",
                "the name of a service: 1024 bytes at most",
            ),
            (
                self.sni.as_deref().is_none_or(is_name),
                "/sni",
                "no name of a server: write `www.example.org` or an address without a port",
            ),
        ]
    }
}

fn is_request_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// How much of an answer's body is looked at.
const LONGEST_BODY: usize = 64 * 1024;
const LONGEST_SERVICE: usize = 1024;

impl HealthSpec {
    /// What the type that is written beside it has no use for. Without one `defaults` may have it.
    fn unfit_for_type(&self) -> Vec<Broken> {
        let Some(kind) = self.kind.filter(|kind| *kind != CheckType::None) else {
            return Vec::new();
        };
        let is_http = kind.is_http();
        let keys = [
            (
                "/path",
                self.path.is_some(),
                is_http,
                "is asked for by `type: http` and `https` alone",
            ),
            (
                "/statuses",
                self.statuses.is_some(),
                is_http,
                "are looked at by `type: http` and `https` alone",
            ),
            (
                "/host",
                self.host.is_some(),
                kind.names_host(),
                "is sent by no check with `type: tcp`",
            ),
            (
                "/request",
                self.request.is_some(),
                is_http,
                "is sent by `type: http` and `https` alone",
            ),
            (
                "/body",
                self.body.is_some(),
                is_http,
                "is looked for by `type: http` and `https` alone",
            ),
            (
                "/service",
                self.service.as_ref().is_some_and(|name| !name.is_empty()),
                kind.names_service(),
                "is asked for by `type: grpc` alone",
            ),
            (
                "/sni",
                self.sni.is_some(),
                kind.may_have_tls(),
                "needs TLS: `type: https` or `grpc`",
            ),
        ];
        let unfit = keys
            .into_iter()
            .filter(|(_, is_set, is_fit, _)| *is_set && !is_fit);
        let broken = unfit.map(|(pointer, _, _, why)| {
            let key = pointer.trim_start_matches('/');
            Broken::new(pointer, format!("`{key}` {why}"))
        });
        broken.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(json: &str) -> Vec<String> {
        let health: HealthSpec = serde_json::from_str(json).unwrap();
        let broken = health.broken_rules().into_iter();
        broken.map(|broken| broken.pointer).collect()
    }

    #[test]
    fn each_type_has_keys_of_its_own() {
        for (json, expected) in [
            (
                r#"{"type": "grpc", "request": "x", "body": "x", "service": "x", "sni": "x"}"#,
                &["/request", "/body"][..],
            ),
            (
                r#"{"type": "https", "request": "x", "body": "x", "service": "x", "sni": "x"}"#,
                &["/service"],
            ),
            (
                r#"{"type": "http", "request": "x", "body": "x", "service": "x", "sni": "x"}"#,
                &["/service", "/sni"],
            ),
            (
                r#"{"type": "tcp", "request": "x", "body": "x", "service": "x", "sni": "x"}"#,
                &["/request", "/body", "/service", "/sni"],
            ),
            (
                r#"{"type": "tcp", "path": "/", "statuses": [200], "host": "a"}"#,
                &["/path", "/statuses", "/host"],
            ),
            (
                r#"{"type": "grpc", "path": "/", "statuses": [200], "host": "a"}"#,
                &["/path", "/statuses"],
            ),
            (r#"{"type": "none", "service": "x"}"#, &[]),
            // The defaults may say the type.
            (
                r#"{"request": "x", "body": "x", "service": "x", "sni": "x"}"#,
                &[],
            ),
        ] {
            assert_eq!(pointers(json), expected, "{json}");
        }
    }

    #[test]
    fn lengths_and_names_have_their_limits() {
        let json = |key: &str, length| format!(r#"{{"{key}": "{}"}}"#, "x".repeat(length));
        assert!(pointers(&json("body", 65_536)).is_empty());
        assert_eq!(pointers(&json("body", 65_537)), ["/body"]);
        assert_eq!(pointers(&json("body", 0)), ["/body"]);
        assert!(pointers(&json("service", 1024)).is_empty());
        assert_eq!(pointers(&json("service", 1025)), ["/service"]);
        assert_eq!(pointers(r#"{"sni": "a:443"}"#), ["/sni"]);
        assert_eq!(pointers(r#"{"interval_down": "2d"}"#), ["/interval_down"]);
        assert_eq!(
            pointers(r#"{"interval": "1s", "interval_changing": "2s"}"#),
            ["/interval_changing"]
        );
        assert_eq!(
            pointers(r#"{"interval_changing": "0s"}"#),
            ["/interval_changing"]
        );
        assert!(
            pointers(r#"{"interval_down": null, "sni": null, "body": null, "service": ""}"#)
                .is_empty()
        );
    }
}
