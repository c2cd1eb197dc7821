//! A Kafka that stands still, its connections open: nobody waits for it longer than the bound, and what was said is true.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{BOUND, BROKER_BACK, Place};
use crate::support::book::{Book, Load};
use crate::support::kafka::Kafka;
use crate::support::policy::Policy;
use crate::support::recovery::{finish, recovers, without_probes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kafka_that_is_stopped_is_answered_for_within_five_seconds() {
    let kafka = Kafka::start(&[]).await;
    let place = Place::on(&kafka, 2, &[]).await;
    let gateway = Arc::new(place.before(&kafka, Policy::calm()).start().await);
    let book = Book::new();
    let load = Load::start(&gateway, &book);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(book.fates().stored > 0);

    kafka.stop();
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
        let ready = gateway.ingest.get("/readyz").send().await;
        assert_eq!(ready.status, 200, "the outage is not this instance's own");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    kafka.cont();
    let back = Instant::now();
    recovers(&gateway, "p1", BROKER_BACK).await;
    println!(
        "back after {:?}; while stopped, after 5 s, the slowest answer took {slowest:?}",
        back.elapsed()
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    load.stop().await;
    assert!(slowest < Duration::from_millis(500), "a refusal took {slowest:?}");
    assert!(book.slowest() < BOUND, "a client waited {:?}", book.slowest());
    println!("{:?}", book.fates());
    book.check_but_open_ones(without_probes(place.drain_all(&kafka).await));
    finish(gateway).await;
}

const STOPPED: Duration = Duration::from_secs(12);
