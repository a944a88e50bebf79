//! What one line of the access log costs the thread that handles the request.
//!
//! The loop is faster than any disk, so the lines dropped are printed with each figure: it is the cost of formatting and
//! queueing, not of writing.

#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot start may stop with a panic"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pointsman::ports::access_log::{
    AccessLog, AccessLogSettings, Attempt, LogFormat, LogTarget, Record,
};
use pointsman::ports::telemetry::Metrics;

fn log(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let mut group = c.benchmark_group("access_log");
    group.throughput(Throughput::Elements(1));
    // Short, because the file grows by half a gigabyte a second.
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));
    for (name, format, path) in [
        ("json to /dev/null", LogFormat::Json, "/dev/null".into()),
        (
            "combined to /dev/null",
            LogFormat::Combined,
            "/dev/null".into(),
        ),
        (
            "json to a file",
            LogFormat::Json,
            dir.path().join("access.log"),
        ),
    ] {
        let metrics = Metrics::new();
        let settings = AccessLogSettings {
            target: LogTarget::File(path),
            format,
        };
        let (log, guard) = AccessLog::open(&settings, &metrics).unwrap();
        let (mut lines, mut unix_ms) = (0_u64, 1_795_188_802_000);
        group.bench_function(name, |b| {
            b.iter(|| {
                lines += 1;
                // As at 100,000 requests a second.
                unix_ms += u64::from(lines.is_multiple_of(100));
                log.log(black_box(&record(unix_ms)));
            });
        });
        drop(guard);
        // Dropping is cheaper than writing: a figure with many dropped lines would flatter.
        println!(
            "{name}: {} of {lines} lines dropped",
            metrics.access_log_dropped_total()
        );
    }
    let metrics = Metrics::new();
    group.bench_function("metrics of one request", |b| {
        b.iter(|| metrics.request_ended(black_box(200), black_box(Duration::from_micros(740))));
    });
    group.finish();
}

fn record(unix_ms: u64) -> Record<'static> {
    const ATTEMPTS: [Attempt<'_>; 1] = [Attempt {
        server: "10.0.0.5:8080",
        status: Some(200),
        failure: None,
        duration: Duration::from_micros(640),
    }];
    Record {
        unix_ms,
        client: Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77))),
        listener: "0.0.0.0:8080",
        scheme: "http",
        request_id: "0192f3a4c5d67e8f9a0b1c2d3e4f5061",
        method: "GET",
        target: b"/products/1234?color=blue&size=large&page=2",
        version: http::Version::HTTP_11,
        host: b"www.example.org",
        status: 200,
        body_bytes: 18_342,
        duration: Duration::from_micros(740),
        waited: None,
        referer: Some(b"https://www.example.org/products?color=blue"),
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"),
        x_forwarded_for: Some(b"198.51.100.9"),
        route: Some("default"),
        upstream: Some("web"),
        revision: 1_024,
        reason: None,
        attempts: &ATTEMPTS,
    }
}

criterion_group!(benches, log);
criterion_main!(benches);
