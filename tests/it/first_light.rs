//! The first session with a gateway: post, look, lease, ack, nothing but defaults.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::answer::assert_time;
use crate::support::gateway::{Gateway, Setup};
use crate::support::poll::until;

#[tokio::test]
async fn without_any_file_jobs_of_every_tier_are_taken_handed_out_and_done() {
    let gateway = Setup::bare().start().await;
    let posts = [
        ("payment", "p0", "jobs:critical", r#"{"order":1}"#),
        ("signup", "p1", "jobs:standard", r#"{"order":2}"#),
        ("analytics", "p2", "jobs:bulk", "not JSON, and that is fine"),
    ];
    for (job_type, tier, queue, payload) in posts {
        let headers =
            [("tidegate-type", job_type), ("content-type", "text/x-test"), ("tidegate-ordering-key", "k1")];
        let receipt = gateway.post(payload, &headers).await.receipt();
        assert_eq!((receipt.tier.as_str(), receipt.queue.as_str()), (tier, queue));
        assert_eq!((receipt.durability.as_str(), receipt.depth, receipt.duplicate), ("disk", 1, false));
    }
    shows(&gateway, [1, 1, 1], "depth").await;

    let before = SystemTime::now();
    let jobs = gateway.lease(json!({ "max": 10, "lease_seconds": 30, "worker": "w-7" })).await;
    assert_eq!(jobs.len(), 3, "{jobs:?}");
    for (job_type, tier, _, payload) in posts {
        let job =
            jobs.iter().find(|job| job.tier == tier).unwrap_or_else(|| panic!("no {job_type}: {jobs:?}"));
        assert_eq!((job.text(), job.attempt), (payload, 1));
        assert_eq!((&job.content_type, &job.ordering_key), (&json!("text/x-test"), &json!("k1")));
        let age = before.duration_since(assert_time(&job.accepted_at)).unwrap_or_default();
        assert!(age < Duration::from_secs(60), "accepted {age:?} ago");
    }
    assert_eq!(gateway.ack(&jobs).await, ["ok", "ok", "ok"]);
    assert_eq!(gateway.ack(&jobs).await, ["unknown", "unknown", "unknown"]);
    shows(&gateway, [0, 0, 0], "depth").await;

    let scrape = gateway.metrics().await;
    for tier in ["p0", "p1", "p2"] {
        assert_eq!(scrape.count("tidegate_jobs_admitted_total", &[("tier", tier)]), 1);
        assert_eq!(scrape.count("tidegate_jobs_done_total", &[("tier", tier)]), 1);
        let requests =
            scrape.observations("tidegate_request_duration_seconds", &[("tier", tier), ("status", "202")]);
        assert_eq!(requests, 1.0);
        assert!(scrape.observations("tidegate_store_duration_seconds", &[("tier", tier)]) >= 1.0);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn the_body_names_the_type_where_no_header_does() {
    let gateway = Setup::bare().start().await;
    assert_eq!(gateway.post(r#"{"type":"payment"}"#, &[]).await.receipt().tier, "p0");
    assert_eq!(gateway.post(r#"{"type":"digest"}"#, &[]).await.receipt().tier, "p2");
    assert_eq!(
        gateway.post(r#"{"type":"digest""#, &[]).await.receipt().tier,
        "p1",
        "broken JSON matches no body rule"
    );
    assert_eq!(gateway.post("", &[]).await.receipt().tier, "p1", "an empty payload is a payload");
    gateway.finish().await;
}

#[tokio::test]
async fn the_trace_travels_to_the_worker() {
    let gateway = Setup::bare().start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sent =
        [("traceparent", trace), ("tracestate", "a=1"), ("x-other", "stays here"), ("cookie", "secret")];
    gateway.post("{}", &sent).await.receipt();
    let jobs = gateway.lease(json!({})).await;
    let carried: Vec<_> =
        jobs[0].headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(carried, [("traceparent", trace), ("tracestate", "a=1")]);
    assert_eq!(gateway.ack(&jobs).await, ["ok"]);
    gateway.finish().await;
}

#[tokio::test]
async fn both_listeners_say_that_they_live_and_are_ready() {
    let gateway = Setup::bare().start().await;
    for client in [&gateway.ingest, &gateway.admin] {
        for path in ["/healthz", "/readyz"] {
            assert_eq!(client.get(path).send().await.status, 200, "{path}");
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn every_metric_family_is_there_before_the_first_job() {
    let gateway = Setup::bare().start().await;
    let scrape = gateway.metrics().await;
    let faults: Vec<String> = FAMILIES
        .iter()
        .filter_map(|(family, kind)| match scrape.has(family) {
            false => Some(format!("{family} is missing")),
            true if scrape.kind(family) != *kind => Some(format!("{family} is a {}", scrape.kind(family))),
            true => None,
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for tier in ["p0", "p1", "p2"] {
        assert!(scrape.sum("tidegate_target_depth", &[("tier", tier)]) > 0.0, "{tier} has no target");
    }
    assert_eq!(scrape.sum("tidegate_build_info", &[]), 1.0);
    assert_eq!(scrape.sum("tidegate_policy_revision_info", &[]), 1.0);
    gateway.finish().await;
}

#[tokio::test]
async fn classic_metric_names_say_the_same_and_can_be_switched_off() {
    let gateway = Setup::bare().start().await;
    gateway.accept("p2", "{}").await;
    until("the classic name follows", Duration::from_secs(5), async || {
        let scrape = gateway.metrics().await;
        let labels = [("queue_name", "jobs:bulk"), ("priority", "P2")];
        (scrape.count("queue_depth_total", &labels) == 1).then_some(())
    })
    .await;
    gateway.finish().await;

    let gateway = Setup::bare().set("telemetry.classic_metric_names", "false").start().await;
    let scrape = gateway.metrics().await;
    for family in ["queue_depth_total", "consumer_lag_seconds", "message_age_p99_seconds", "shed_count"] {
        assert!(!scrape.has(family), "{family} is still there");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn the_policy_in_force_can_be_read() {
    let gateway = Setup::bare().start().await;
    let answer = gateway.admin.get("/v1/policy").send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = answer.text();
    let scrape = gateway.metrics().await;
    let revisions = scrape.label_values("revision");
    assert!(revisions.iter().any(|revision| text.contains(revision)), "{revisions:?} is not in {text}");
    gateway.finish().await;
}

/// Waits until status and metrics both show these figures per tier.
async fn shows(gateway: &Gateway, expected: [u64; 3], member: &str) {
    let expected = expected.map(Value::from);
    until("status and metrics show the depth", Duration::from_secs(5), async || {
        let status = gateway.status().await;
        let scrape = gateway.metrics().await;
        let tiers = ["p0", "p1", "p2"];
        let of_status = tiers.map(|tier| status["tiers"][tier][member].clone());
        let of_metrics =
            tiers.map(|tier| Value::from(scrape.count("tidegate_queue_depth", &[("tier", tier)])));
        (of_status == expected && of_metrics == expected).then_some(())
    })
    .await;
}

/// Every family and its kind.
const FAMILIES: &[(&str, &str)] = &[
    ("tidegate_jobs_received_total", "counter"),
    ("tidegate_jobs_invalid_total", "counter"),
    ("tidegate_jobs_duplicate_total", "counter"),
    ("tidegate_jobs_waiting", "gauge"),
    ("tidegate_jobs_leased", "gauge"),
    ("tidegate_jobs_done_total", "counter"),
    ("tidegate_jobs_admitted_total", "counter"),
    ("tidegate_jobs_refused_total", "counter"),
    ("tidegate_jobs_recovered_total", "counter"),
    ("tidegate_jobs_stored_late_total", "counter"),
    ("tidegate_dead_letters_purged_total", "counter"),
    ("tidegate_queue_depth", "gauge"),
    ("tidegate_queue_oldest_age_seconds", "gauge"),
    ("tidegate_signal_age_seconds", "gauge"),
    ("tidegate_drain_rate", "gauge"),
    ("tidegate_admission_rate", "gauge"),
    ("tidegate_pressure", "gauge"),
    ("tidegate_target_depth", "gauge"),
    ("tidegate_request_duration_seconds", "histogram"),
    ("tidegate_decision_duration_seconds", "histogram"),
    ("tidegate_store_duration_seconds", "histogram"),
    ("tidegate_retry_after_seconds", "histogram"),
    ("tidegate_dead_letters", "gauge"),
    ("tidegate_expired_jobs_total", "counter"),
    ("tidegate_spool_depth", "gauge"),
    ("tidegate_lost_unread_total", "counter"),
    ("tidegate_retention_headroom_seconds", "gauge"),
    ("tidegate_policy_reloads_total", "counter"),
    ("tidegate_policy_revision_info", "gauge"),
    ("tidegate_build_info", "gauge"),
    ("queue_depth_total", "gauge"),
    ("consumer_lag_seconds", "gauge"),
    ("message_age_p99_seconds", "gauge"),
    ("shed_count", "counter"),
];
