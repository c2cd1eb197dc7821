//! A Redis that stands still, its connections open: nobody waits for it longer than the bound, and what was said is true.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{BOUND, before, drain_all, finish, recovers, without_probes};
use crate::support::book::{Book, Load};
use crate::support::policy::Policy;
use crate::support::redis::Redis;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_stopped_for_twenty_seconds_is_answered_for_within_five() {
    let redis = Redis::start(&[]).await;
    let gateway = Arc::new(before(&redis, &Policy::calm()).start().await);
    let book = Book::new();
    let load = Load::start(&gateway, &book);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(book.fates().stored > 0);

    redis.stop();
    let stopped = Instant::now();
    tokio::time::sleep(BOUND).await;
    // Known by now: every tier is refused at once, also while probes go on.
    let mut slowest = Duration::ZERO;
    while stopped.elapsed() < STOPPED {
        for tier in ["p0", "p1", "p2"] {
            let answer = book.single(&gateway, tier).await;
            let problem = answer.problem(503, "backend_unavailable");
            assert_eq!((problem.outcome.as_str(), problem.tier.as_deref()), ("not_stored", Some(tier)));
            slowest = slowest.max(answer.took);
        }
        assert_eq!(
            gateway.ingest.get("/readyz").send().await.status,
            200,
            "the outage is not this instance's own"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    redis.cont();
    let back = Instant::now();
    recovers(&gateway, "p1", BOUND).await;
    println!(
        "back after {:?}; while stopped, after 5 s, the slowest answer took {slowest:?}",
        back.elapsed()
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    load.stop().await;
    assert!(slowest < Duration::from_millis(500), "a refusal took {slowest:?}");
    assert!(book.slowest() < BOUND, "a client waited {:?}", book.slowest());
    println!("{:?}", book.fates());
    book.check(&without_probes(drain_all(&redis).await));
    finish(gateway).await;
}

const STOPPED: Duration = Duration::from_secs(20);
