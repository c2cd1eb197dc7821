//! Jobs that were deleted before every group had read them: each counts once.

use std::time::Duration;

use tidegate::domain::tier::Tier;

use super::{Bench, PATIENCE};
use crate::support::kafka_client::commit;
use crate::support::kafka_worker::Worker;
use crate::support::poll::until;

#[tokio::test]
async fn records_deleted_unread_count_exactly_and_once() {
    let bench = Bench::new(2).await;
    let topic = bench.topic(Tier::P0);
    bench.send(topic, 0, 100).await;
    bench.send(topic, 1, 100).await;
    commit(bench.kafka, "workers", topic, &[10, 50]).await;
    assert_eq!(bench.sight().await.lost, 0);
    bench.kafka.delete_records(topic, 0, 30).await;
    bench.kafka.delete_records(topic, 1, 40).await;
    let sight = bench.sight().await;
    assert_eq!((sight.lost, sight.backlog.waiting), (20, 70 + 50), "of partition 1 only read ones");
    assert_eq!(bench.sight().await.lost, 20, "once");
    bench.kafka.delete_records(topic, 0, 60).await;
    assert_eq!(bench.sight().await.lost, 20 + 30);
    commit(bench.kafka, "workers", topic, &[60, 100]).await;
    bench.kafka.delete_records(topic, 0, 100).await;
    bench.kafka.delete_records(topic, 1, 100).await;
    // As long as the group may be at work, it may have those in its hands.
    let sight = bench.seen("they are given up", |sight| sight.backlog.waiting == 0).await;
    assert_eq!(sight.topic.retention.lost_unread, sight.lost);
    assert_eq!(sight.lost, 20 + 30 + 40, "those of the second and of the third deletion");
}

#[tokio::test]
async fn what_nobody_ever_read_is_lost_too() {
    let bench = Bench::new(1).await;
    let topic = bench.topic(Tier::P0);
    bench.send(topic, 0, 50).await;
    assert_eq!(bench.sight().await.backlog.waiting, 50);
    bench.kafka.delete_records(topic, 0, 20).await;
    let sight = bench.sight().await;
    assert_eq!((sight.lost, sight.backlog.waiting), (20, 30));
}

#[tokio::test]
async fn while_a_worker_goes_on_every_job_is_read_or_lost() {
    let bench = Bench::new(1).await;
    let topic = bench.topic(Tier::P0).to_owned();
    bench.send(&topic, 0, 3_000).await;
    bench.sight().await;
    let worker =
        Worker::new(bench.kafka, &topic).rate(200.0).commits_every(Duration::from_millis(100)).start();
    for below in [900, 1_800, 2_700] {
        let before = worker.done();
        // The readings of a gateway go on meanwhile, ten a second.
        until("the worker takes some", PATIENCE, async || {
            bench.sight().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            (worker.done() > before + 60).then_some(())
        })
        .await;
        bench.kafka.delete_records(&topic, 0, below).await;
    }
    let lost = bench.seen("all is read", |sight| sight.backlog.waiting == 0).await.lost;
    let read: std::collections::BTreeSet<i64> =
        worker.stop().await.iter().map(|record| record.offset).collect();
    println!("lost {lost}, read {}", read.len());
    let missing = 3_000 - read.len() as u64;
    assert_eq!(lost, missing, "what the worker had fetched before it was deleted is read");
}

#[tokio::test]
async fn what_a_worker_leaps_over_is_lost() {
    let bench = Bench::new(1).await;
    let topic = bench.topic(Tier::P0);
    bench.send(topic, 0, 1_000).await;
    for committed in [20, 40, 60, 80] {
        commit(bench.kafka, "workers", topic, &[committed]).await;
        assert_eq!(bench.sight().await.backlog.waiting, 1_000 - committed as u64);
    }
    bench.kafka.delete_records(topic, 0, 600).await;
    commit(bench.kafka, "workers", topic, &[100]).await;
    let sight = bench.sight().await;
    assert_eq!((sight.lost, sight.backlog.waiting), (0, 900), "it has those in its hands, and maybe more");
    commit(bench.kafka, "workers", topic, &[620]).await;
    let sight = bench.sight().await;
    assert_eq!((sight.lost, sight.backlog.waiting), (500, 380), "it began again with what is there");
}

#[tokio::test]
async fn of_a_topic_made_anew_the_unread_jobs_are_lost_and_it_is_read_from_its_beginning() {
    let bench = Bench::new(2).await;
    let topic = bench.topic(Tier::P0);
    bench.send(topic, 0, 40).await;
    commit(bench.kafka, "workers", topic, &[10, 0]).await;
    assert_eq!(bench.sight().await.backlog.waiting, 30);
    bench.kafka.delete(topic).await;
    until("it is missed", PATIENCE, async || bench.look(Tier::P0).await.err()).await;
    assert!(bench.look(Tier::P1).await.is_ok(), "the other tiers' readings stand");
    bench.kafka.create(topic, 1, &[]).await;
    bench.send(topic, 0, 7).await;
    let sight = bench.seen("the new topic", |sight| sight.backlog.waiting == 7).await;
    assert_eq!((sight.lost, sight.topic.partitions), (30, 1));
    assert_eq!(bench.sight().await.lost, 30);
}
