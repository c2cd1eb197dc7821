//! Why the gateway keeps a line of its own before librdkafka: a record that librdkafka purges from its queue may be stored.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig, ThreadedProducer,
};

use super::{BROKER_BACK, Place};
use crate::support::kafka::Kafka;
use crate::support::kafka_client::{blocking, read_all};
use crate::support::poll::until;

/// The broker hangs with requests in its socket. Their time ends, the connection is given up, and librdkafka puts their
/// records back among those that were never sent. Purged from there, they are reported as `PurgeQueue`; then the broker
/// goes on, and stores what lay in its socket. So `PurgeQueue` proves nothing, also of an idempotent producer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_purged_from_the_queue_may_be_stored() {
    let kafka = Kafka::start(&[]).await;
    let topic = Place::on(&kafka, 1, &[]).await.topic(0);
    let mut config = kafka.client();
    config.set("enable.idempotence", "true").set("linger.ms", "0").set("socket.timeout.ms", "1000");
    config.set_log_level(RDKafkaLogLevel::Info);
    let producer = ThreadedProducer::from_config_and_context(&config, Reports::default()).unwrap();
    let producer = Arc::new(producer);
    send(&producer, &topic, 0..10);
    until("the first records are stored", BROKER_BACK, async || producer.client().context().all(0..10, None))
        .await;

    kafka.stop();
    let failures = producer.client().context().failures();
    send(&producer, &topic, 10..110);
    until("the connection is given up", BROKER_BACK, async || {
        (producer.client().context().failures() > failures).then_some(())
    })
    .await;
    let purging = Arc::clone(&producer);
    blocking(move || purging.purge(PurgeConfig::default().queue())).await;
    let purged = Some(RDKafkaErrorCode::PurgeQueue);
    until("all are purged from the queue", BROKER_BACK, async || {
        producer.client().context().all(10..110, purged)
    })
    .await;

    kafka.cont();
    let stored = until("the broker goes on and stores some of them", BROKER_BACK, async || {
        let records = read_all(&kafka, &topic).await;
        let numbers: BTreeSet<usize> = records.iter().map(|record| record.text().parse().unwrap()).collect();
        (numbers.len() > 10).then_some(numbers)
    })
    .await;
    println!("of 100 records that were purged from the queue, {} are stored", stored.len() - 10);
}

fn send(producer: &ThreadedProducer<Reports>, topic: &str, numbers: Range<usize>) {
    for number in numbers {
        let value = number.to_string();
        let record = BaseRecord::<(), _, _>::with_opaque_to(topic, number).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
}

/// What became of each record, by its number.
#[derive(Default)]
struct Reports {
    fates: Mutex<HashMap<usize, Option<RDKafkaErrorCode>>>,
    failures: AtomicU64,
}

impl Reports {
    fn all(&self, numbers: Range<usize>, fate: Option<RDKafkaErrorCode>) -> Option<()> {
        let fates = self.fates.lock().unwrap();
        let mut known = numbers.map(|number| fates.get(&number));
        known.all(|known| known.inspect(|known| assert_eq!(**known, fate)).is_some()).then_some(())
    }

    fn failures(&self) -> u64 {
        self.failures.load(Ordering::SeqCst)
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let fate = result.as_ref().err().and_then(|(error, _)| error.rdkafka_error_code());
        self.fates.lock().unwrap().insert(number, fate);
    }
}

impl ClientContext for Reports {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, _: &str) {
        if facility == "FAIL" {
            self.failures.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn error(&self, _: KafkaError, _: &str) {}
}
