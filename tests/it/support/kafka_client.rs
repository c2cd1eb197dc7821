//! What tests ask of Kafka beside the gateway, with clients of their own: records as they lie there, ends, commits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::kafka::Kafka;
use super::redis_worker::Taken;

/// A record as it lies in a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    /// No header comes twice.
    pub headers: BTreeMap<String, String>,
    /// Nothing is a tombstone.
    pub value: Option<Vec<u8>>,
}

impl Record {
    pub fn of(message: &BorrowedMessage<'_>) -> Record {
        let mut headers = BTreeMap::new();
        for header in message.headers().into_iter().flat_map(Headers::iter) {
            let value =
                String::from_utf8(header.value.expect("a header has a value").to_vec()).expect("text");
            assert_eq!(headers.insert(header.key.to_owned(), value), None, "{} twice", header.key);
        }
        Record {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(|key| String::from_utf8(key.to_vec()).expect("keys of tests are text")),
            headers,
            value: message.payload().map(<[u8]>::to_vec),
        }
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or_else(|| panic!("no {name}: {self:?}"), String::as_str)
    }

    pub fn id(&self) -> &str {
        self.header("id")
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        str::from_utf8(self.value.as_deref().expect("no tombstone")).expect("text")
    }

    /// The job as books hold it against what clients were told.
    pub fn taken(self) -> Taken {
        Taken {
            entry: format!("{}/{}", self.partition, self.offset),
            fields: self.headers,
            body: self.value.expect("no tombstone"),
        }
    }
}

/// A configuration that only knows where the broker is, and comes back to it soon.
pub fn client_config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("log_level", "2");
    config
}

/// The id of the cluster that answers; nothing where none does in time.
pub fn cluster_of(config: &ClientConfig, patience: Duration) -> Option<String> {
    let consumer: BaseConsumer = config.create().expect("a client");
    consumer.fetch_metadata(None, patience).ok()?;
    consumer.client().fetch_cluster_id(patience)
}

/// Runs what blocks a thread beside the runtime.
pub async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(ask).await.expect("it does not panic")
}

/// Every record that a topic has, partition by partition, each in its order.
pub async fn read_all(kafka: &Kafka, topic: &str) -> Vec<Record> {
    let (config, topic) = (kafka.client(), topic.to_owned());
    blocking(move || {
        let consumer = consumer(config, "reads-all");
        let watermarks = watermarks(&consumer, &topic);
        let mut places = TopicPartitionList::new();
        let mut left: i64 = 0;
        let mut next = BTreeMap::new();
        for (partition, (low, end)) in (0..).zip(watermarks) {
            places.add_partition_offset(&topic, partition, Offset::Offset(low)).unwrap();
            left += end - low;
            next.insert(partition, end);
        }
        consumer.assign(&places).expect("it can be assigned");
        let mut records = Vec::new();
        let mut open = next.iter().filter(|_| left > 0).count();
        let started = Instant::now();
        let mut done: BTreeMap<i32, bool> = BTreeMap::new();
        while open > 0 {
            assert!(started.elapsed() < PATIENCE, "{topic} was read only to {}", records.len());
            // Markers of transactions and holes of compaction have offsets and no records: the end of a partition says
            // that it was reached.
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let record = Record::of(&message);
                    if record.offset < next[&record.partition] {
                        records.push(record);
                    }
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                    done.insert(partition, true);
                    open = next.len() - done.len();
                }
                Some(Err(why)) => println!("reading {topic}: {why}"),
                None => {}
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    })
    .await
}

/// The first offset and the end of every partition.
pub fn watermarks(consumer: &BaseConsumer, topic: &str) -> Vec<(i64, i64)> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
    let partitions = metadata.topics().first().expect("the topic").partitions().len();
    let of = |partition| consumer.fetch_watermarks(topic, partition, PATIENCE).expect("watermarks");
    (0..).take(partitions).map(of).collect()
}

/// The end of every partition of a topic.
pub async fn ends(kafka: &Kafka, topic: &str) -> Vec<i64> {
    let (config, topic) = (kafka.client(), topic.to_owned());
    blocking(move || {
        let consumer = consumer(config, "reads-ends");
        watermarks(&consumer, &topic).into_iter().map(|(_, end)| end).collect()
    })
    .await
}

/// What a group has committed of every partition; nothing where it never did.
pub async fn committed(kafka: &Kafka, group: &str, topic: &str) -> Vec<Option<i64>> {
    let (consumer, topic) = (consumer(kafka.client(), group), topic.to_owned());
    blocking(move || {
        let partitions = watermarks(&consumer, &topic).len();
        let mut places = TopicPartitionList::new();
        places.add_partition_range(&topic, 0, i32::try_from(partitions).unwrap() - 1);
        // A cluster whose leader has just changed may leave the first question without an answer.
        let ask = || consumer.committed_offsets(places.clone(), PATIENCE);
        let places = ask().or_else(|_| ask()).expect("commits");
        places.elements().iter().map(|place| place.offset().to_raw().filter(|at| *at >= 0)).collect()
    })
    .await
}

/// Commits these offsets for a group without members.
pub async fn commit(kafka: &Kafka, group: &str, topic: &str, offsets: &[i64]) {
    let (consumer, topic, offsets) = (consumer(kafka.client(), group), topic.to_owned(), offsets.to_vec());
    blocking(move || {
        let mut places = TopicPartitionList::new();
        for (partition, offset) in (0..).zip(offsets) {
            places.add_partition_offset(&topic, partition, Offset::Offset(offset)).unwrap();
        }
        consumer.commit(&places, CommitMode::Sync).expect("it can be committed");
    })
    .await;
}

/// Takes every job that a group has not committed yet, and commits.
pub async fn drain(kafka: &Kafka, group: &str, topic: &str) -> Vec<Taken> {
    let from = committed(kafka, group, topic).await;
    let records = read_all(kafka, topic).await;
    let upto: Vec<i64> = ends(kafka, topic).await;
    let is_new = |record: &Record| record.offset >= from[record.partition as usize].unwrap_or(0);
    let mut next: Vec<i64> = from.iter().map(|at| at.unwrap_or(0)).collect();
    for record in &records {
        let next = &mut next[record.partition as usize];
        *next = (*next).max(record.offset + 1);
    }
    assert!(next.iter().zip(&upto).all(|(next, end)| next <= end));
    commit(kafka, group, topic, &next).await;
    records.into_iter().filter(is_new).map(Record::taken).collect()
}

/// Sends a record as another producer would, with no header at all.
pub async fn send(kafka: &Kafka, topic: &str, key: Option<&str>, value: &[u8]) {
    send_with(kafka, topic, key, Some(value), &[]).await;
}

/// Sends a record with headers; without a value it is a tombstone.
pub async fn send_with(
    kafka: &Kafka,
    topic: &str,
    key: Option<&str>,
    value: Option<&[u8]>,
    headers: &[(&str, &str)],
) {
    let producer: FutureProducer = kafka.client().set("acks", "all").create().expect("a producer");
    let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(rdkafka::message::Header { key, value: Some(*value) })
    });
    let record = FutureRecord::<str, [u8]> {
        topic,
        partition: None,
        payload: value,
        key,
        timestamp: None,
        headers: Some(headers),
    };
    producer.send(record, PATIENCE).await.map_err(|(why, _)| why).expect("it is delivered");
}

/// A consumer that joins no group: it is told what to read.
pub fn consumer(mut config: ClientConfig, group: &str) -> BaseConsumer {
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "50")
        .set("auto.offset.reset", "earliest");
    config.create().expect("a consumer")
}

/// Longer than a question may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
