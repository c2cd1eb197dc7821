//! The spool before a real Kafka: outages, kills in the midst of them, and what consumers then find.

use std::time::{Duration, Instant};

use super::{BROKER_BACK, Place};
use crate::support::gateway::Setup;
use crate::support::jobs::type_of;
use crate::support::kafka::Kafka;
use crate::support::kafka_client::{Record, read_all};
use crate::support::kafka_worker::{Running, Worker};
use crate::support::keyed_clients::{Found, KeyedClients, Repeats, spool_is_empty, spooling_policy};
use crate::support::policy::Policy;
use crate::support::poll::until;

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
async fn a_tier_that_does_not_spool_is_told_to_wait_and_critical_work_is_not_behind_bulk() {
    let mut kafka = Kafka::start(&[]).await;
    let place = Place::on(&kafka, 1, &[]).await;
    let policy = spooling_policy().tier("p2", "spool", "true").tier("p1", "spool", "false");
    let gateway = spooling(&place, &kafka, policy).start().await;
    gateway.accept("p1", "before").await;
    kafka.kill();
    // What was on its way when Kafka died is unknown; from then on bulk is spooled.
    let large = "x".repeat(10_000);
    let mut bulk = 0;
    until("bulk is spooled", Duration::from_secs(10), async || {
        let answer = gateway.post(&large, &[("tidegate-type", type_of("p2"))]).await;
        (answer.status == 202).then(|| assert_eq!(answer.receipt().durability, "spooled"))
    })
    .await;
    while bulk < 500 {
        assert_eq!(gateway.accept("p2", &large).await.durability, "spooled");
        bulk += 1;
    }
    let critical = gateway.accept("p0", "critical").await;
    assert_eq!(critical.durability, "spooled");
    let answer = gateway.post("standard", &[("tidegate-type", type_of("p1"))]).await;
    let problem = answer.problem(503, "backend_unavailable");
    assert_eq!(problem.outcome, "not_stored");
    assert!(problem.retry_after.is_some() && answer.took < Duration::from_secs(1), "{answer:?}");
    assert_eq!(gateway.ingest.get("/readyz").send().await.status, 200);
    kafka.restart().await;
    spool_is_empty(&gateway, "p0").await;
    let records = read_all(&kafka, &place.topic(0)).await;
    assert_eq!(records.iter().filter(|record| record.id() == critical.id).count(), 1);
    spool_is_empty(&gateway, "p2").await;
    assert!(read_all(&kafka, &place.topic(2)).await.len() > bulk);
    until("p1 is taken again", BROKER_BACK, async || {
        let answer = gateway.post("late", &[("tidegate-type", type_of("p1"))]).await;
        (answer.status == 202).then_some(())
    })
    .await;
    gateway.finish_after_outage().await;
}

/// Clients of one key each go on while Kafka dies and comes back; with `kills` the gateway dies in the outage and again while
/// it empties the spool.
async fn play(outage: Duration, kills: bool) {
    let mut kafka = Kafka::start(&[]).await;
    let place = Place::on(&kafka, 2, &[]).await;
    let policy = spooling_policy().tier("p1", "target", "{ depth: 4000 }");
    let mut gateway = spooling(&place, &kafka, policy).start().await;
    let clients = KeyedClients::default();
    clients.work(&gateway, Duration::from_secs(2)).await;
    kafka.kill();
    if kills {
        clients.work_until_killed(&mut gateway, outage / 2).await;
        clients.work(&gateway, outage / 2).await;
    } else {
        clients.work(&gateway, outage).await;
    }
    let waiting = gateway.metrics().await.count("tidegate_spool_depth", &[("tier", "p1")]);
    println!("{waiting} in the spool after {outage:?}, {} receipts", clients.receipts());
    assert!(waiting > 1_000, "only {waiting} in the spool");
    kafka.restart().await;
    let worker = Worker::new(&kafka, &place.topic(1)).group(place.group()).start();
    if kills {
        let spooled = async || gateway.metrics().await.count("tidegate_spool_depth", &[("tier", "p1")]);
        until("some came out of the spool", BROKER_BACK, async || {
            (spooled().await < waiting * 9 / 10).then_some(())
        })
        .await;
        println!("killed with {} left", spooled().await);
        gateway.kill();
        gateway.restart().await;
    }
    let rest = async {
        let started = Instant::now();
        spool_is_empty(&gateway, "p1").await;
        println!("emptied in {:?} more", started.elapsed());
    };
    clients.work_during(&gateway, rest).await;
    clients.work(&gateway, Duration::from_secs(1)).await;
    let found = all_of(&kafka, &place, worker).await;
    let found: Vec<_> =
        found.iter().map(|record| Found { id: record.id(), payload: record.text() }).collect();
    clients.check(&found, if kills { Repeats::OfSpooled } else { Repeats::Never });
    gateway.finish_after_outage().await;
}

/// Waits until the worker has everything that is in the topic; what lies there, in order.
async fn all_of(kafka: &Kafka, place: &Place, worker: Running) -> Vec<Record> {
    let records = read_all(kafka, &place.topic(1)).await;
    worker.has_done(records.len() as u64, Duration::from_secs(60)).await;
    worker.stop().await;
    records
}

fn spooling(place: &Place, kafka: &Kafka, policy: Policy) -> Setup {
    let setup = place.before(kafka, policy);
    let path = setup.folder().join("spool.db").display().to_string();
    setup.set("spool.path", &path)
}
