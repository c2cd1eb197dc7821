//! The gate's answers: which tier a job has, and what a tier that is not open says.

use std::time::Duration;

use serde_json::json;

use crate::support::answer::{Answer, Problem};
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::{NDJSON, type_of};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::raw::Raw;

#[tokio::test]
async fn beyond_its_target_a_tier_is_throttled_and_told_when_to_return() {
    let policy = Policy::calm().tier("p1", "target", "{ depth: 20 }").tier(
        "p1",
        "retry_after",
        "{ min: 2s, max: 5s }",
    );
    let gateway = Setup::with(&policy).start().await;
    let mut admitted = 0;
    let mut refused = 0;
    for _ in 0..150 {
        let answer = offer(&gateway, "p1").await;
        if answer.status == 202 {
            admitted += 1;
            assert!(answer.receipt().depth <= 21, "{answer:?}");
            continue;
        }
        refused += 1;
        let problem = answer.problem(429, "throttled");
        assert_eq!((problem.tier.as_deref(), problem.outcome.as_str()), (Some("p1"), "not_stored"));
        let after = problem.retry_after.unwrap();
        assert!((Duration::from_secs(2)..=Duration::from_secs(5)).contains(&after), "return in {after:?}");
    }
    assert!((1..=21).contains(&admitted) && refused >= 100, "{admitted} admitted, {refused} refused");
    assert_eq!(offer(&gateway, "p0").await.status, 202, "the others do not notice");
    assert_eq!(offer(&gateway, "p2").await.status, 202);
    let scrape = gateway.metrics().await;
    let labels = [("tier", "p1"), ("code", "throttled")];
    assert_eq!(scrape.count("tidegate_jobs_refused_total", &labels), refused);
    assert_eq!(scrape.observations("tidegate_retry_after_seconds", &[("tier", "p1")]), refused as f64);
    let status = gateway.status().await["tiers"]["p1"].take();
    assert_eq!(
        (&status["admitted"], &status["throttled"], &status["shed"]),
        (&json!(admitted), &json!(refused), &json!(0))
    );
    assert_eq!(status["latency_seconds"]["count"], admitted + refused, "{status}");
    gateway.finish().await;
}

#[tokio::test]
async fn room_that_workers_make_is_given_away_again() {
    let gateway = Setup::with(&Policy::calm().tier("p1", "target", "{ depth: 10 }")).start().await;
    until("the tier is throttled", PATIENCE, async || {
        (offer(&gateway, "p1").await.status == 429).then_some(())
    })
    .await;
    assert!(!gateway.drain().await.is_empty());
    until("the tier takes jobs again", PATIENCE, async || {
        (offer(&gateway, "p1").await.status == 202).then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test]
async fn receipts_say_what_is_left_of_the_allowance() {
    let policy = Policy::calm().tier("p1", "rate", "{ min: 1/s, max: 5/s, burst: 1s }");
    let gateway = Setup::with(&policy).start().await;
    let limit = offer(&gateway, "p1").await.rate_limit();
    assert_eq!(limit.quota, 50, "ten seconds of at most 5/s: {limit:?}");
    assert!(limit.remaining <= 5, "{limit:?}");
    let last = until("the rate is used up", PATIENCE, async || {
        let answer = offer(&gateway, "p1").await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    last.problem(429, "throttled");
    gateway.finish().await;
}

#[tokio::test]
async fn a_tier_above_its_threshold_is_shed_until_it_is_below_the_lower_one() {
    let mut gateway = filled("p2", 60).await;
    let shed =
        Policy::calm().tier("p2", "target", "{ depth: 40 }").tier("p2", "shed", "{ at: 50, until: 30 }");
    gateway.change_policy(&shed);
    gateway.restart().await;
    assert_shed(&offer(&gateway, "p2").await, 429);

    // 25 are done: 35 is below `at` and not below `until`.
    finish_jobs(&gateway, 25).await;
    until("the depth is read", PATIENCE, async || (depth_shown(&gateway, "p2").await == 35).then_some(()))
        .await;
    assert_shed(&offer(&gateway, "p2").await, 429);
    finish_jobs(&gateway, 10).await;
    until("the tier is taken again", PATIENCE, async || {
        (offer(&gateway, "p2").await.status == 202).then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_policy_may_have_a_shed_tier_say_503() {
    let mut gateway = filled("p2", 30).await;
    let target = Policy::calm().tier("p2", "target", "{ depth: 10 }");
    gateway.change_policy(&target.tier("p2", "shed", "{ at: 20, until: 10, status: 503 }"));
    gateway.restart().await;
    assert_shed(&offer(&gateway, "p2").await, 503);
    gateway.finish().await;
}

#[tokio::test]
async fn a_tier_at_its_bound_is_full_and_the_tier_that_yields_is_shed() {
    let mut gateway = filled("p1", 40).await;
    let bounded = Policy::calm().tier("p1", "target", "{ depth: 30 }").tier("p1", "max_depth", "40");
    gateway.change_policy(&bounded.tier("p2", "yields", "true"));
    gateway.restart().await;
    let problem = refused(&gateway, "p1", "queue_full").await;
    assert_eq!((problem.status, problem.tier.as_deref()), (429, Some("p1")));
    let problem = refused(&gateway, "p2", "shed").await;
    assert_eq!((problem.status, problem.tier.as_deref()), (429, Some("p2")));
    for _ in 0..20 {
        assert_eq!(offer(&gateway, "p0").await.status, 202, "critical work is never shed");
    }
    gateway.drain().await;
    for tier in ["p1", "p2"] {
        let taken = async || (offer(&gateway, tier).await.status == 202).then_some(());
        until("the tier is taken again", PATIENCE, taken).await;
    }
    gateway.finish().await;
}

#[tokio::test]
async fn critical_work_is_bounded_and_not_shed() {
    let mut gateway = filled("p0", 20).await;
    gateway.change_policy(&Policy::calm().tier("p0", "target", "{ depth: 10 }").tier(
        "p0",
        "max_depth",
        "20",
    ));
    gateway.restart().await;
    refused(&gateway, "p0", "queue_full").await;
    assert_eq!(offer(&gateway, "p2").await.status, 202, "a tier that does not yield goes on");
    gateway.finish().await;
}

#[tokio::test]
async fn a_wish_replaces_the_default_tier_and_no_rule() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let wishes =
        [("order", "p0", "p0"), ("order", "p2", "p2"), ("analytics", "p0", "p2"), ("payment", "p2", "p0")];
    for (job_type, wish, tier) in wishes {
        let answer = gateway.post("{}", &[("tidegate-type", job_type), ("tidegate-tier", wish)]).await;
        assert_eq!(answer.receipt().tier, tier, "type {job_type}, wish {wish}");
    }
    gateway.post("{}", &[("tidegate-tier", "p9")]).await.problem(400, "malformed_request");
    gateway.finish().await;
}

#[tokio::test]
async fn nobody_passes_the_ceiling() {
    let policy = Policy::calm().top("tenants", "{ default: { ceiling: p1, weight: 1 } }");
    let gateway = Setup::with(&policy).start().await;
    let problem = gateway.post("{}", &[("tidegate-tier", "p0")]).await.problem(403, "tier_not_allowed");
    assert_eq!(problem.outcome, "not_stored");
    assert_eq!(gateway.post("{}", &[("tidegate-tier", "p2")]).await.receipt().tier, "p2");
    let answer = gateway.post("{}", &[("tidegate-type", "payment")]).await;
    assert_eq!(answer.receipt().tier, "p1", "a rule's tier is lowered to the ceiling");
    gateway.finish().await;
}

#[tokio::test]
async fn a_shut_tier_refuses_before_it_reads_the_body() {
    let mut gateway = filled("p2", 30).await;
    let shut =
        Policy::calm().tier("p2", "target", "{ depth: 10 }").tier("p2", "shed", "{ at: 20, until: 10 }");
    gateway.change_policy(&shut);
    gateway.restart().await;
    refused(&gateway, "p2", "shed").await;
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut raw = Raw::connect(gateway.ingest.address()).await;
        raw.send(head(&format!("tidegate-type: analytics\r\n{expect}content-length: 100000\r\n"))).await;
        let answer = raw.answer_within(Duration::from_secs(3)).await.expect("a refusal");
        gateway.tally.job(answer.status);
        answer.problem(429, "shed");
    }

    // An open tier asks for the body.
    let mut raw = Raw::connect(gateway.ingest.address()).await;
    raw.send(head("tidegate-type: order\r\nexpect: 100-continue\r\ncontent-length: 2\r\n")).await;
    assert_eq!(raw.answer().await.expect("an answer").status, 100);
    raw.send("{}").await;
    let answer = raw.answer().await.expect("an answer");
    gateway.tally.job(answer.status);
    answer.receipt();
    gateway.finish().await;
}

#[tokio::test]
async fn a_policy_with_rules_on_the_head_is_followed() {
    let rules = r#"[ { name: vip, when: { header: { x-plan: { prefix: gold } } }, tier: p0 },
        { name: nightly, when: { query: { mode: [night, idle] } }, tier: p2 },
        { name: huge, when: { content_length: { at_least: 1000 } }, tier: p2 },
        { name: nested, when: { body: { /meta/kind: { regex: "^urgent-[0-9]+$" } } }, tier: p0 } ]"#;
    let gateway = Setup::with(&Policy::calm().top("rules", rules)).start().await;
    let tier = async |path: &str, headers: &[(&str, &str)], body: &str| {
        let mut ask = gateway.ingest.post(path).body(body.to_owned());
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        let answer = ask.send().await;
        gateway.tally.job(answer.status);
        answer.receipt().tier
    };
    assert_eq!(tier("/v1/jobs", &[("x-plan", "gold-2")], "{}").await, "p0");
    assert_eq!(tier("/v1/jobs", &[("x-plan", "silver")], "{}").await, "p1");
    assert_eq!(tier("/v1/jobs?mode=night", &[], "{}").await, "p2");
    assert_eq!(tier("/v1/jobs?mode=day", &[], "{}").await, "p1");
    assert_eq!(tier("/v1/jobs", &[], &"x".repeat(1000)).await, "p2");
    assert_eq!(tier("/v1/jobs", &[], &json!({"meta": {"kind": "urgent-7"}}).to_string()).await, "p0");
    assert_eq!(tier("/v1/jobs", &[], &json!({"meta": {"kind": "urgent"}}).to_string()).await, "p1");
    gateway.finish().await;
}

/// A stopped gateway whose queue holds this many jobs of a tier.
async fn filled(tier: &str, count: usize) -> Gateway {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    let line = json!({ "type": type_of(tier) }).to_string() + "\n";
    let answer = gateway.batch(NDJSON, line.repeat(count), &[]).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    gateway.kill();
    gateway
}

async fn offer(gateway: &Gateway, tier: &str) -> Answer {
    gateway.post("{}", &[("tidegate-type", type_of(tier))]).await
}

async fn refused(gateway: &Gateway, tier: &str, code: &str) -> Problem {
    offer(gateway, tier).await.problem(429, code)
}

#[track_caller]
fn assert_shed(answer: &Answer, status: u16) {
    let problem = answer.problem(status, "shed");
    assert_eq!((problem.tier.as_deref(), problem.outcome.as_str()), (Some("p2"), "not_stored"));
}

async fn finish_jobs(gateway: &Gateway, count: usize) {
    let jobs = gateway.lease(json!({ "max": count })).await;
    assert_eq!(jobs.len(), count);
    assert!(gateway.ack(&jobs).await.iter().all(|status| status == "ok"));
}

async fn depth_shown(gateway: &Gateway, tier: &str) -> u64 {
    gateway.metrics().await.count("tidegate_queue_depth", &[("tier", tier)])
}

fn head(fields: &str) -> String {
    format!("POST /v1/jobs HTTP/1.1\r\nhost: tidegate\r\n{fields}\r\n")
}

const PATIENCE: Duration = Duration::from_secs(20);
