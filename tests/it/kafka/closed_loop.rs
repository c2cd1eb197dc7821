//! The loop closed over Kafka: bulk offered at twenty times what a consumer does is held at its target, though the group's
//! lag is only as true as its last commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::interval;

use super::Place;
use crate::support::flood::{Sale, flood};
use crate::support::kafka::Kafka;
use crate::support::kafka_worker::{Running, Worker};
use crate::support::policy::Policy;

/// Jobs per second that the worker does.
const WORKER: f64 = 100.0;
/// For the loop to settle after the queue was filled.
const WARM_UP: Duration = Duration::from_secs(8);
const OVERLOAD: Duration = Duration::from_secs(16);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bulk_is_held_at_its_target_before_a_consumer_that_commits_each_second() {
    hold(Duration::from_secs(1), 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_before_one_that_commits_each_five_seconds() {
    hold(Duration::from_secs(5), 2000).await;
}

async fn hold(commits_every: Duration, target: u64) {
    let kafka = Kafka::shared().await;
    let place = Place::on(kafka, 2, &[]).await;
    let policy = Policy::calm().tier("p2", "target", &format!("{{ depth: {target} }}"));
    let gateway = Arc::new(place.before(kafka, policy).start().await);
    let sale = Arc::new(Sale::default());
    let worker = Worker::new(kafka, &place.topic(2)).group(place.group());
    let worker = Arc::new(worker.rate(WORKER).commits_every(commits_every).start());
    let depths = tokio::spawn(watch(worker.clone(), sale.clone()));
    flood(&gateway, &sale, 20.0 * WORKER, WARM_UP + OVERLOAD).await;
    sale.over.store(true, Ordering::Relaxed);
    let Watched { depths, peak, done, idle } = depths.await.unwrap();
    let mean = depths.iter().sum::<u64>() as f64 / depths.len() as f64;
    let used = done as f64 / (done + idle) as f64;
    let drain = gateway.metrics().await.sum("tidegate_drain_rate", &[("tier", "p2")]);
    let offered = sale.admitted.load(Ordering::Relaxed) + sale.throttled.load(Ordering::Relaxed);
    println!(
        "commits every {commits_every:?}: offered {offered}; true depth peak {peak} ({:.2} of {target}) mean {mean:.0}; \
         worker used {:.1} %; drain {drain:.0}/s",
        peak as f64 / target as f64,
        100.0 * used
    );
    let seconds = (WARM_UP + OVERLOAD).as_secs_f64();
    assert!(offered as f64 > 10.0 * WORKER * seconds, "only {offered} offered: no flood, no proof");
    assert!(peak as f64 <= 1.15 * target as f64, "the depth reached {peak} at a target of {target}");
    assert!(used >= 0.97, "the worker was used {:.1} % of the time", 100.0 * used);
    assert!(
        (0.6 * WORKER..1.5 * WORKER).contains(&drain),
        "drain {drain}/s learned of a worker of {WORKER}/s"
    );
    Arc::into_inner(worker).expect("nobody else holds it").stop().await;
    Arc::into_inner(gateway).expect("nobody else holds it").finish().await;
}

struct Watched {
    /// Every look in the overloaded time.
    depths: Vec<u64>,
    /// Of all time.
    peak: u64,
    /// What the worker did in the overloaded time, and could have done besides.
    done: u64,
    idle: u64,
}

/// The true depth by the test's own books, not the lag shown: what was answered 202 and is not done.
async fn watch(worker: Arc<Running>, sale: Arc<Sale>) -> Watched {
    let started = Instant::now();
    let mut tick = interval(Duration::from_millis(20));
    let mut watched = Watched { depths: Vec::new(), peak: 0, done: 0, idle: 0 };
    let mut before = None;
    while !sale.is_over() {
        tick.tick().await;
        let (done, idle) = (worker.done(), worker.idle());
        let depth = sale.admitted.load(Ordering::Relaxed).saturating_sub(done);
        watched.peak = watched.peak.max(depth);
        if started.elapsed() > WARM_UP {
            watched.depths.push(depth);
            let (done_before, idle_before) = *before.get_or_insert((done, idle));
            (watched.done, watched.idle) = (done - done_before, idle - idle_before);
        }
    }
    watched
}
