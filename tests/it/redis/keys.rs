//! One idempotency key, two gateways, one Redis: the job is stored once, and both know it.

use std::sync::Arc;

use super::{before, drain_all};
use crate::support::policy::Policy;
use crate::support::redis::Redis;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_that_are_sent_one_key_at_the_same_time_store_one_job() {
    let redis = Redis::start(&[]).await;
    let first = Arc::new(before(&redis, &Policy::calm()).start().await);
    let second = Arc::new(before(&redis, &Policy::calm()).start().await);
    let mut ids = Vec::new();
    for number in 0..100 {
        let (key, payload) = (format!("key-{number}"), format!("payload {number}"));
        let headers = [("idempotency-key", key.as_str())];
        let (one, other) = tokio::join!(first.post(&payload, &headers), second.post(&payload, &headers));
        let (one, other) = (one.receipt(), other.receipt());
        assert_eq!(one.id, other.id, "{key} is two jobs");
        assert!(one.duplicate != other.duplicate, "one of them stored it: {one:?} {other:?}");
        ids.push(one.id);
    }
    let mut taken: Vec<String> = drain_all(&redis).await.iter().map(|job| job.id().to_owned()).collect();
    ids.sort();
    taken.sort();
    assert_eq!(taken, ids);

    // Known when the job is done, and to a gateway that never saw it.
    let third = before(&redis, &Policy::calm()).start().await;
    let again = third.post("payload 7", &[("idempotency-key", "key-7")]).await.receipt();
    assert!(again.duplicate && ids.contains(&again.id));
    let other = third.post("another payload", &[("idempotency-key", "key-7")]).await;
    other.problem(422, "idempotency_mismatch");
    assert_eq!(drain_all(&redis).await.len(), 0);
    third.finish().await;
    Arc::into_inner(first).expect("nobody else holds it").finish().await;
    Arc::into_inner(second).expect("nobody else holds it").finish().await;
}

#[tokio::test]
async fn keys_of_a_batch_that_is_sent_again_to_another_gateway_store_what_is_missing() {
    let redis = Redis::start(&[]).await;
    let policy = Policy::calm().top("idempotency_key_from", "[ \"body:/key\" ]");
    let first = before(&redis, &policy).start().await;
    let second = before(&redis, &policy).start().await;
    let lines = |keys: std::ops::Range<u32>| -> String {
        keys.map(|key| format!("{{\"key\":\"k{key}\"}}\n")).collect()
    };
    let answer = first.batch("application/x-ndjson", lines(0..50), &[]).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let answer = second.batch("application/x-ndjson", lines(25..80), &[]).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let items = answer.json()["items"].as_array().unwrap().clone();
    assert_eq!(items.iter().filter(|item| item["duplicate"] == true).count(), 25);
    assert_eq!(drain_all(&redis).await.len(), 80);
    first.finish().await;
    second.finish().await;
}
