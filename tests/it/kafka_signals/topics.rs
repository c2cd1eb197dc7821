//! Topics that are missing, that grow, that do not count one by one, and how long they keep jobs.

use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewPartitions};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use tidegate::clock::Clock;
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::queue::kafka::settings::KafkaSettings;
use tidegate::queue::kafka::signals::Observer;

use super::{Bench, PATIENCE};
use crate::support::kafka::{Kafka, unique};
use crate::support::kafka_client::blocking;
use crate::support::poll::until;

#[tokio::test]
async fn a_missing_topic_is_an_error_of_its_tier_alone_until_it_is_there() {
    let kafka = Kafka::shared().await;
    let topics = TierMap::from_fn(|tier| unique(&format!("signals-{tier}")));
    kafka.create(&topics[Tier::P0], 1, &[]).await;
    kafka.create(&topics[Tier::P2], 1, &[]).await;
    let settings = KafkaSettings { brokers: kafka.brokers(), ..KafkaSettings::default() };
    let observer = Observer::of(&settings, &topics, Clock::start()).unwrap();
    let sights = observer.look().await;
    assert!(sights[Tier::P0].is_ok() && sights[Tier::P2].is_ok(), "{sights:?}");
    let error = sights[Tier::P1].clone().unwrap_err().to_string();
    assert!(error.contains(&format!("the topic {} does not exist", topics[Tier::P1])), "{error}");
    kafka.create(&topics[Tier::P1], 1, &[]).await;
    until("it is seen", PATIENCE, async || observer.look().await[Tier::P1].clone().ok()).await;
}

#[tokio::test]
async fn new_partitions_are_seen() {
    let bench = Bench::new(1).await;
    let topic = bench.topic(Tier::P0);
    assert_eq!(bench.sight().await.ends, [0]);
    let more = NewPartitions::new(topic, 3);
    bench.kafka.admin().create_partitions([&more], &AdminOptions::new()).await.unwrap();
    bench.send(topic, 2, 5).await;
    let sight = bench.seen("the new partitions", |sight| sight.ends == [0, 0, 5]).await;
    assert_eq!((sight.backlog.waiting, sight.topic.partitions, sight.lost), (5, 3, 0));
}

#[tokio::test]
async fn a_compacted_topic_is_an_estimate() {
    let bench = Bench::with(1, &[("cleanup.policy", "compact,delete")], |_| {}).await;
    bench.seen("it is said", |sight| sight.topic.estimated).await;
    let plain = Bench::new(1).await;
    plain.seen("its retention is known", |sight| sight.topic.retention.limit.is_some()).await;
    assert!(!plain.sight().await.topic.estimated);
}

#[tokio::test]
async fn a_topic_to_which_transactions_write_is_an_estimate() {
    let bench = Bench::new(1).await;
    let topic = bench.topic(Tier::P0).to_owned();
    assert!(!bench.sight().await.topic.estimated);
    let mut config = bench.kafka.client();
    config.set("transactional.id", unique("signals-transaction"));
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
    let (producer, sent) = blocking({
        let topic = topic.clone();
        move || {
            producer.init_transactions(PATIENCE).unwrap();
            producer.begin_transaction().unwrap();
            producer.send(BaseRecord::<(), str>::to(&topic).payload("{}")).map_err(|(why, _)| why).unwrap();
            producer.flush(PATIENCE).unwrap();
            (producer, true)
        }
    })
    .await;
    assert!(sent);
    let sight = bench.seen("the open transaction", |sight| sight.topic.estimated).await;
    assert_eq!(sight.backlog.waiting, 1, "it waits, committed or not");
    blocking(move || producer.abort_transaction(PATIENCE).unwrap()).await;
    bench
        .seen("it stays an estimate: the record and its marker have offsets", |sight| sight.topic.estimated)
        .await;
}

#[tokio::test]
async fn how_long_the_topic_keeps_jobs_is_read_from_it() {
    let bench = Bench::with(1, &[("retention.ms", "3600000")], |_| {}).await;
    bench.send(bench.topic(Tier::P0), 0, 1).await;
    let sight = bench.seen("its headroom", |sight| sight.backlog.headroom.is_some()).await;
    let retention = sight.topic.retention;
    assert_eq!(retention.limit, Some(Duration::from_secs(3_600)));
    let headroom = sight.backlog.headroom.unwrap();
    assert!(headroom > Duration::from_secs(3_540) && headroom <= Duration::from_secs(3_600), "{headroom:?}");
    let forever = Bench::with(1, &[("retention.ms", "-1")], |_| {}).await;
    forever.send(forever.topic(Tier::P0), 0, 1).await;
    tokio::time::timeout(Duration::from_secs(3), async {
        loop {
            assert_eq!(forever.sight().await.backlog.headroom, None);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .unwrap_err();
}
