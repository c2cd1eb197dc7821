//! What the brokers are asked, and their answers as plain values.
//!
//! librdkafka answers for some partitions and not for others: then the offset of one without an answer is still the question.
//! So each answer is looked at for its error first, and a number below zero is no offset.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;

use crate::domain::time::Timestamp;
use crate::queue::group_watch::Membership;

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its number.
    pub partition: i32,
}

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Of the oldest record.
    Low,
    /// That the next record gets.
    End,
    /// Of the first record that is not older.
    Time(Timestamp),
}

/// An answer for one partition.
pub(super) type Answer<T> = Result<T, RDKafkaErrorCode>;

/// A topic, as metadata has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// There is none of this name.
    Missing,
    /// It has so many partitions.
    There(i32),
}

/// The offsets of these partitions, in their order, of one moment; `None` where no record is so young.
pub(super) fn offsets(
    client: &BaseConsumer,
    places: &[Place],
    at: At,
    timeout: Duration,
) -> KafkaResult<Vec<Answer<Option<i64>>>> {
    let question = match at {
        At::Low => Offset::Beginning,
        At::End => Offset::End,
        At::Time(time) => Offset::Offset(i64::try_from(time.millis()).unwrap_or(i64::MAX)),
    };
    let list = client.offsets_for_times(list(places, question)?, timeout)?;
    answers(&list, places, |answer| match answer.offset() {
        Offset::Offset(offset) => Ok(Some(offset)),
        Offset::End if matches!(at, At::Time(_)) => Ok(None),
        _ => Err(RDKafkaErrorCode::BadMessage),
    })
}

/// What the client's group committed in these partitions, in their order.
pub(super) fn committed(
    client: &BaseConsumer,
    places: &[Place],
    timeout: Duration,
) -> KafkaResult<Vec<Answer<Option<i64>>>> {
    let list = client.committed_offsets(list(places, Offset::Invalid)?, timeout)?;
    answers(&list, places, |answer| match answer.offset() {
        Offset::Offset(offset) => Ok(Some(offset)),
        Offset::Invalid => Ok(None),
        _ => Err(RDKafkaErrorCode::BadMessage),
    })
}

/// Whether there is such a topic.
pub(super) fn topic(client: &BaseConsumer, name: &str, timeout: Duration) -> KafkaResult<Topic> {
    let metadata = client.fetch_metadata(Some(name), timeout)?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
        return Ok(Topic::Missing);
    };
    match topic.error() {
        Some(
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
        ) => Ok(Topic::Missing),
        // A partition without a leader is no error of the topic: the answers for it will say so.
        None => Ok(Topic::There(i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX))),
        Some(error) => Err(KafkaError::MetadataFetch(error.into())),
    }
}

/// Who is in this group; `None` where the brokers do not say, as with groups of the newer protocol.
pub(super) fn members(
    client: &BaseConsumer,
    group: &str,
    timeout: Duration,
) -> KafkaResult<Option<Membership>> {
    let groups = client.fetch_group_list(Some(group), timeout)?;
    let found = groups.groups().iter().find(|found| found.name() == group);
    Ok(found.and_then(|found| {
        let members = u32::try_from(found.members().len()).unwrap_or(u32::MAX);
        match found.state() {
            "PreparingRebalance" | "CompletingRebalance" => Some(Membership { rebalancing: true, members }),
            "Stable" | "Empty" => Some(Membership { rebalancing: false, members }),
            _ => None,
        }
    }))
}

fn list(places: &[Place], offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for place in places {
        list.add_partition_offset(&place.topic, place.partition, offset)?;
    }
    Ok(list)
}

fn answers<T>(
    list: &TopicPartitionList,
    places: &[Place],
    read: impl Fn(&TopicPartitionListElem<'_>) -> Answer<T>,
) -> KafkaResult<Vec<Answer<T>>> {
    let answers = list.elements();
    if answers.len() != places.len() {
        return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::BadMessage));
    }
    let code = |error: KafkaError| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
    let read = |answer: &TopicPartitionListElem<'_>| answer.error().map_err(code).and_then(|()| read(answer));
    Ok(answers.iter().map(read).collect())
}
