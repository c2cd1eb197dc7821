//! What a worker of a stream finds: the fields as they are written down, the body raw, the group there before the first job.

use std::collections::BTreeSet;
use std::time::Duration;

use humantime::parse_rfc3339;

use super::{before, drain};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::redis::Redis;
use crate::support::redis_worker::{Worker, times_by_id};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of fields")]
async fn an_entry_has_every_field_of_its_job_and_its_body_raw() {
    let redis = Redis::start(&[]).await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    let groups = redis.cli(&["XINFO", "GROUPS", "jobs:standard"]).await;
    assert_eq!(groups.items()[0].field("name").text(), "workers", "the group is there before the first job");

    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = bytes::Bytes::from_static(b"\x00\xff raw \r\n bytes");
    let answer = gateway
        .ingest
        .post("/v1/jobs")
        .header("content-type", "application/octet-stream")
        .header("tidegate-type", "order")
        .header("tidegate-ordering-key", "customer 7")
        .header("tidegate-expires-in", "90")
        .header("traceparent", trace)
        .header("tracestate", "a=1")
        .header("ce-subject", "a b%20c")
        .body(body.clone())
        .send()
        .await;
    gateway.tally.job(answer.status);
    let receipt = answer.receipt();
    assert_eq!(
        (receipt.queue.as_str(), receipt.durability.as_str(), receipt.depth),
        ("jobs:standard", "memory", 1)
    );
    let bare = gateway.accept("p2", "bare").await;

    let taken = drain(&redis, "jobs:standard").await;
    let [job] = &taken[..] else { panic!("{taken:?}") };
    let known = [
        "id",
        "tier",
        "type",
        "tenant",
        "accepted_at",
        "content_type",
        "ordering_key",
        "expires_at",
        "attempt",
        "traceparent",
        "tracestate",
        "ce_subject",
    ];
    let fields: BTreeSet<&str> = job.fields.keys().map(String::as_str).collect();
    assert_eq!(fields, BTreeSet::from(known));
    for (name, value) in [
        ("id", receipt.id.as_str()),
        ("tier", "p1"),
        ("type", "order"),
        ("tenant", "anonymous"),
        ("content_type", "application/octet-stream"),
        ("ordering_key", "customer 7"),
        ("attempt", "1"),
        ("traceparent", trace),
        ("tracestate", "a=1"),
        ("ce_subject", "a b%20c"),
    ] {
        assert_eq!(job.field(name), value, "{name}");
    }
    assert_eq!(job.body, body);
    let (accepted, expires) = (job.field("accepted_at"), job.field("expires_at"));
    assert!(accepted.len() == 24 && accepted.ends_with('Z'), "{accepted}");
    let lifetime = parse_rfc3339(expires).unwrap().duration_since(parse_rfc3339(accepted).unwrap()).unwrap();
    assert_eq!(lifetime, Duration::from_secs(90));

    // What a job has not is left out.
    let taken = drain(&redis, "jobs:bulk").await;
    let [job] = &taken[..] else { panic!("{taken:?}") };
    assert_eq!((job.id(), job.text()), (bare.id.as_str(), "bare"));
    assert!(!job.fields.contains_key("ordering_key") && !job.fields.contains_key("expires_at"), "{job:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn a_worker_gets_the_jobs_of_an_ordering_key_in_the_order_of_their_receipts() {
    let redis = Redis::start(&[]).await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    let worker = Worker::stream(&redis, "jobs:standard").start();
    let mut ids = Vec::new();
    for number in 0..60 {
        let headers = [("tidegate-type", "order"), ("tidegate-ordering-key", "one")];
        if number % 5 == 0 {
            let lines = "{}\n".repeat(10);
            let answer = gateway.batch("application/x-ndjson", lines, &headers).await;
            let document = answer.json();
            let items = document["items"].as_array().unwrap();
            ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        } else {
            ids.push(gateway.post("{}", &headers).await.receipt().id);
        }
    }
    worker.has_done(ids.len() as u64, Duration::from_secs(10)).await;
    let jobs = worker.stop().await;
    assert!(times_by_id(&jobs).values().all(|times| *times == 1));
    assert!(jobs.iter().map(super::Taken::id).eq(ids.iter().map(String::as_str)), "out of order");
    until("the depth is nothing", Duration::from_secs(5), async || {
        let depth = gateway.metrics().await.count("tidegate_queue_depth", &[("tier", "p1")]);
        (depth == 0).then_some(())
    })
    .await;
    gateway.finish().await;
}

/// Depth and age are the group's own: what waits and what is pending, by the clock of Redis.
#[tokio::test]
async fn what_a_worker_has_in_its_hands_is_still_in_the_depth() {
    let redis = Redis::start(&[]).await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    for number in 0..40 {
        gateway.accept("p0", &number.to_string()).await;
    }
    let read = ["XREADGROUP", "GROUP", "workers", "w", "COUNT", "15", "STREAMS", "jobs:critical", ">"];
    let taken = redis.cli(&read).await;
    let entries = taken.items()[0].items()[1].items();
    let depth = async |depth: u64| {
        until(&format!("the depth is {depth}"), Duration::from_secs(5), async || {
            let scrape = gateway.metrics().await;
            (scrape.count("tidegate_queue_depth", &[("tier", "p0")]) == depth).then_some(())
        })
        .await;
    };
    depth(40).await;
    let mut ack = vec!["XACK", "jobs:critical", "workers"];
    ack.extend(entries[..10].iter().map(|entry| entry.items()[0].text()));
    redis.cli(&ack).await;
    depth(30).await;
    until("the oldest job gets older", Duration::from_secs(5), async || {
        let age = gateway.metrics().await.sum("tidegate_queue_oldest_age_seconds", &[("tier", "p0")]);
        assert!(age < 60.0, "an age of {age} s");
        (age > 0.2).then_some(())
    })
    .await;
    gateway.finish().await;
}
