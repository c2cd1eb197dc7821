//! Collectors that are away, refuse, hang or speak TLS: requests never notice, what is lost is counted and told once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use super::{CALLER, CALLERS_TRACE, traced};
use crate::support::certificates::Authority;
use crate::support::collector::{Collector, Mood};
use crate::support::gateway::{Gateway, Setup, free_port};
use crate::support::policy::Policy;
use crate::support::poll::until;

async fn dropped(gateway: &Gateway, reason: &str) -> u64 {
    gateway.metrics().await.count("tidegate_spans_dropped_total", &[("reason", reason)])
}

/// Waits until so many spans and no fewer are counted as dropped.
async fn drops(gateway: &Gateway, reason: &str, least: u64) {
    until(&format!("{least} spans dropped: {reason}"), PATIENCE, async || {
        (dropped(gateway, reason).await >= least).then_some(())
    })
    .await;
}

fn told(gateway: &Gateway, words: &str) -> usize {
    gateway.log().lines().filter(|line| line.contains(words)).count()
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_no_request_and_is_told_of_once() {
    let port = free_port();
    let setup = Setup::with(&Policy::calm());
    let gateway = setup.set("telemetry.otlp_endpoint", &format!("http://127.0.0.1:{port}")).start().await;
    for _ in 0..2 {
        let before = dropped(&gateway, "not_sent").await;
        gateway.post("{}", &[]).await.receipt();
        drops(&gateway, "not_sent", before + 3).await;
    }
    assert_eq!(told(&gateway, "does not take what it is sent"), 1, "{}", gateway.log());
    assert!(gateway.log().contains("refused"), "the reason is told: {}", gateway.log());
    assert_eq!(dropped(&gateway, "not_sent").await, 6, "a request, a decision and a storing of each");

    let collector = Collector::at(port).await;
    gateway.post("{}", &[]).await.receipt();
    collector.one("POST /v1/jobs").await;
    until("it is told of", PATIENCE, async || (told(&gateway, "takes spans again") == 1).then_some(())).await;
    assert_eq!(dropped(&gateway, "not_sent").await, 6);
    gateway.finish().await;
}

#[tokio::test]
async fn a_collector_that_refuses_is_told_of_with_its_status() {
    let collector = Collector::start().await;
    collector.mood(Mood::Refuses);
    let gateway = traced(Setup::with(&Policy::calm()), &collector).start().await;
    gateway.post("{}", &[]).await.receipt();
    drops(&gateway, "not_sent", 3).await;
    assert!(gateway.log().contains("400"), "{}", gateway.log());
    assert_eq!(collector.posts(), 1, "what is wrong is not sent again");
    collector.mood(Mood::Takes);
    gateway.post("{}", &[]).await.receipt();
    collector.one("POST /v1/jobs").await;
    gateway.finish().await;
}

#[tokio::test]
async fn who_answers_with_a_page_is_no_collector() {
    let collector = Collector::start().await;
    collector.mood(Mood::IsAWebsite);
    let gateway = traced(Setup::with(&Policy::calm()), &collector).start().await;
    for spans in [3, 6] {
        gateway.post("{}", &[]).await.receipt();
        drops(&gateway, "not_sent", spans).await;
    }
    assert_eq!(dropped(&gateway, "not_sent").await, 6);
    assert_eq!(told(&gateway, "does not take what it is sent"), 1, "{}", gateway.log());
    assert!(gateway.log().contains("it answers 200 with text/html; charset=utf-8"), "{}", gateway.log());
    collector.mood(Mood::Takes);
    gateway.post("{}", &[]).await.receipt();
    collector.one("POST /v1/jobs").await;
    gateway.finish().await;
}

#[tokio::test]
async fn what_a_collector_says_it_did_not_take_is_counted() {
    let collector = Collector::start().await;
    collector.mood(Mood::TakesAllButOne);
    let gateway = traced(Setup::with(&Policy::calm()), &collector).start().await;
    gateway.post("{}", &[]).await.receipt();
    drops(&gateway, "not_sent", 1).await;
    assert_eq!((dropped(&gateway, "not_sent").await, collector.spans().len()), (1, 2));
    assert_eq!(told(&gateway, "one is too many"), 1, "{}", gateway.log());
    gateway.finish().await;
}

#[tokio::test]
async fn a_collector_that_hangs_fills_the_queue_and_holds_nobody_up() {
    let collector = Collector::start().await;
    collector.mood(Mood::Hangs);
    let mut gateway = traced(Setup::with(&Policy::calm()), &collector).start().await;
    gateway.post("{}", &[]).await.receipt();
    until("it hangs", PATIENCE, async || (collector.posts() == 1).then_some(())).await;
    // Each is three spans: more of them than the queue holds.
    let mut slowest = Duration::ZERO;
    let posting = Instant::now();
    while dropped(&gateway, "queue_full").await == 0 {
        assert!(posting.elapsed() < 2 * PATIENCE, "the queue has a bound");
        for _ in 0..500 {
            let asked = Instant::now();
            gateway.post("{}", &[]).await.receipt();
            slowest = slowest.max(asked.elapsed());
        }
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let stopping = Instant::now();
    gateway.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(9), "{:?}", stopping.elapsed());
    assert_eq!(told(&gateway, "did not take the last spans in time"), 1, "{}", gateway.log());
    gateway.restart().await;
    gateway.drain().await;
    gateway.finish().await;
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_gateway_ends() {
    let collector = Collector::start().await;
    let mut gateway = traced(Setup::with(&Policy::calm()), &collector).start().await;
    collector.mood(Mood::IsSlow);
    gateway.post("{}", &[]).await.receipt();
    until("the first spans are posted", PATIENCE, async || (collector.posts() == 1).then_some(())).await;
    gateway.post("{}", &[("traceparent", CALLER)]).await.receipt();
    gateway.stop().await;
    let last = collector.spans().into_iter().filter(|span| span.trace == CALLERS_TRACE);
    let mut names: Vec<_> = last.map(|span| span.name).collect();
    names.sort();
    assert_eq!(names, ["POST /v1/jobs", "decide", "send jobs:standard"]);
    gateway.restart().await;
    gateway.drain().await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_collector_may_speak_tls_with_a_certificate_that_the_machine_trusts() {
    let (authority, other) = (Authority::new("the collectors'"), Authority::new("another"));
    let pair = authority.issue();
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap(),
        )
        .unwrap();
    let collector = Collector::secure(tls).await;
    let trusting = |authority: &Authority| {
        let mut setup = Setup::with(&Policy::calm());
        let roots = setup.write("roots.pem", &authority.pem());
        setup
            .set("telemetry.otlp_endpoint", &collector.secure_url())
            .environment("SSL_CERT_FILE", &roots.display().to_string())
    };
    let gateway = trusting(&authority).start().await;
    gateway.post("{}", &[]).await.receipt();
    collector.one("POST /v1/jobs").await;
    gateway.finish().await;

    let gateway = trusting(&other).start().await;
    gateway.post("{}", &[]).await.receipt();
    drops(&gateway, "not_sent", 3).await;
    assert!(gateway.log().contains("certificate"), "{}", gateway.log());
    gateway.finish().await;
}

#[tokio::test]
async fn off_a_job_carries_what_its_client_said_word_for_word_and_nobody_is_connected_to() {
    let collector = Collector::start().await;
    let gateway = Setup::with(&Policy::calm())
        .environment("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
        .environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &collector.url())
        .start()
        .await;
    for context in [CALLER, "cc-nonsense", "00-1-2-01"] {
        gateway.post("{}", &[("traceparent", context), ("tracestate", "A =,,")]).await.receipt();
        let job = gateway.lease(json!({})).await.remove(0);
        assert_eq!((&*job.headers["traceparent"], &*job.headers["tracestate"]), (context, "A =,,"));
        gateway.ack(&[job]).await;
    }
    gateway.post("{}", &[]).await.receipt();
    let job = gateway.lease(json!({})).await.remove(0);
    assert!(job.headers.is_empty(), "{job:?}");
    assert_eq!((collector.connections(), told(&gateway, "collector")), (0, 0));
    gateway.finish().await;
}

const PATIENCE: Duration = Duration::from_secs(30);
