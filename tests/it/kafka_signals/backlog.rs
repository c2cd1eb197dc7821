//! What waits: end less the commit of the slowest group, by partition, retries included.

use tidegate::domain::tier::Tier;
use tidegate::queue::topic::HotPartition;

use super::Bench;
use crate::support::kafka_client::commit;

#[tokio::test]
async fn what_no_group_member_has_committed_waits() {
    let bench = Bench::new(3).await;
    let topic = bench.topic(Tier::P0);
    assert_eq!(bench.sight().await.backlog.waiting, 0);
    bench.send(topic, 0, 10).await;
    bench.send(topic, 2, 5).await;
    let sight = bench.sight().await;
    assert_eq!((sight.backlog.waiting, sight.ends, sight.lost), (15, vec![10, 0, 5], 0));
    commit(bench.kafka, "workers", topic, &[4, 0, 5]).await;
    let sight = bench.sight().await;
    assert_eq!((sight.backlog.waiting, sight.backlog.leased), (6, 0));
    assert_eq!(sight.topic.hottest, Some(HotPartition { partition: 0, lag: 6, share: 1.0 }));
    assert_eq!(sight.topic.partitions, 3);
    assert_eq!(bench.look(Tier::P1).await.unwrap().backlog.waiting, 0);
    commit(bench.kafka, "workers", topic, &[10, 0, 5]).await;
    let sight = bench.sight().await;
    assert_eq!((sight.backlog.waiting, sight.backlog.oldest_age, sight.topic.hottest), (0, None, None));
}

#[tokio::test]
async fn the_slowest_of_the_groups_that_count_decides() {
    let bench = Bench::with(1, &[], |s| s.groups = vec!["fast".into(), "slow".into()]).await;
    let topic = bench.topic(Tier::P0);
    bench.send(topic, 0, 10).await;
    commit(bench.kafka, "fast", topic, &[9]).await;
    commit(bench.kafka, "slow", topic, &[3]).await;
    commit(bench.kafka, "somebody-else", topic, &[0]).await;
    let sight = bench.sight().await;
    assert_eq!(sight.backlog.waiting, 7);
    let lags: Vec<_> = sight.groups.iter().map(|group| (&*group.name, group.lag, group.counts)).collect();
    assert_eq!(lags, [("fast", 1, true), ("slow", 7, true)]);
}

#[tokio::test]
async fn a_group_that_begins_with_what_comes_has_nothing_to_do_until_it_commits() {
    let latest = |settings: &mut tidegate::queue::kafka::settings::KafkaSettings| {
        settings.properties.add("auto.offset.reset", "latest").unwrap();
    };
    let bench = Bench::with(1, &[], latest).await;
    let topic = bench.topic(Tier::P0);
    bench.send(topic, 0, 10).await;
    assert_eq!(bench.sight().await.backlog.waiting, 0);
    commit(bench.kafka, "workers", topic, &[10]).await;
    bench.send(topic, 0, 4).await;
    assert_eq!(bench.sight().await.backlog.waiting, 4);
}

#[tokio::test]
async fn jobs_that_wait_for_another_attempt_are_in_the_depth() {
    let bench = Bench::new(1).await;
    let retry = format!("{}.retry", bench.topic(Tier::P0));
    bench.kafka.create(&retry, 2, &[]).await;
    bench.send(bench.topic(Tier::P0), 0, 3).await;
    bench.send(&retry, 1, 2).await;
    let sight = bench.seen("the topic of retries", |sight| sight.backlog.waiting == 5).await;
    assert_eq!((sight.groups[0].lag, sight.ends), (5, vec![3]));
    commit(bench.kafka, "workers", &retry, &[0, 1]).await;
    assert_eq!(bench.sight().await.backlog.waiting, 4);
}

#[tokio::test]
async fn readings_are_stamped_with_the_moment_they_were_taken() {
    let bench = Bench::new(1).await;
    let first = bench.sight().await;
    let second = bench.sight().await;
    assert!(second.taken > first.taken);
}
