use std::time::Duration;

use crate::domain::tls::Tls;
use crate::domain::upstream::Upstream;
use crate::ports::server_tls::name_in;
use crate::spec::{
    CheckType, HealthSpec, HostHeader, SendProxyProtocol, ServerName, Span, StatusRange,
};

/// A group's checks as used: every default filled in. Two that are equal need no new schedules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is asked of a server.
    pub question: Question,
    /// The port that is probed instead of the server's own.
    pub port: Option<u16>,
    /// Time between two probes of a server, before its jitter.
    pub interval: Duration,
    /// The same while the server is down.
    pub interval_down: Duration,
    /// The same while its results differ from what it is taken for.
    pub interval_changing: Duration,
    /// Time for the whole probe.
    pub timeout: Duration,
    /// Failures in a row that make a server down.
    pub fall: u32,
    /// Passes in a row that make a server up.
    pub rise: u32,
    /// Probes of the group at a time; 0 means no limit.
    pub concurrency: usize,
    /// The PROXY header that begins a probe's connection.
    pub send_proxy_protocol: SendProxyProtocol,
    /// How its connections are secured, if they are.
    pub security: Option<Security>,
}

/// How the connections of probes are secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// The group's setting. Without one servers need a certificate that the system's authorities have signed.
    pub tls: Option<Tls>,
    /// The name that is asked for and verified; none: the server's own.
    pub name: Option<String>,
}

/// What is asked of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A connection; that it opens is the answer.
    Connect,
    /// A GET over HTTP/1.1; the status is the answer. Redirects are not followed.
    Get {
        /// The request target.
        path: String,
        /// The Host header instead of the address that is probed.
        host: Option<String>,
        /// Statuses that pass.
        statuses: Vec<StatusRange>,
        /// What must occur in the first 64 KiB of the body.
        body: Option<String>,
    },
    /// These bytes; the status in the first line of the answer decides, as in
    /// lua-resty-upstream-healthcheck.
    Raw {
        /// The whole request.
        request: String,
        /// Statuses that pass.
        statuses: Vec<StatusRange>,
        /// What must occur in the first 64 KiB of the body.
        body: Option<String>,
    },
    /// grpc.health.v1's `Check`; `SERVING` passes.
    Grpc {
        /// The service that is asked for; empty: the whole server.
        service: String,
        /// The authority instead of the address that is probed.
        host: Option<String>,
    },
}

impl Check {
    /// The checks that a group asks for; none with `type: none`.
    ///
    /// A timeout of 0 means no limit, and then a probe ends when the next one is due: without any
    /// deadline a silent server would keep its place among the group's probes for ever. An interval
    /// below 10 ms is taken as 10 ms.
    pub fn new(spec: &HealthSpec) -> Option<Self> {
        let question = question(spec)?;
        let pause = |span: Span| span.duration().max(SHORTEST);
        let interval = pause(spec.interval.unwrap_or(INTERVAL));
        let interval_down = spec.interval_down.map_or(interval, pause);
        let timeout = spec.timeout.unwrap_or(TIMEOUT).limit().unwrap_or(interval);
        let concurrency = spec.concurrency.unwrap_or(CONCURRENCY);
        Some(Self {
            question,
            port: spec.port,
            interval,
            interval_down,
            interval_changing: spec
                .interval_changing
                .map_or(interval.min(interval_down), pause),
            timeout,
            fall: spec.fall.unwrap_or(FALL),
            rise: spec.rise.unwrap_or(RISE),
            concurrency: usize::try_from(concurrency).unwrap_or(usize::MAX),
            send_proxy_protocol: SendProxyProtocol::Off,
            security: None,
        })
    }

    /// The checks of a group, if it has any.
    pub fn of(upstream: &Upstream) -> Option<Self> {
        let spec = upstream.health()?;
        let check = Self::new(spec)?;
        Some(Self {
            security: security(spec, upstream),
            send_proxy_protocol: upstream.send_proxy_protocol(),
            ..check
        })
    }
}

/// gRPC follows the group, since there is one type for both, and so does a check without a type; `http` and `https` say it
/// themselves.
fn security(spec: &HealthSpec, upstream: &Upstream) -> Option<Security> {
    let tls = upstream.tls();
    match spec.kind {
        Some(CheckType::Https) => {}
        // Where requests go over TLS, a check without it could only fail.
        None | Some(CheckType::Grpc) if tls.is_some() => {}
        _ => return None,
    }
    let of_group = || match &tls?.spec().sni {
        Some(ServerName::Fixed(name)) => Some(name.clone()),
        None | Some(ServerName::Host) => None,
    };
    let host = || match (&spec.host, upstream.host()) {
        (Some(host), _) | (None, HostHeader::Fixed(host)) => Some(name_in(host).to_owned()),
        _ => None,
    };
    Some(Security {
        tls: tls.cloned(),
        name: spec.sni.clone().or_else(of_group).or_else(host),
    })
}

fn question(spec: &HealthSpec) -> Option<Question> {
    let passing = || vec![StatusRange::one(200), StatusRange::one(302)];
    let statuses = || spec.statuses.clone().unwrap_or_else(passing);
    match (spec.kind.unwrap_or(CheckType::Http), &spec.request) {
        (CheckType::None, _) => None,
        (CheckType::Tcp, _) => Some(Question::Connect),
        (CheckType::Grpc, _) => Some(Question::Grpc {
            service: spec.service.clone().unwrap_or_default(),
            host: spec.host.clone(),
        }),
        (CheckType::Http | CheckType::Https, Some(request)) => Some(Question::Raw {
            request: request.clone(),
            statuses: statuses(),
            body: spec.body.clone(),
        }),
        (CheckType::Http | CheckType::Https, None) => Some(Question::Get {
            path: spec.path.clone().unwrap_or_else(|| "/".to_owned()),
            host: spec.host.clone(),
            statuses: statuses(),
            body: spec.body.clone(),
        }),
    }
}

const INTERVAL: Span = Span::from_secs(2);
const TIMEOUT: Span = Span::from_secs(1);
const FALL: u32 = 3;
const RISE: u32 = 2;
const CONCURRENCY: u32 = 10;
/// A schedule without pauses would be a loop.
const SHORTEST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_set_means_the_documented_defaults() {
        let check = Check::new(&HealthSpec::default()).unwrap();
        let get = Question::Get {
            path: "/".into(),
            host: None,
            statuses: vec![StatusRange::one(200), StatusRange::one(302)],
            body: None,
        };
        assert_eq!(check.question, get);
        assert_eq!(check.interval, Duration::from_secs(2));
        assert_eq!(check.interval_down, Duration::from_secs(2));
        assert_eq!(check.timeout, Duration::from_secs(1));
        assert_eq!((check.fall, check.rise), (3, 2));
        assert_eq!((check.concurrency, check.port), (10, None));
    }

    #[test]
    fn a_raw_request_takes_the_place_of_the_path() {
        let spec = HealthSpec {
            request: Some("GET /ok HTTP/1.0\r\n\r\n".into()),
            path: Some("/ignored".into()),
            ..HealthSpec::default()
        };
        let question = Check::new(&spec).unwrap().question;
        assert!(
            matches!(question, Question::Raw { request, .. } if request == "GET /ok HTTP/1.0\r\n\r\n")
        );
    }

    #[test]
    fn type_none_means_no_checks() {
        let spec = HealthSpec {
            kind: Some(CheckType::None),
            ..HealthSpec::default()
        };
        assert_eq!(Check::new(&spec), None);
    }

    #[test]
    fn neither_a_loop_nor_a_probe_without_end_can_be_asked_for() {
        let spec = HealthSpec {
            interval: Some(Span::from_millis(0)),
            timeout: Some(Span::from_millis(0)),
            ..HealthSpec::default()
        };
        let check = Check::new(&spec).unwrap();
        assert_eq!(check.interval, Duration::from_millis(10));
        assert_eq!(check.timeout, check.interval);
    }
}
