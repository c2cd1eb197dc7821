//! Lists for workers that know no streams: BRPOP and BLMOVE, elements as JSON, what is in their hands in the depth.

use std::time::Duration;

use serde_json::Value;

use super::{before, drain_list};
use crate::support::gateway::Gateway;
use crate::support::jobs::type_of;
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::redis::Redis;
use crate::support::redis_worker::{Way, Worker};

async fn lists(redis: &Redis) -> Gateway {
    before(redis, &Policy::calm()).set("redis.structure", "list").start().await
}

async fn depth_is(gateway: &Gateway, tier: &str, depth: u64) {
    until(&format!("the depth of {tier} is {depth}"), Duration::from_secs(5), async || {
        let scrape = gateway.metrics().await;
        (scrape.count("tidegate_queue_depth", &[("tier", tier)]) == depth).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_element_is_one_json_object_that_older_workers_know_too() {
    let redis = Redis::start(&[]).await;
    let gateway = lists(&redis).await;
    let headers = [("tidegate-type", "order"), ("content-type", "text/plain"), ("ce-subject", "a b")];
    let receipt = gateway.post("a \"text\"\n with ü", &headers).await.receipt();
    assert_eq!((receipt.queue.as_str(), receipt.depth), ("jobs:standard", 1));
    let element: Value = serde_json::from_slice(redis.cli(&["RPOP", "jobs:standard"]).await.bytes()).unwrap();
    for (name, value) in [
        ("id", receipt.id.as_str()),
        ("tier", "p1"),
        ("type", "order"),
        ("tenant", "anonymous"),
        ("content_type", "text/plain"),
        ("ce_subject", "a b"),
        ("body", "a \"text\"\n with ü"),
    ] {
        assert_eq!(element[name], value, "{element}");
    }
    assert_eq!((&element["attempt"], &element["_retry_count"]), (&1.into(), &0.into()));
    let accepted = humantime::parse_rfc3339(element["accepted_at"].as_str().unwrap()).unwrap();
    let seconds = accepted.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((element["_enqueued_at"].as_f64().unwrap() - seconds).abs() < 0.01, "{element}");

    let answer = gateway.ingest.post("/v1/jobs").body(&b"\xff\x00"[..]).send().await;
    gateway.tally.job(answer.status);
    assert_eq!(drain_list(&redis, "jobs:standard").await[0].body, b"\xff\x00");
    gateway.finish().await;
}

#[tokio::test]
async fn a_popping_worker_gets_everything_once_and_in_order() {
    let redis = Redis::start(&[]).await;
    let gateway = lists(&redis).await;
    let worker = Worker::new(&redis, "jobs:bulk", Way::Pop).start();
    let mut sent = Vec::new();
    for batch in 0..10 {
        let lines: Vec<String> = (0..50).map(|line| format!("{{\"n\":{}}}", batch * 50 + line)).collect();
        let headers = [("tidegate-type", type_of("p2"))];
        let answer = gateway.batch("application/x-ndjson", lines.join("\n"), &headers).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        sent.extend(lines);
    }
    worker.has_done(500, Duration::from_secs(10)).await;
    let jobs = worker.stop().await;
    assert!(jobs.iter().map(super::Taken::text).eq(sent.iter().map(String::as_str)), "out of order");
    depth_is(&gateway, "p2", 0).await;
    gateway.finish().await;
}

#[tokio::test]
async fn what_a_moving_worker_has_in_its_hands_counts_until_it_is_done() {
    let redis = Redis::start(&[]).await;
    let gateway = lists(&redis).await;
    for number in 0..30 {
        gateway.accept("p0", &number.to_string()).await;
    }
    // Two workers that hang: one is registered, the other is found.
    redis.cli(&["SADD", "jobs:critical:workers", "w-1"]).await;
    for worker in ["w-1", "w-2"] {
        for _ in 0..5 {
            let processing = format!("jobs:critical:processing:{worker}");
            redis.cli(&["LMOVE", "jobs:critical", &processing, "RIGHT", "LEFT"]).await;
        }
    }
    depth_is(&gateway, "p0", 30).await;
    redis.cli(&["DEL", "jobs:critical:processing:w-1"]).await;
    depth_is(&gateway, "p0", 25).await;
    // A worker that moves takes the rest, and what was left in its own hands.
    let worker = Worker::new(&redis, "jobs:critical", Way::Move).named("w-2").start();
    worker.has_done(25, Duration::from_secs(10)).await;
    let jobs = worker.stop().await;
    assert!(
        jobs.iter().map(super::Taken::text).eq((5..30)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str))
    );
    depth_is(&gateway, "p0", 0).await;
    gateway.finish().await;
}

#[tokio::test]
async fn delayed_retries_count_and_come_back_when_they_are_due() {
    let redis = Redis::start(&[]).await;
    for structure in ["list", "stream"] {
        let gateway = before(&redis, &Policy::calm()).set("redis.structure", structure).start().await;
        let id = gateway.accept("p0", "again").await.id;
        let element = match structure {
            "list" => redis.cli(&["RPOP", "jobs:critical"]).await.text().to_owned(),
            _ => {
                let job = &super::drain(&redis, "jobs:critical").await[0];
                let mut element = serde_json::Map::new();
                element.extend(job.fields.iter().map(|(name, value)| (name.clone(), value.clone().into())));
                element.insert("body".into(), job.text().into());
                Value::from(element).to_string()
            }
        };
        // As a worker does it: one attempt more, due in a second.
        let mut again: Value = serde_json::from_str(&element).unwrap();
        again["attempt"] = 2.into();
        let time = redis.cli(&["TIME"]).await;
        let due = time.items()[0].text().parse::<u64>().unwrap() * 1000 + 1500;
        redis.cli(&["ZADD", "jobs:critical:delayed", &due.to_string(), &again.to_string()]).await;
        depth_is(&gateway, "p0", 1).await;
        let job = until("it is back in its queue", Duration::from_secs(6), async || match structure {
            "list" => drain_list(&redis, "jobs:critical").await.pop(),
            _ => super::drain(&redis, "jobs:critical").await.pop(),
        })
        .await;
        assert_eq!((job.id(), job.text(), job.field("attempt")), (id.as_str(), "again", "2"), "{structure}");
        depth_is(&gateway, "p0", 0).await;
        gateway.finish().await;
        redis.cli(&["FLUSHALL"]).await;
    }
}
