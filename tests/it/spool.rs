//! The spool before a real Redis: outages, kills in the midst of them, and what workers then find.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::type_of;
use crate::support::keyed_clients::{Found, KeyedClients, Repeats, spool_is_empty, spooling_policy};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::redis::Redis;
use crate::support::redis_worker::{Taken, of_entry};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_with_kills_in_it_loses_no_receipt_and_keeps_the_order_of_each_key() {
    play(Duration::from_secs(12), true).await;
}

/// As operators would play it; too long for every run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes two minutes"]
async fn an_outage_of_a_minute_at_rated_load_loses_no_receipt() {
    play(Duration::from_secs(60), false).await;
}

#[tokio::test]
async fn a_tier_that_does_not_spool_is_told_to_wait_and_one_that_does_is_taken_also_from_the_start() {
    let mut redis = Redis::durable(&[]).await;
    redis.kill();
    let gateway = spooling(&redis, &spooling_policy()).start().await;
    let receipt = gateway.accept("p1", "early").await;
    assert_eq!(receipt.durability, "spooled");
    let answer = gateway.post("bulk", &[("tidegate-type", type_of("p2"))]).await;
    let problem = answer.problem(503, "backend_unavailable");
    assert_eq!(problem.outcome, "not_stored");
    assert!(problem.retry_after.is_some() && answer.took < Duration::from_secs(1), "{answer:?}");
    let status = gateway.status().await;
    assert_eq!(
        (&status["tiers"]["p1"]["spooling"], &status["tiers"]["p1"]["spool_depth"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(
        (&status["tiers"]["p2"]["spooling"], &status["durability"]),
        (&json!(false), &json!("spooled"))
    );
    assert_eq!(gateway.metrics().await.count("tidegate_spool_depth", &[("tier", "p1")]), 1);
    assert_eq!(gateway.ingest.get("/readyz").send().await.status, 200);
    redis.restart().await;
    spool_is_empty(&gateway, "p1").await;
    let found = entries(&redis, "jobs:standard").await;
    assert_eq!(found.iter().map(Taken::id).collect::<Vec<_>>(), [receipt.id.as_str()]);
    assert_eq!(gateway.accept("p1", "late").await.durability, "disk");
    gateway.accept("p2", "bulk").await;
    for words in [r#""state":"spooling""#, "the spool is empty again", r#""was":"spooling""#] {
        until(words, Duration::from_secs(20), async || gateway.log().contains(words).then_some(())).await;
    }
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_full_spool_is_an_outage_and_critical_work_still_has_room() {
    let mut redis = Redis::durable(&[]).await;
    let policy = spooling_policy().tier("p2", "spool", "true");
    let gateway = spooling(&redis, &policy).set("spool.max_bytes", "2MiB").start().await;
    redis.kill();
    let large = "x".repeat(20_000);
    let mut spooled = HashMap::new();
    let mut total = 0;
    for (tier, share) in [("p2", 0.5), ("p1", 0.75), ("p0", 1.0)] {
        let count = fill(&gateway, tier, &large).await;
        spooled.insert(tier, count);
        total += count;
        let bytes = (total * large.len()) as f64;
        let bound = share * f64::from(2 << 20);
        assert!((0.7 * bound..=bound).contains(&bytes), "{tier}: {bytes} of {bound}");
    }
    let answer = gateway.post(&large, &[("tidegate-type", type_of("p2"))]).await;
    assert_eq!(answer.problem(503, "backend_unavailable").outcome, "not_stored");
    redis.restart().await;
    for (tier, queue) in [("p0", "jobs:critical"), ("p1", "jobs:standard"), ("p2", "jobs:bulk")] {
        spool_is_empty(&gateway, tier).await;
        let spooled = spooled[tier];
        assert_eq!(entries(&redis, queue).await.len(), spooled, "{tier}");
    }
    gateway.accept("p2", &large).await;
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_job_sent_again_after_an_open_answer_keeps_its_id_through_the_spool() {
    let redis = Redis::durable(&[]).await;
    let gateway = spooling(&redis, &spooling_policy()).set("limits.request_timeout", "3s").start().await;
    gateway.accept("p1", "before").await;
    redis.stop();
    let key = [("idempotency-key", "k"), ("tidegate-type", "order")];
    let first = gateway.post("once", &key).await;
    // Redis stands still with the job on its way to it: nobody knows, or the gateway knew already.
    assert!(matches!(first.status, 504 | 202), "{first:?}");
    let again = until("the outage shows", Duration::from_secs(10), async || {
        let answer = gateway.post("once", &key).await;
        (answer.status == 202).then_some(answer)
    })
    .await;
    let receipt = again.receipt();
    assert_eq!(receipt.durability, "spooled");
    redis.cont();
    spool_is_empty(&gateway, "p1").await;
    let found = entries(&redis, "jobs:standard").await;
    let once: Vec<_> = found.iter().filter(|entry| entry.text() == "once").map(Taken::id).collect();
    assert_eq!(once, [receipt.id.as_str()]);
    let third = gateway.post("once", &key).await.receipt();
    assert_eq!((third.id, third.duplicate), (receipt.id, true));
    gateway.finish_after_outage().await;
}

#[tokio::test]
async fn a_gateway_that_is_stopped_in_an_outage_keeps_its_spool_for_the_next_start() {
    let mut redis = Redis::durable(&[]).await;
    let mut gateway = spooling(&redis, &spooling_policy()).start().await;
    redis.kill();
    let mut ids = Vec::new();
    until("three jobs are spooled", Duration::from_secs(10), async || {
        // One may have been on its way when Redis died: nobody knows then.
        let answer = gateway.post("job", &[("tidegate-type", type_of("p0"))]).await;
        if answer.status == 202 {
            ids.push(answer.receipt().id);
        }
        (ids.len() == 3).then_some(())
    })
    .await;
    gateway.stop().await;
    assert!(gateway.log().contains("jobs stay in the spool for the next start"));
    redis.restart().await;
    gateway.restart().await;
    spool_is_empty(&gateway, "p0").await;
    let found = entries(&redis, "jobs:critical").await;
    assert_eq!(found.iter().map(Taken::id).collect::<Vec<_>>(), ids);
    gateway.finish_after_outage().await;
}

/// Clients of one key each go on while Redis dies and comes back; with `kills` the gateway dies in the outage and again while
/// it empties the spool.
async fn play(outage: Duration, kills: bool) {
    let mut redis = Redis::durable(&[]).await;
    let mut gateway =
        spooling(&redis, &spooling_policy().tier("p1", "target", "{ depth: 4000 }")).start().await;
    let clients = KeyedClients::default();
    clients.work(&gateway, Duration::from_secs(2)).await;
    redis.kill();
    if kills {
        clients.work_until_killed(&mut gateway, outage / 2).await;
        clients.work(&gateway, outage / 2).await;
    } else {
        clients.work(&gateway, outage).await;
    }
    let waiting = gateway.metrics().await.count("tidegate_spool_depth", &[("tier", "p1")]);
    println!("{waiting} in the spool after {outage:?}, {} receipts", clients.receipts());
    assert!(waiting > 1_000, "only {waiting} in the spool");
    redis.restart().await;
    let mut found = Vec::new();
    if kills {
        // The window lets some out at once; the rest follows as it is worked off.
        let depth = async || redis.cli(&["XLEN", "jobs:standard"]).await.count();
        until("the window is filled", Duration::from_secs(20), async || {
            (depth().await >= 4_190).then_some(())
        })
        .await;
        sleep(Duration::from_millis(500)).await;
        let filled = depth().await;
        assert!((4_190..=4_200).contains(&filled), "{filled} in Redis, and the window is 4,200");
        take(&redis, &mut found, 6_000).await;
        let left = gateway.metrics().await.count("tidegate_spool_depth", &[("tier", "p1")]);
        println!("killed with {left} left");
        gateway.kill();
        gateway.restart().await;
    }
    let rest = async {
        let started = Instant::now();
        until("the spool is empty", Duration::from_secs(120), async || {
            take_some(&redis, &mut found).await;
            let left = gateway.metrics().await.count("tidegate_spool_depth", &[("tier", "p1")]);
            (left == 0).then_some(())
        })
        .await;
        println!("emptied in {:?} more", started.elapsed());
    };
    clients.work_during(&gateway, rest).await;
    clients.work(&gateway, Duration::from_secs(1)).await;
    while take_some(&redis, &mut found).await > 0 {}
    let found: Vec<_> = found.iter().map(|taken| Found { id: taken.id(), payload: taken.text() }).collect();
    clients.check(&found, Repeats::Never);
    gateway.finish_after_outage().await;
}

/// Posts until the spool is full; how many jobs it took.
async fn fill(gateway: &Gateway, tier: &str, payload: &str) -> usize {
    let mut count = 0;
    until("the spool is full", Duration::from_secs(60), async || {
        let answer = gateway.post(payload, &[("tidegate-type", type_of(tier))]).await;
        match answer.status {
            202 => {
                // Until the outage shows, Redis has the job: none is sent before.
                assert_eq!(answer.receipt().durability, "spooled");
                count += 1;
                None
            }
            504 => None,
            _ => {
                let problem = answer.problem(503, "backend_unavailable");
                problem.document["detail"].as_str().unwrap().contains("the spool is full").then_some(())
            }
        }
    })
    .await;
    count
}

/// Takes jobs as a worker until there are so many.
async fn take(redis: &Redis, found: &mut Vec<Taken>, count: usize) {
    until("enough jobs came out of the spool", Duration::from_secs(60), async || {
        take_some(redis, found).await;
        (found.len() >= count).then_some(())
    })
    .await;
}

/// Takes what is there, and is done with it.
async fn take_some(redis: &Redis, found: &mut Vec<Taken>) -> usize {
    let read = ["XREADGROUP", "GROUP", "workers", "w", "COUNT", "500", "STREAMS", "jobs:standard", ">"];
    let Ok(reply) = redis.try_cli(&read).await else { return 0 };
    let entries: Vec<_> = match reply.items().first() {
        Some(stream) => stream.items()[1].items().iter().map(|entry| of_entry(entry).1).collect(),
        None => return 0,
    };
    let mut ack = vec!["XACK", "jobs:standard", "workers"];
    ack.extend(entries.iter().map(|taken| taken.entry.as_str()));
    redis.cli(&ack).await;
    let count = entries.len();
    found.extend(entries);
    count
}

async fn entries(redis: &Redis, queue: &str) -> Vec<Taken> {
    redis.cli(&["XRANGE", queue, "-", "+"]).await.items().iter().map(|entry| of_entry(entry).1).collect()
}

fn spooling(redis: &Redis, policy: &Policy) -> Setup {
    let setup = Setup::with(policy);
    let path = setup.folder().join("spool.db").display().to_string();
    setup
        .set("backend", "redis")
        .set("redis.url", &redis.url())
        .set("redis.timeout", "1s")
        .set("redis.trim", "never")
        .set("spool.path", &path)
}
