//! Records that are deleted before anybody read them are counted, each once, and said aloud.

use std::time::Duration;

use super::Place;
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::kafka_client::{commit, ends};
use crate::support::policy::Policy;
use crate::support::poll::until;

#[tokio::test]
async fn records_deleted_unread_are_counted_exactly() {
    let kafka = Kafka::shared().await;
    let place = Place::on(kafka, 2, &[]).await;
    // Keys spread the records over the partitions: without them those of one moment lie together.
    let policy = Policy::calm().top("ordering_key_from", "[ \"body:/key\" ]");
    let gateway = place.before(kafka, policy).start().await;
    let lines: String = (0..300).map(|number| format!("{{\"key\":\"{number}\"}}\n")).collect();
    let bulk = [("tidegate-type", "analytics")];
    assert_eq!(gateway.batch("application/x-ndjson", lines, &bulk).await.status, 202);
    let topic = place.topic(2);
    let filled = ends(kafka, &topic).await;
    assert_eq!(filled.iter().sum::<i64>(), 300);
    assert!(filled.iter().all(|end| *end > 20), "records are spread: {filled:?}");

    // Ten of one partition are read; fifteen are deleted, of the other one eight.
    commit(kafka, place.group(), &topic, &[10, 0]).await;
    shows(&gateway, 290, 0).await;
    kafka.delete_records(&topic, 0, 15).await;
    kafka.delete_records(&topic, 1, 8).await;
    shows(&gateway, 300 - 15 - 8, 5 + 8).await;
    // What was read may go; and nothing is counted twice.
    commit(kafka, place.group(), &topic, &[20, 8]).await;
    shows(&gateway, 300 - 20 - 8, 13).await;
    kafka.delete_records(&topic, 0, 20).await;
    kafka.delete_records(&topic, 1, 20).await;
    shows(&gateway, 300 - 20 - 20, 13 + 12).await;
    assert!(gateway.log().contains("deleted"), "it is said aloud");
    // What is lost is where it is, for those who keep the books.
    gateway.finish_after_outage().await;
}

/// Waits until the depth of bulk and what it lost are these. While a group commits, its next commits tell what it had in its
/// hands; what is deleted above its commit counts as lost when it has not committed for a while.
async fn shows(gateway: &Gateway, depth: u64, lost: u64) {
    let mut seen = (0, 0);
    let bulk = [("tier", "p2")];
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let scrape = gateway.metrics().await;
            seen = (
                scrape.count("tidegate_queue_depth", &bulk),
                scrape.count("tidegate_lost_unread_total", &bulk),
            );
            assert!(seen.1 <= lost, "{} are counted as lost, {lost} are", seen.1);
            if seen == (depth, lost) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(found.await.is_ok(), "depth and lost are {seen:?}, should be {:?}", (depth, lost));
    until("the signal is fresh", PATIENCE, async || {
        (gateway.metrics().await.sum("tidegate_signal_age_seconds", &bulk) < 2.0).then_some(())
    })
    .await;
}

const PATIENCE: Duration = Duration::from_secs(40);
