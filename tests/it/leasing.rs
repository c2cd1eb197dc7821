//! Workers: leases, their ends, and the order in which jobs are handed out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::{Leased, NDJSON, type_of};
use crate::support::policy::Policy;
use crate::support::poll::until;

#[tokio::test]
async fn tiers_share_the_workers_by_weight_and_leave_nothing_idle() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    for tier in ["p0", "p1", "p2"] {
        fill(&gateway, tier, 400).await;
    }
    let mut handed_out = BTreeMap::new();
    for _ in 0..4 {
        let jobs = gateway.lease(json!({ "max": 100 })).await;
        assert_eq!(jobs.len(), 100);
        for job in &jobs {
            *handed_out.entry(job.tier.clone()).or_insert(0_i32) += 1;
        }
        gateway.ack(&jobs).await;
    }
    for (tier, share) in [("p0", 240), ("p1", 120), ("p2", 40)] {
        assert!((handed_out[tier] - share).abs() <= 4, "60/30/10 of 400 became {handed_out:?}");
    }

    // 160 critical jobs are left; asked for more, the others fill the worker's hands.
    let jobs = gateway.lease(json!({ "max": 400 })).await;
    assert_eq!(jobs.len(), 400, "work waits, so hands are filled");
    gateway.ack(&jobs).await;
    let jobs = gateway.lease(json!({ "max": 50, "tiers": ["p2"] })).await;
    assert!(jobs.len() == 50 && jobs.iter().all(|job| job.tier == "p2"), "only the tiers asked for");
    gateway.ack(&jobs).await;
    gateway.drain().await;
    gateway.finish().await;
}

#[tokio::test]
async fn no_job_is_handed_to_two_workers() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    fill(&gateway, "p1", 300).await;
    let worker = async || {
        let mut mine = Vec::new();
        loop {
            let jobs = gateway.lease(json!({ "max": 7 })).await;
            if jobs.is_empty() {
                return mine;
            }
            mine.extend(jobs.into_iter().map(|job| job.id));
        }
    };
    let (a, b, c, d) = tokio::join!(worker(), worker(), worker(), worker());
    let all: Vec<String> = [a, b, c, d].concat();
    assert_eq!(all.len(), 300);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 300);
    gateway.finish().await;
}

#[tokio::test]
async fn a_long_poll_wakes_when_a_job_arrives_and_ends_when_none_does() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let started = Instant::now();
    assert_eq!(gateway.lease(json!({ "wait_seconds": 1 })).await, []);
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(950) && waited < Duration::from_secs(6), "waited {waited:?}");

    let started = Instant::now();
    let request = json!({ "wait_seconds": 30 });
    let (jobs, _) = tokio::join!(gateway.lease(request), gateway.accept("p2", "wake up"));
    assert_eq!(jobs[0].text(), "wake up");
    assert!(started.elapsed() < Duration::from_secs(10), "woke after {:?}", started.elapsed());
    gateway.ack(&jobs).await;
    gateway.finish().await;
}

#[tokio::test]
async fn an_expired_lease_is_a_failed_attempt() {
    let gateway = Setup::with(&quick_retries()).start().await;
    let receipt = gateway.accept("p1", "{}").await;
    let first = gateway.lease(json!({ "lease_seconds": 1 })).await;
    let second = gateway.lease(json!({ "wait_seconds": 20 })).await;
    assert_eq!((second[0].id.as_str(), second[0].attempt), (receipt.id.as_str(), 2));
    assert_ne!(second[0].lease, first[0].lease);
    assert_eq!(gateway.ack(&first).await, ["unknown"], "the first worker has lost it");
    assert_eq!(gateway.ack(&second).await, ["ok"]);
    gateway.finish().await;
}

#[tokio::test]
async fn an_extended_lease_stays_with_its_worker() {
    let gateway = Setup::with(&quick_retries()).start().await;
    gateway.accept("p1", "{}").await;
    let jobs = gateway.lease(json!({ "lease_seconds": 1 })).await;
    let extend = json!({ "leases": [jobs[0].lease, "0".repeat(32), "nonsense"], "lease_seconds": 60 });
    assert_eq!(gateway.settle("extend", extend).await, ["ok", "unknown", "unknown"]);
    assert_eq!(gateway.lease(json!({ "wait_seconds": 2 })).await, [], "nobody else gets it");
    assert_eq!(gateway.ack(&jobs).await, ["ok"]);
    gateway.finish().await;
}

#[tokio::test]
async fn a_refused_job_returns_after_the_delay_asked_for_or_the_backoff() {
    let policy = Policy::calm().every_tier("retry", "{ attempts: 5, backoff: 400ms, max_backoff: 600ms }");
    let gateway = Setup::with(&policy).start().await;
    gateway.accept("p0", "{}").await;
    let mut jobs = gateway.lease(json!({})).await;
    // Asked for; then the policy's backoff, which has grown to its bound by the third failure.
    for (asked, least) in [(json!(1), 1000), (Value::Null, 400), (Value::Null, 600)] {
        let attempt = jobs[0].attempt;
        let mut nack = json!({ "leases": [jobs[0].lease], "reason": "not now" });
        if !asked.is_null() {
            nack["delay_seconds"] = asked;
        }
        assert_eq!(gateway.settle("nack", nack).await, ["ok"]);
        let refused = Instant::now();
        jobs = gateway.lease(json!({ "wait_seconds": 20 })).await;
        let away = refused.elapsed();
        assert_eq!(jobs[0].attempt, attempt + 1);
        let least = Duration::from_millis(least - 50);
        assert!(away >= least && away < least + Duration::from_secs(8), "away for {away:?}, not {least:?}");
    }
    gateway.ack(&jobs).await;
    gateway.finish().await;
}

#[tokio::test]
async fn blocked_ordering_hands_out_one_job_of_a_key_at_a_time() {
    let gateway = Setup::with(&quick_retries().tier("p1", "ordering", "block")).start().await;
    for (payload, key) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("free", "")] {
        let keyed = [("tidegate-ordering-key", key)];
        let headers = if key.is_empty() { &[][..] } else { &keyed[..] };
        gateway.post(payload, headers).await.receipt();
    }
    let first = gateway.lease(json!({})).await;
    assert_eq!(texts(&first), ["a1", "b1", "free"]);
    assert_eq!(gateway.lease(json!({})).await, [], "a waits for a1");
    assert_eq!(gateway.ack(&first[..1]).await, ["ok"]);

    // a2 fails: a3 waits for its retry.
    let second = gateway.lease(json!({ "wait_seconds": 5 })).await;
    assert_eq!(texts(&second), ["a2"]);
    gateway.settle("nack", json!({ "leases": [second[0].lease], "delay_seconds": 1 })).await;
    let third = gateway.lease(json!({ "wait_seconds": 20 })).await;
    assert_eq!((texts(&third), third[0].attempt), (vec!["a2"], 2));

    // a2 dies: a3's turn has come.
    gateway.settle("nack", json!({ "leases": [third[0].lease], "dead": true })).await;
    let fourth = gateway.lease(json!({ "wait_seconds": 20 })).await;
    assert_eq!(texts(&fourth), ["a3"]);
    gateway.ack(&[&first[1..], &fourth[..]].concat()).await;
    gateway.finish().await;
}

#[tokio::test]
async fn passing_ordering_does_not_wait_for_a_retry() {
    let gateway = Setup::with(&quick_retries()).start().await;
    for payload in ["a1", "a2", "a3"] {
        gateway.post(payload, &[("tidegate-ordering-key", "a")]).await.receipt();
    }
    let first = gateway.lease(json!({ "max": 1 })).await;
    gateway.settle("nack", json!({ "leases": [first[0].lease], "delay_seconds": 2 })).await;
    let rest = gateway.lease(json!({})).await;
    assert_eq!(texts(&rest), ["a2", "a3"], "in order of acceptance, a1 comes later");
    gateway.ack(&rest).await;
    let late = gateway.lease(json!({ "wait_seconds": 20 })).await;
    assert_eq!(texts(&late), ["a1"]);
    gateway.ack(&late).await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_job_past_its_expiry_is_counted_and_not_delivered() {
    let gateway = Setup::with(&Policy::calm().tier("p2", "expires_in", "300ms")).start().await;
    gateway.post("old", &[("tidegate-expires-in", "0.3")]).await.receipt();
    gateway.post("young", &[("tidegate-expires-in", "3600.5")]).await.receipt();
    gateway.accept("p2", "old by its tier's rule").await;
    // Time itself is what the test is about.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let jobs = gateway.lease(json!({})).await;
    assert_eq!(texts(&jobs), ["young"]);
    gateway.ack(&jobs).await;
    until("both are counted", Duration::from_secs(10), async || {
        let scrape = gateway.metrics().await;
        let expired = |tier| scrape.count("tidegate_expired_jobs_total", &[("tier", tier)]);
        (expired("p1") == 1 && expired("p2") == 1 && gateway.depth(None).await == 0).then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test]
async fn payloads_that_are_no_text_travel_as_base64() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let cases: [(&[u8], Option<&str>, Option<&str>); 5] = [
        (&[0xff, 0x00, 0x80], None, Some("/wCA")),
        (&[0xc3], None, Some("ww==")),
        ("héllo \u{1f30a}\u{0}".as_bytes(), Some("héllo \u{1f30a}\u{0}"), None),
        (b"{\"a\": 1}", Some("{\"a\": 1}"), None),
        (b"", Some(""), None),
    ];
    for (payload, body, base64) in cases {
        let answer = gateway.ingest.post("/v1/jobs").body(payload.to_vec()).send().await;
        gateway.tally.job(answer.status);
        answer.receipt();
        let jobs = gateway.lease(json!({})).await;
        assert_eq!((jobs[0].body.as_deref(), jobs[0].body_base64.as_deref()), (body, base64), "{payload:?}");
        gateway.ack(&jobs).await;
    }
    gateway.finish().await;
}

#[tokio::test]
async fn leased_jobs_come_back_after_a_crash() {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    let receipt = gateway.accept("p1", "{}").await;
    let before = gateway.lease(json!({ "lease_seconds": 3600 })).await;
    gateway.kill();
    gateway.restart().await;
    let after = gateway.lease(json!({ "wait_seconds": 10 })).await;
    assert_eq!(after[0].id, receipt.id);
    assert_ne!(after[0].lease, before[0].lease, "no lease is used twice, also across restarts");
    assert_eq!(gateway.ack(&before).await, ["unknown"]);
    assert_eq!(gateway.ack(&after).await, ["ok"]);
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.count("tidegate_jobs_recovered_total", &[("tier", "p1")]), 1);
    gateway.finish().await;
}

fn quick_retries() -> Policy {
    Policy::calm().every_tier("retry", "{ attempts: 3, backoff: 50ms, max_backoff: 100ms }")
}

fn texts(jobs: &[Leased]) -> Vec<&str> {
    jobs.iter().map(Leased::text).collect()
}

async fn fill(gateway: &Gateway, tier: &str, count: usize) {
    let line = json!({ "type": type_of(tier) }).to_string() + "\n";
    let answer = gateway.batch(NDJSON, line.repeat(count), &[]).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}
