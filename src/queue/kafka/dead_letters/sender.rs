//! Sends jobs that live again, and tombstones, and waits until the brokers have them.

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use crate::domain::job::JobId;
use crate::queue::error::QueueError;
use crate::queue::kafka::client;
use crate::queue::kafka::record::write::Record;
use crate::queue::kafka::settings::KafkaSettings;

/// A producer for operators: it sends a few hundred records at a time, each confirmed like any other job.
pub(super) struct Sender {
    producer: ThreadedProducer<Reports>,
}

/// The fate of one record, on its way; at the latest after `kafka.timeout`.
pub(super) type Delivery = oneshot::Receiver<Result<(), RDKafkaErrorCode>>;

/// Hands delivery reports to those who wait.
struct Reports;

impl Sender {
    pub(super) fn open(settings: &KafkaSettings) -> Result<Sender, KafkaError> {
        let mut config = client::producer(settings);
        config.set("statistics.interval.ms", "0");
        Ok(Sender { producer: config.create_with_context(Reports)? })
    }

    /// Hands a job over for this topic.
    ///
    /// # Errors
    /// It was not even taken.
    pub(super) fn job(&self, topic: &str, record: Record) -> Result<Delivery, QueueError> {
        let (answer, delivery) = oneshot::channel();
        let Record { key, payload, headers } = record;
        let sent = BaseRecord::<str, [u8], Answer>::with_opaque_to(topic, Box::new(answer));
        let sent = sent.payload(&*payload).headers(headers);
        let sent = match &key {
            Some(key) => sent.key(key),
            None => sent,
        };
        self.producer.send(sent).map(|()| delivery).map_err(|(error, _)| refused(&error))
    }

    /// Hands a tombstone over: the letter of this id is no more.
    ///
    /// # Errors
    /// It was not even taken.
    pub(super) fn tombstone(&self, topic: &str, id: JobId) -> Result<Delivery, QueueError> {
        let (answer, delivery) = oneshot::channel();
        let key = id.to_string();
        let sent = BaseRecord::<str, [u8], Answer>::with_opaque_to(topic, Box::new(answer)).key(key.as_str());
        self.producer.send(sent).map(|()| delivery).map_err(|(error, _)| refused(&error))
    }
}

/// Waits for the fate of a record.
///
/// # Errors
/// It may or may not be there.
pub(super) async fn delivered(delivery: Delivery) -> Result<(), QueueError> {
    match delivery.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(code)) => {
            Err(QueueError::Unavailable { detail: format!("Kafka did not confirm a record: {code}") })
        }
        Err(_) => Err(QueueError::Closed),
    }
}

type Answer = Box<oneshot::Sender<Result<(), RDKafkaErrorCode>>>;

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Answer;

    fn delivery(&self, result: &DeliveryResult<'_>, answer: Answer) {
        let fate = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        // Nobody may wait any more.
        let _ = answer.send(fate);
    }
}

fn refused(error: &KafkaError) -> QueueError {
    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
    QueueError::Unavailable { detail: format!("Kafka does not take a record: {code}") }
}
