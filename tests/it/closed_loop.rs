//! The loop closed: bulk offered at twenty times what the workers can do is held at its target, the workers are
//! never idle, and critical work does not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::interval;

use crate::support::flood::{Sale, flood};
use crate::support::gateway::{Gateway, Setup};
use crate::support::jobs::type_of;
use crate::support::policy::Policy;
use crate::support::poll::until;

/// Jobs per second that the workers do, all tiers together.
const WORKERS: f64 = 100.0;
/// Bulk jobs per second offered, beside those that return.
const OFFERED: f64 = 20.0 * WORKERS;
const TARGET: u64 = 300;
/// For the queue to fill and the loop to settle.
const WARM_UP: Duration = Duration::from_secs(3);
const OVERLOAD: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bulk_is_held_at_its_target_while_workers_stay_busy_and_critical_work_flows() {
    let policy = Policy::calm().tier("p2", "target", &format!("{{ depth: {TARGET} }}"));
    let gateway = Arc::new(Setup::with(&policy).start().await);
    let sale = Arc::new(Sale::default());

    let worker = tokio::spawn(work(gateway.clone(), sale.clone()));
    let critical = tokio::spawn(trickle(gateway.clone(), sale.clone()));
    let depth = tokio::spawn(watch(gateway.clone(), sale.clone()));
    flood(&gateway, &sale, OFFERED, WARM_UP + OVERLOAD).await;
    sale.over.store(true, Ordering::Relaxed);
    let (asked, idle) = worker.await.unwrap();
    let waits = critical.await.unwrap();
    let depths = depth.await.unwrap();

    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let offered = count(&sale.admitted) + count(&sale.throttled);
    let busy = 1.0 - idle as f64 / asked as f64;
    let peak = count(&sale.peak).max(depths.iter().copied().max().unwrap());
    let mean = depths.iter().sum::<u64>() as f64 / depths.len() as f64;
    let drain = gateway.metrics().await.sum("tidegate_drain_rate", &[("tier", "p2")]);
    let p99 = waits[waits.len() * 99 / 100];
    println!(
        "offered {offered} (returns {}), admitted {}, throttled {}; depth peak {peak} mean {mean:.0} of {TARGET}; \
         workers busy {:.1} %; drain learned {drain:.0}/s; critical {} jobs, p99 {p99:?}",
        count(&sale.returned),
        count(&sale.admitted),
        count(&sale.throttled),
        busy * 100.0,
        waits.len(),
    );

    let seconds = (WARM_UP + OVERLOAD).as_secs_f64();
    assert!(offered as f64 > 0.5 * OFFERED * seconds, "only {offered} offered: no flood, no proof");
    assert!(peak <= TARGET * 11 / 10 + 10, "the depth reached {peak} at a target of {TARGET}");
    assert!(mean > 0.8 * TARGET as f64, "the depth was {mean} on average at a target of {TARGET}");
    assert!(busy >= 0.95, "workers were busy {:.1} % of the time", busy * 100.0);
    assert!(
        (40.0..160.0).contains(&drain),
        "drain {drain}/s learned of workers that do about 80 bulk jobs/s"
    );
    assert!(p99 < Duration::from_millis(750), "critical work waited {p99:?}");
    Arc::into_inner(gateway).expect("nobody else holds it").finish().await;
}

/// A crowd of ten seconds of work arrives within one; everybody comes back exactly when told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_returns_when_told_is_served_with_few_requests_and_without_idle_workers() {
    const CROWD: u64 = 1000;
    let policy = Policy::calm().tier("p1", "target", "{ depth: 200 }");
    let gateway = Arc::new(Setup::with(&policy).start().await);
    let sale = Arc::new(Sale::default());
    let post = async |gateway: &Gateway| gateway.post("{}", &[("tidegate-type", type_of("p1"))]).await;

    // The gateway has seen its workers busy.
    let worker = tokio::spawn(work(gateway.clone(), sale.clone()));
    until("the drain is known", Duration::from_secs(20), async || {
        while post(&gateway).await.status == 202 {}
        let drain = gateway.metrics().await.sum("tidegate_drain_rate", &[("tier", "p1")]);
        (drain > 0.7 * WORKERS).then_some(())
    })
    .await;

    let started = Instant::now();
    let clients: Vec<_> = (0..CROWD)
        .map(|number| {
            let gateway = gateway.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1).mul_f64(number as f64 / CROWD as f64)).await;
                let mut requests = 1;
                loop {
                    let answer = gateway.post("{}", &[("tidegate-type", type_of("p1"))]).await;
                    if answer.status == 202 {
                        return requests;
                    }
                    requests += 1;
                    tokio::time::sleep(answer.problem(429, "throttled").retry_after.unwrap()).await;
                }
            })
        })
        .collect();
    let mut requests = 0;
    for client in clients {
        requests += client.await.unwrap();
    }
    let took = started.elapsed();
    sale.over.store(true, Ordering::Relaxed);
    worker.await.unwrap();
    let per_job = f64::from(requests) / CROWD as f64;
    println!("{CROWD} clients served in {took:?} with {per_job:.2} requests per job");
    assert!(per_job < 2.5, "{per_job} requests per job");
    assert!(took < Duration::from_secs(25), "the last client was served after {took:?}, ten seconds of work");
    Arc::into_inner(gateway).expect("nobody else holds it").finish().await;
}

/// Workers at a fixed rate; how many jobs they could have done in the overloaded time, and for how many of these
/// there was none.
async fn work(gateway: Arc<Gateway>, sale: Arc<Sale>) -> (u64, u64) {
    let started = Instant::now();
    let mut tick = interval(Duration::from_millis(20));
    let (mut done, mut asked, mut idle) = (0, 0, 0);
    while !sale.is_over() {
        tick.tick().await;
        let due = (started.elapsed().as_secs_f64() * WORKERS) as u64 - done;
        if due == 0 {
            continue;
        }
        done += due;
        let jobs = gateway.lease(json!({ "max": due })).await;
        if !jobs.is_empty() {
            assert!(gateway.ack(&jobs).await.iter().all(|status| status == "ok"));
        }
        if started.elapsed() > WARM_UP {
            asked += due;
            idle += due - jobs.len() as u64;
        }
    }
    (asked, idle)
}

/// Critical jobs, twenty a second, every one of which must be taken; how long each took, sorted.
async fn trickle(gateway: Arc<Gateway>, sale: Arc<Sale>) -> Vec<Duration> {
    let mut tick = interval(Duration::from_millis(50));
    let mut waits = Vec::new();
    while !sale.is_over() {
        tick.tick().await;
        let answer = gateway.post("{}", &[("tidegate-type", type_of("p0"))]).await;
        assert_eq!(answer.receipt().tier, "p0");
        waits.push(answer.took);
    }
    waits.sort();
    waits
}

/// The depth of bulk as the metrics show it, in the overloaded time.
async fn watch(gateway: Arc<Gateway>, sale: Arc<Sale>) -> Vec<u64> {
    let started = Instant::now();
    let mut tick = interval(Duration::from_millis(100));
    let mut depths = Vec::new();
    while !sale.is_over() {
        tick.tick().await;
        let scrape = gateway.metrics().await;
        if started.elapsed() > WARM_UP {
            depths.push(scrape.count("tidegate_queue_depth", &[("tier", "p2")]));
        }
    }
    depths
}
