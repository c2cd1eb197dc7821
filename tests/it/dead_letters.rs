//! Jobs that failed for good: how they get there, and what operators can do about them.

use serde_json::{Value, json};

use crate::support::answer::assert_time;
use crate::support::gateway::{Gateway, Setup};
use crate::support::policy::Policy;

#[tokio::test]
async fn the_third_failure_makes_a_dead_letter_with_its_history() {
    let policy = Policy::calm().every_tier("retry", "{ attempts: 3, backoff: 50ms, max_backoff: 100ms }");
    let gateway = Setup::with(&policy).start().await;
    let receipt = gateway.accept("p0", "{\"n\": 1}").await;
    for attempt in 1..=3 {
        let jobs = gateway.lease(json!({ "wait_seconds": 20 })).await;
        assert_eq!(jobs[0].attempt, attempt);
        let reason = format!("failure {attempt}");
        let nack = json!({ "leases": [jobs[0].lease], "reason": reason, "delay_seconds": 0 });
        assert_eq!(gateway.settle("nack", nack).await, ["ok"]);
    }
    assert_eq!(gateway.lease(json!({})).await, [], "no fourth attempt");

    let page = list(&gateway, "").await;
    let letter = &page["dead_letters"][0];
    assert_eq!(letter["id"], receipt.id);
    let expected = json!({ "tier": "p0", "type": "payment", "queue": "jobs:critical", "attempts": 3,
        "reason": "failure 3", "size": 8 });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&letter[member], value, "{member}: {letter}");
    }
    let times = ["accepted_at", "first_failed_at", "died_at"].map(|member| assert_time(&letter[member]));
    assert!(times[0] <= times[1] && times[1] < times[2], "{letter}");
    assert_eq!(page["next"], Value::Null);
    gateway.finish().await;
}

#[tokio::test]
async fn a_lease_that_expires_thrice_is_a_dead_letter_too() {
    let policy = Policy::calm().every_tier("retry", "{ attempts: 2, backoff: 10ms, max_backoff: 10ms }");
    let gateway = Setup::with(&policy).start().await;
    let receipt = gateway.accept("p1", "{}").await;
    for _ in 0..2 {
        let jobs = gateway.lease(json!({ "lease_seconds": 1, "wait_seconds": 20 })).await;
        assert_eq!(jobs[0].id, receipt.id);
    }
    let letter = until_dead(&gateway).await;
    assert_eq!((&letter["id"], &letter["attempts"]), (&json!(receipt.id), &json!(2)));
    assert!(!letter["reason"].as_str().unwrap().is_empty(), "{letter}");
    gateway.finish().await;
}

#[tokio::test]
async fn dead_letters_are_listed_in_pages_and_by_tier() {
    let gateway = Setup::with(&Policy::calm()).start().await;
    let mut ids = Vec::new();
    for tier in ["p2", "p0", "p2"] {
        ids.push(bury(&gateway, tier, "{}").await);
    }
    assert_eq!(ids_of(&list(&gateway, "").await), ids, "oldest first");
    assert_eq!(ids_of(&list(&gateway, "?tier=p2").await), [&ids[0][..], &ids[2]]);
    assert_eq!(ids_of(&list(&gateway, "?tier=p1").await), [""; 0]);

    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = list(&gateway, &query).await;
        assert!(ids_of(&page).len() <= 2, "{page}");
        seen.extend(ids_of(&page));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=2&after={next}");
        assert!(seen.len() <= 3, "pages do not end");
    }
    assert_eq!(seen, ids);

    let shown = gateway.admin.get(&format!("/v1/dead-letters/{}", ids[1])).send().await;
    assert_eq!(
        (shown.status, &shown.json()["id"], &shown.json()["body"]),
        (200, &json!(ids[1]), &json!("{}"))
    );
    let stranger = "00000000-0000-7000-8000-000000000000";
    gateway.admin.get(&format!("/v1/dead-letters/{stranger}")).send().await.problem(404, "not_found");
    gateway.finish().await;
}

#[tokio::test]
async fn a_replayed_job_keeps_id_and_payload_and_starts_again() {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    let (first, second) = (bury(&gateway, "p1", "one").await, bury(&gateway, "p1", "two").await);
    let stranger = "00000000-0000-7000-8000-000000000000";
    let results = change(&gateway, "replay", json!({ "ids": [second, stranger] })).await;
    assert_eq!(results, [(second.clone(), "replayed".into()), (stranger.into(), "unknown".into())]);

    let jobs = gateway.lease(json!({ "wait_seconds": 10 })).await;
    assert_eq!((&jobs[0].id, jobs[0].text(), jobs[0].attempt), (&second, "two", 1));
    assert_eq!(gateway.ack(&jobs).await, ["ok"]);
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.count("tidegate_jobs_admitted_total", &[]), 2, "a replay admits nothing again");

    // The other one is still there after a restart, and can be replayed then.
    gateway.stop().await;
    gateway.restart().await;
    assert_eq!(gateway.dead_at_start, [0, 1, 0]);
    assert_eq!(change(&gateway, "replay", json!({ "all": true })).await, [(first, "replayed".into())]);
    assert_eq!(gateway.drain().await.len(), 1);
    gateway.finish().await;
}

#[tokio::test]
async fn purged_dead_letters_are_gone_and_counted() {
    let mut gateway = Setup::with(&Policy::calm()).start().await;
    let mut ids = Vec::new();
    for tier in ["p0", "p2", "p2"] {
        ids.push(bury(&gateway, tier, "{}").await);
    }
    let purged = |id: &String| (id.clone(), "purged".to_owned());
    assert_eq!(change(&gateway, "purge", json!({ "tier": "p2", "limit": 1 })).await, [purged(&ids[1])]);
    assert_eq!(
        change(&gateway, "purge", json!({ "ids": [ids[1], ids[0]] })).await,
        [(ids[1].clone(), "unknown".into()), purged(&ids[0])]
    );
    assert_eq!(change(&gateway, "purge", json!({ "all": true })).await, [purged(&ids[2])]);
    assert_eq!(ids_of(&list(&gateway, "").await), [""; 0]);
    let scrape = gateway.metrics().await;
    assert_eq!(scrape.count("tidegate_dead_letters_purged_total", &[("tier", "p2")]), 2);
    gateway.kill();
    gateway.restart().await;
    assert_eq!(gateway.dead_at_start, [0; 3], "they do not return");
    gateway.finish().await;
}

#[tokio::test]
async fn a_replay_goes_through_the_gate() {
    let policy = Policy::calm().tier("p1", "target", "{ depth: 5 }").tier("p1", "max_depth", "5");
    let gateway = Setup::with(&policy).start().await;
    let id = bury(&gateway, "p1", "{}").await;
    crate::support::poll::until("the tier is full", std::time::Duration::from_secs(20), async || {
        gateway.post("{}", &[]).await;
        (gateway.depth(Some("p1")).await >= 5).then_some(())
    })
    .await;
    let answer = gateway.admin.post_json("/v1/dead-letters/replay", &json!({ "ids": [id] })).await;
    let result = &answer.json()["results"][0];
    assert_eq!((&result["id"], &result["status"]), (&json!(id), &json!("refused")), "{answer:?}");
    assert!(["queue_full", "throttled"].contains(&result["code"].as_str().unwrap_or_default()), "{result}");
    assert_eq!(ids_of(&list(&gateway, "").await), [id], "it stays where it was");
    gateway.finish().await;
}

/// Posts a job and has its worker declare it dead; its id.
async fn bury(gateway: &Gateway, tier: &str, payload: &str) -> String {
    let receipt = gateway.accept(tier, payload).await;
    let jobs = gateway.lease(json!({ "wait_seconds": 10 })).await;
    assert_eq!(jobs[0].id, receipt.id);
    let nack = json!({ "leases": [jobs[0].lease], "dead": true, "reason": "hopeless" });
    assert_eq!(gateway.settle("nack", nack).await, ["ok"]);
    receipt.id
}

async fn list(gateway: &Gateway, query: &str) -> Value {
    let answer = gateway.admin.get(&format!("/v1/dead-letters{query}")).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn until_dead(gateway: &Gateway) -> Value {
    crate::support::poll::until("a dead letter", std::time::Duration::from_secs(20), async || {
        // A lease that expires is noticed whether or not anybody asks for work.
        let page = list(gateway, "").await;
        page["dead_letters"].get(0).cloned()
    })
    .await
}

/// Replays or purges; the id and status of each.
async fn change(gateway: &Gateway, verb: &str, selection: Value) -> Vec<(String, String)> {
    let answer = gateway.admin.post_json(&format!("/v1/dead-letters/{verb}"), &selection).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let document = answer.json();
    let results = document["results"].as_array().unwrap_or_else(|| panic!("no results: {document}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    results.iter().map(|result| (text(&result["id"]), text(&result["status"]))).collect()
}

fn ids_of(page: &Value) -> Vec<String> {
    let letters = page["dead_letters"].as_array().unwrap_or_else(|| panic!("no list: {page}"));
    letters.iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
}
