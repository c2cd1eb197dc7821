//! The operators' routes, on the real embedded queue.

use serde_json::{Value, json};

use crate::domain::tier::Tier;
use crate::queue::embedded::lease::Nack;
use crate::runtime::lifecycle::Phase;
use crate::server::testing::{Desk, send};

/// Posts a job and has it declared dead; its id.
async fn bury(desk: &Desk, job_type: &str) -> String {
    desk.post("/v1/jobs", &[("tidegate-type", job_type)], "{}").await;
    let lease = desk.leased().await.remove(0);
    let nack = Nack { dead: true, reason: Some("hopeless".to_owned()), ..Nack::default() };
    desk.gateway.leases.as_ref().unwrap().nack(vec![lease.token], nack).await.unwrap();
    lease.job.id.to_string()
}

async fn results(desk: &Desk, act: &str, selection: Value) -> Value {
    let answer = desk.admin("POST", &format!("/v1/dead-letters/{act}"), &selection.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["results"].clone()
}

#[tokio::test]
async fn status_policy_and_metrics_are_shown() {
    let desk = Desk::usual();
    desk.post("/v1/jobs", &[("tidegate-type", "payment")], "{}").await;
    desk.sees_depth(Tier::P0, 7);
    let status = desk.admin("GET", "/v1/status", "").await.json();
    assert_eq!((&status["phase"], &status["backend"]), (&json!("running"), &json!("embedded")));
    let p0 = &status["tiers"]["p0"];
    assert_eq!((&p0["depth"], &p0["admitted"], &p0["signal"]), (&json!(7), &json!(1), &json!("fresh")));
    assert_eq!(p0["latency_seconds"]["count"], 1);
    assert_eq!(p0["jobs"]["stored"], 1);
    let policy = desk.admin("GET", "/v1/policy", "").await.json();
    assert_eq!(policy["revision"], status["policy_revision"]);
    assert!(policy["document"].as_str().unwrap().contains("jobs:critical"));
    let metrics = desk.admin("GET", "/metrics", "").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert!(metrics.text.contains("tidegate_jobs_received_total 1"));
}

#[tokio::test]
async fn dead_letters_are_listed_shown_replayed_and_purged() {
    let desk = Desk::usual();
    let (first, second) = (bury(&desk, "payment").await, bury(&desk, "digest").await);
    let page = desk.admin("GET", "/v1/dead-letters?tier=p0", "").await.json();
    let letter = &page["dead_letters"][0];
    assert_eq!((&letter["id"], &letter["type"]), (&json!(first), &json!("payment")));
    assert_eq!((&letter["queue"], &letter["reason"]), (&json!("jobs:critical"), &json!("hopeless")));
    assert_eq!((&letter["attempts"], &letter["size"], &page["next"]), (&json!(1), &json!(2), &Value::Null));
    let shown = desk.admin("GET", &format!("/v1/dead-letters/{second}"), "").await.json();
    assert_eq!(
        (&shown["body"], &shown["tier"], &shown["tenant"]),
        (&json!("{}"), &json!("p2"), &json!("anonymous"))
    );
    for unknown in ["nonsense", "00000000-0000-7000-8000-000000000000"] {
        let answer = desk.admin("GET", &format!("/v1/dead-letters/{unknown}"), "").await;
        assert_eq!(answer.code(), (404, "not_found".to_owned()));
    }

    let replayed = results(&desk, "replay", json!({ "ids": ["nonsense", first] })).await;
    let expected = json!([{ "id": "nonsense", "status": "unknown" }, { "id": first, "status": "replayed" }]);
    assert_eq!(replayed, expected);
    assert_eq!(desk.leased().await[0].job.id.to_string(), first);
    assert_eq!(desk.counts(), [2.0, 2.0, 0.0, 0.0], "a replay admits nothing again");

    let purged = results(&desk, "purge", json!({ "ids": ["nonsense", second, first] })).await;
    let statuses: Vec<_> = purged.as_array().unwrap().iter().map(|result| result["status"].clone()).collect();
    assert_eq!(statuses, ["unknown", "purged", "unknown"]);
    assert_eq!(results(&desk, "purge", json!({ "all": true })).await, json!([]));
}

#[tokio::test]
async fn a_replay_is_refused_by_a_shut_tier_and_takes_no_tokens_otherwise() {
    let desk = Desk::usual();
    let id = bury(&desk, "digest").await;
    desk.sees_depth(Tier::P2, 600_000);
    let refused = results(&desk, "replay", json!({ "tier": "p2" })).await;
    assert_eq!(refused, json!([{ "id": id, "status": "refused", "code": "shed" }]));
    assert_eq!(desk.gateway.queue.totals()[Tier::P2].dead, 1);

    desk.sees_depth(Tier::P2, 0);
    let remaining = || {
        desk.gateway
            .admission
            .admit(Tier::P2, crate::domain::units::Cost::ONE, None)
            .unwrap()
            .limit()
            .remaining
    };
    let before = remaining();
    assert_eq!(results(&desk, "replay", json!({ "all": true })).await[0]["status"], "replayed");
    assert!(remaining() >= before);
}

#[tokio::test]
async fn operators_are_guarded_and_health_is_for_everybody() {
    let desk = Desk::usual();
    let foreign = [("host", "localhost"), ("origin", "http://evil.example")];
    let answer = send(&desk.admin, "GET", "/v1/status", &foreign, "".into()).await;
    assert_eq!(answer.code(), (403, "origin_not_allowed".to_owned()));
    let unknown = send(&desk.admin, "GET", "/v1/jobs", &foreign, "".into()).await;
    assert_eq!(unknown.code(), (403, "origin_not_allowed".to_owned()), "nor is a path told from no path");
    assert_eq!(desk.admin("GET", "/v1/scale/p0", "").await.code(), (404, "not_found".to_owned()));
    for router in [&desk.admin, &desk.ingest] {
        assert_eq!(send(router, "GET", "/healthz", &foreign, "".into()).await.text, "ok\n");
        assert_eq!(send(router, "GET", "/readyz", &foreign, "".into()).await.status, 200);
    }
}

#[tokio::test]
async fn an_instance_that_stops_or_cannot_write_is_not_ready() {
    let failing = Desk::failing(None);
    let answer = failing.admin("GET", "/readyz", "").await;
    assert_eq!(answer.code(), (503, "backend_unavailable".to_owned()));
    assert!(answer.header("retry-after").is_some());
    let desk = Desk::usual();
    desk.gateway.lifecycle.advance(Phase::Leaving);
    assert_eq!(desk.admin("GET", "/readyz", "").await.status, 503);
    assert_eq!(desk.admin("GET", "/healthz", "").await.status, 200);
    assert_eq!(desk.post("/v1/jobs", &[], "{}").await.status, 202, "jobs are still taken while leaving");
}

#[tokio::test]
async fn a_page_starts_only_where_an_earlier_one_said() {
    let desk = Desk::usual();
    for _ in 0..3 {
        bury(&desk, "digest").await;
    }
    let next = desk.admin("GET", "/v1/dead-letters?limit=2", "").await.json()["next"].clone();
    let path = format!("/v1/dead-letters?after={}", next.as_str().unwrap());
    let page = desk.admin("GET", &path, "").await.json();
    assert_eq!((page["dead_letters"].as_array().unwrap().len(), &page["next"]), (1, &Value::Null));
    for mark in ["garbage", "", "-1", "+1", "01", "FF", "8000000000000000", "%31"] {
        let answer = desk.admin("GET", &format!("/v1/dead-letters?after={mark}"), "").await;
        assert_eq!(answer.code(), (400, "malformed_request".to_owned()), "{mark:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("next"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_selection_that_is_none_is_told_in_its_own_words() {
    let desk = Desk::usual();
    for (body, told) in [
        (r#"{"ids":"a"}"#, "ids: expected a list of texts"),
        (r#"{"tier":7}"#, "tier: expected a text"),
        (r#"{"tier":"p1","limit":-1}"#, "limit: expected a whole number from 1 to 1000"),
        (r#"{"all":"yes"}"#, "all: expected true or false"),
        (r#"{"everything":true}"#, "everything: no such key, expected one of ids, tier, limit, all"),
    ] {
        let answer = desk.admin("POST", "/v1/dead-letters/purge", body).await;
        assert_eq!(answer.code(), (400, "malformed_request".to_owned()));
        assert_eq!(answer.json()["detail"], told, "{body}");
    }
}
