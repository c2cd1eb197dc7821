//! What the gateway sees of a real Kafka: backlog, losses, ages, groups, topics that come and go.

mod ages;
mod backlog;
mod groups;
mod losses;
mod outage;
mod retention;
mod topics;

use std::time::Duration;

use rdkafka::producer::{FutureProducer, FutureRecord};
use tidegate::clock::Clock;
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::queue::error::QueueError;
use tidegate::queue::kafka::settings::KafkaSettings;
use tidegate::queue::kafka::signals::{Observer, Sight};

use crate::support::kafka::{Kafka, unique};
use crate::support::poll::until;

/// A Kafka with an observer of three topics.
struct Bench {
    kafka: &'static Kafka,
    /// The topics of jobs.
    topics: TierMap<String>,
    observer: Observer,
}

impl Bench {
    /// Three topics of so many partitions, and a group `workers`.
    async fn new(partitions: i32) -> Bench {
        Bench::with(partitions, &[], |_| {}).await
    }

    async fn with(
        partitions: i32,
        config: &[(&str, &str)],
        change: impl FnOnce(&mut KafkaSettings),
    ) -> Bench {
        let kafka = Kafka::shared().await;
        let topics = TierMap::from_fn(|tier| unique(&format!("signals-{tier}")));
        for (_, topic) in topics.iter() {
            kafka.create(topic, partitions, config).await;
        }
        let mut settings = KafkaSettings { brokers: kafka.brokers(), ..KafkaSettings::default() };
        change(&mut settings);
        let observer = Observer::of(&settings, &topics, Clock::start()).unwrap();
        Bench { kafka, topics, observer }
    }

    fn topic(&self, tier: Tier) -> &str {
        &self.topics[tier]
    }

    async fn look(&self, tier: Tier) -> Result<Sight, QueueError> {
        self.observer.look().await[tier].clone()
    }

    /// P0 as it is seen now.
    async fn sight(&self) -> Sight {
        self.look(Tier::P0).await.unwrap()
    }

    /// P0 once it is seen so.
    async fn seen(&self, what: &str, so: impl Fn(&Sight) -> bool) -> Sight {
        until(what, PATIENCE, async || self.look(Tier::P0).await.ok().filter(&so)).await
    }

    /// Sends so many records to a partition of a topic.
    async fn send(&self, topic: &str, partition: i32, records: usize) {
        send_of(self.kafka, topic, partition, records, None).await;
    }
}

/// Sends records that say they were made at a time in milliseconds, or now.
async fn send_of(kafka: &Kafka, topic: &str, partition: i32, records: usize, time: Option<i64>) {
    let producer: FutureProducer = kafka.client().set("acks", "all").create().unwrap();
    let mut on_the_way = Vec::new();
    for _ in 0..records {
        let record = FutureRecord::<(), str>::to(topic).partition(partition).payload("{}");
        let record = match time {
            Some(time) => record.timestamp(time),
            None => record,
        };
        on_the_way.push(producer.send_result(record).map_err(|(why, _)| why).unwrap());
    }
    for sent in on_the_way {
        sent.await.unwrap().map_err(|(why, _)| why).unwrap();
    }
}

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
