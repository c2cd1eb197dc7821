//! One node of a Redis Cluster: with one hash tag in all queue names everything is in one slot and works; without it the
//! gateway does not start.

use std::time::Duration;

use super::{BOUND, before, drain};
use crate::support::command::tidegate;
use crate::support::gateway::free_port;
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::redis::Redis;

/// A cluster of one node, which serves every slot.
async fn cluster() -> Redis {
    let redis = Redis::start(&[("cluster-enabled", "yes"), ("cluster-config-file", "nodes.conf")]).await;
    redis.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    until("the cluster is up", Duration::from_secs(20), async || {
        redis.cli(&["CLUSTER", "INFO"]).await.text().contains("cluster_state:ok").then_some(())
    })
    .await;
    redis
}

#[tokio::test]
async fn queues_with_one_hash_tag_are_served_with_keys_batches_retries_and_dead_letters() {
    let redis = cluster().await;
    let mut policy = Policy::calm();
    for (tier, name) in [("p0", "critical"), ("p1", "standard"), ("p2", "bulk")] {
        policy = policy.tier(tier, "queue", &format!("\"{{jobs}}:{name}\""));
    }
    let gateway = before(&redis, &policy).start().await;
    let keyed = [("tidegate-type", "order"), ("idempotency-key", "k")];
    let receipt = gateway.post("keyed", &keyed).await.receipt();
    assert_eq!(receipt.queue, "{jobs}:standard");
    assert!(gateway.post("keyed", &keyed).await.receipt().duplicate);
    assert_eq!(gateway.batch("application/x-ndjson", "{}\n{}\n{}\n", &[]).await.status, 202);
    let jobs = drain(&redis, "{jobs}:standard").await;
    assert_eq!(jobs.len(), 4);

    let element = |extra: &str| {
        format!(
            r#"{{"id":"{}","tier":"p1","tenant":"anonymous","accepted_at":"{}","attempt":2,"body":"keyed"{extra}}}"#,
            receipt.id,
            jobs[0].field("accepted_at")
        )
    };
    redis.cli(&["ZADD", "{jobs}:standard:delayed", "1", &element("")]).await;
    let again =
        until("the retry is back", BOUND, async || drain(&redis, "{jobs}:standard").await.pop()).await;
    assert_eq!((again.id(), again.field("attempt")), (receipt.id.as_str(), "2"));

    let death = r#","attempts":2,"reason":"declined","first_failed_at":"2026-11-21T20:59:00.000Z","died_at":"2026-11-21T21:00:00.000Z""#;
    redis.cli(&["HSET", "{jobs}:dead_letter", &receipt.id, &element(death)]).await;
    redis.cli(&["ZADD", "{jobs}:dead_letter:p1", "1795294800000", &receipt.id]).await;
    let letters = gateway.admin.get("/v1/dead-letters").send().await.json();
    assert_eq!(
        (&letters["dead_letters"][0]["id"], &letters["dead_letters"][0]["reason"]),
        (&receipt.id.clone().into(), &"declined".into())
    );
    let replay = gateway
        .admin
        .post_json("/v1/dead-letters/replay", &serde_json::json!({ "ids": [receipt.id] }))
        .await
        .json();
    assert_eq!(replay["results"][0]["status"], "replayed", "{replay}");
    let again = drain(&redis, "{jobs}:standard").await;
    assert_eq!((again[0].id(), again[0].text()), (receipt.id.as_str(), "keyed"));
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn queues_in_several_slots_are_refused_at_the_start() {
    let redis = cluster().await;
    let setup = before(&redis, &Policy::calm()).set("redis.timeout", "500ms");
    let arguments = setup.arguments(free_port(), free_port());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    tidegate(setup.folder(), &arguments, &[]).await.says(1, &["redis", "cannot be read"]);
}
