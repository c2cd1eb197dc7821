//! The loop closed over Redis: bulk offered at twenty times what a worker of the group does is held at its target.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::interval;

use super::before;
use crate::support::flood::{Sale, flood};
use crate::support::policy::Policy;
use crate::support::redis::Redis;
use crate::support::redis_worker::Worker;

/// Jobs per second that the worker does.
const WORKER: f64 = 100.0;
const TARGET: u64 = 300;
/// For the queue to fill and the loop to settle.
const WARM_UP: Duration = Duration::from_secs(4);
const OVERLOAD: Duration = Duration::from_secs(11);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bulk_is_held_at_its_target_before_a_worker_of_a_fixed_rate() {
    let redis = Arc::new(Redis::start(&[]).await);
    let policy = Policy::calm().tier("p2", "target", &format!("{{ depth: {TARGET} }}"));
    let gateway = Arc::new(before(&redis, &policy).start().await);
    let sale = Arc::new(Sale::default());

    let worker = Worker::stream(&redis, "jobs:bulk").rate(WORKER).start();
    let depth = tokio::spawn(watch(redis.clone(), sale.clone()));
    flood(&gateway, &sale, 20.0 * WORKER, WARM_UP + OVERLOAD).await;
    sale.over.store(true, Ordering::Relaxed);
    let depths = depth.await.unwrap();
    let (done, idle) = (worker.done(), worker.idle());
    let peak = sale.peak.load(Ordering::Relaxed);
    let mean = depths.iter().sum::<u64>() as f64 / depths.len() as f64;
    let drain = gateway.metrics().await.sum("tidegate_drain_rate", &[("tier", "p2")]);
    let offered = sale.admitted.load(Ordering::Relaxed) + sale.throttled.load(Ordering::Relaxed);
    println!(
        "offered {offered}; depth peak {peak} mean {mean:.0} of {TARGET}; done {done}, idle {idle}; drain {drain:.0}/s"
    );

    let seconds = (WARM_UP + OVERLOAD).as_secs_f64();
    assert!(offered as f64 > 10.0 * WORKER * seconds, "only {offered} offered: no flood, no proof");
    assert!(peak as f64 <= 1.15 * TARGET as f64, "the depth reached {peak} at a target of {TARGET}");
    assert!(mean > 0.8 * TARGET as f64, "the depth was {mean} on average at a target of {TARGET}");
    assert!(
        (0.6 * WORKER..1.5 * WORKER).contains(&drain),
        "drain {drain}/s learned of a worker of {WORKER}/s"
    );
    worker.stop().await;
    Arc::into_inner(gateway).expect("nobody else holds it").finish().await;
}

/// The depth of bulk as Redis itself has it, what waits for the group and what it has not acknowledged: the peak of all
/// time, and every look in the overloaded time.
async fn watch(redis: Arc<Redis>, sale: Arc<Sale>) -> Vec<u64> {
    let started = Instant::now();
    let mut tick = interval(Duration::from_millis(50));
    let mut depths = Vec::new();
    while !sale.is_over() {
        tick.tick().await;
        let groups = redis.cli(&["XINFO", "GROUPS", "jobs:bulk"]).await;
        let group = &groups.items()[0];
        let depth = group.field("lag").count() + group.field("pending").count();
        if started.elapsed() > WARM_UP {
            depths.push(depth);
        }
        sale.peak.fetch_max(depth, Ordering::Relaxed);
    }
    depths
}
