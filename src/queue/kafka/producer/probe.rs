//! Asks Kafka whether the tier's topic is there and whether all of its partitions have a leader.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer, ThreadedProducer};

use crate::queue::kafka::producer::context::Reports;
use crate::queue::kafka::producer::fate;

/// What a probe did not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// No broker answered.
    Answer(KafkaError),
    /// The topic is not there.
    Topic,
    /// Something else is wrong.
    Other(&'static str),
}

/// Looks for the topic. Blocks for as long as `patience`.
///
/// # Errors
/// What is missing.
pub(super) fn probe(
    producer: &ThreadedProducer<Reports>,
    topic: &str,
    patience: Duration,
) -> Result<(), Missed> {
    let metadata = producer.client().fetch_metadata(Some(topic), patience).map_err(Missed::Answer)?;
    let Some(found) = metadata.topics().first() else { return Err(Missed::Topic) };
    // Where there is an error there may be no partitions to look at.
    if let Some(error) = found.error() {
        return Err(match RDKafkaErrorCode::from(error) {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => Missed::Topic,
            code => Missed::Other(fate::said(code)),
        });
    }
    if found.partitions().iter().any(|partition| partition.leader() < 0) {
        return Err(Missed::Other(fate::said(RDKafkaErrorCode::LeaderNotAvailable)));
    }
    Ok(())
}

impl Missed {
    /// What people are told.
    pub(super) fn detail(&self, topic: &str) -> String {
        match self {
            Missed::Answer(error) => fate::detail(error).to_owned(),
            Missed::Topic => format!("the topic {topic} does not exist"),
            Missed::Other(detail) => format!("{detail} ({topic})"),
        }
    }
}
