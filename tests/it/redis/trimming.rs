//! Streams are trimmed by what every group has acknowledged, and by nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::before;
use crate::support::gateway::Gateway;
use crate::support::jobs::{NDJSON, type_of};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::redis::Redis;
use crate::support::redis_worker::{Worker, times_by_id};

/// Jobs that pass, and the memory that Redis may use: many times less than they take together. `TIDEGATE_JOBS=1000000`
/// sends a million through the 32 MB, which takes a minute or so with a gateway built for tests.
const JOBS: u64 = 200_000;
const MEMORY: u64 = 32_000_000;
/// Bytes of a payload.
const PAYLOAD: usize = 500;
const BATCH: u64 = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn far_more_jobs_than_fit_pass_through_a_small_redis() {
    let jobs: u64 = std::env::var("TIDEGATE_JOBS").map_or(JOBS, |jobs| jobs.parse().expect("a number"));
    let redis = Redis::start(&[("maxmemory", &MEMORY.to_string()), ("maxmemory-policy", "noeviction")]).await;
    let policy = Policy::calm().tier("p2", "target", "{ depth: 12000 }").tier("p2", "max_depth", "16000");
    // On a busy machine a batch of a megabyte may take its time; how long is not what is asked here.
    let gateway = Arc::new(before(&redis, &policy).set("limits.request_timeout", "120s").start().await);
    let worker = Worker::stream(&redis, "jobs:bulk").start();
    let left = Arc::new(AtomicU64::new(jobs));
    let started = Instant::now();
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(send(gateway.clone(), left.clone()))).collect();
    let mut most = 0;
    until("all of them are done", Duration::from_secs(180), async || {
        most = redis.info("used_memory").await.parse::<u64>().unwrap().max(most);
        (worker.done() >= jobs).then_some(())
    })
    .await;
    let took = started.elapsed();
    for client in clients {
        client.await.unwrap();
    }
    let done = worker.stop().await;
    println!(
        "{jobs} jobs of {PAYLOAD} bytes in {took:?} ({:.0}/s) through {most} bytes of Redis",
        jobs as f64 / took.as_secs_f64()
    );
    assert_eq!(done.len() as u64, jobs);
    assert!(times_by_id(&done).values().all(|times| *times == 1));
    assert!(most < MEMORY, "{most} bytes");
    assert!(jobs * PAYLOAD as u64 > 3 * MEMORY, "they would have fitted");
    until("the stream is empty", Duration::from_secs(10), async || {
        (redis.cli(&["XLEN", "jobs:bulk"]).await.count() < 200).then_some(())
    })
    .await;
    Arc::into_inner(gateway).expect("nobody else holds it").finish().await;
}

/// Sends batches until nothing is left; what is refused is sent again.
async fn send(gateway: Arc<Gateway>, left: Arc<AtomicU64>) {
    let payload = format!("{{\"p\":\"{}\"}}\n", "x".repeat(PAYLOAD));
    while let Ok(before) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        (left > 0).then(|| left.saturating_sub(BATCH))
    }) {
        let mut rest = before.min(BATCH);
        while rest > 0 {
            let lines = payload.repeat(rest as usize);
            let answer = gateway.batch(NDJSON, lines, &[("tidegate-type", type_of("p2"))]).await;
            assert!(matches!(answer.status, 202 | 207 | 429 | 503), "{answer:?}");
            let accepted = answer.json()["accepted"].as_u64().unwrap_or(0);
            rest -= accepted;
            if accepted == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_group_that_stopped_reading_blocks_the_trim_and_is_shown() {
    let redis = Redis::start(&[]).await;
    let gateway = before(&redis, &Policy::calm()).start().await;
    redis.cli(&["XGROUP", "CREATE", "jobs:standard", "audit", "0"]).await;
    let worker = Worker::stream(&redis, "jobs:standard").start();
    for _ in 0..20 {
        let answer = gateway.batch(NDJSON, "{}\n".repeat(50), &[("tidegate-type", "order")]).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    worker.has_done(1000, Duration::from_secs(10)).await;
    let shown = until("the group is shown to block", Duration::from_secs(45), async || {
        let status = gateway.status().await;
        let groups =
            status["tiers"]["p1"]["groups"].as_array().unwrap_or_else(|| panic!("no groups: {status}"));
        let audit = groups.iter().find(|group| group["name"] == "audit")?;
        (audit["blocks_trim"] == true).then(|| audit.clone())
    })
    .await;
    assert_eq!(
        (&shown["lag"], &shown["pending"], &shown["counts"]),
        (&1000.into(), &0.into(), &false.into())
    );
    // So many trims later it is all there still.
    assert_eq!(redis.cli(&["XLEN", "jobs:standard"]).await.count(), 1000);
    redis.cli(&["XGROUP", "DESTROY", "jobs:standard", "audit"]).await;
    until("what all have done is gone", Duration::from_secs(5), async || {
        (redis.cli(&["XLEN", "jobs:standard"]).await.count() < 200).then_some(())
    })
    .await;
    drop(worker.stop().await);
    gateway.finish().await;
}
