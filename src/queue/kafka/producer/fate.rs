//! What became of a record: the one map from librdkafka's errors to what is known of a job, and what people are told.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::queue::error::StoreError;

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is in the topic.
    Stored,
    /// It is surely not in the topic.
    Refused(StoreError),
    /// It may be in the topic or not.
    Unknown,
}

/// What a delivery report with an error says.
///
/// librdkafka sends a batch again when its answer is lost. So even a broker's final refusal, or librdkafka's own, says
/// nothing of the first sending: it counts as one only where nothing can have been sent twice (`sent_once`). Every other
/// code may come after a sending whose answer was lost. `PurgeQueue` too: records whose connection was cut wait in the same
/// queue as records that were never sent.
pub(super) fn of_report(error: &KafkaError, sent_once: bool) -> Fate {
    match code(error).and_then(refusal) {
        Some(refusal) if sent_once => Fate::Refused(refusal),
        _ => Fate::Unknown,
    }
}

/// Why librdkafka did not even take a record.
pub(super) fn of_sending(error: &KafkaError) -> StoreError {
    let code = code(error);
    code.and_then(refusal).unwrap_or_else(|| unavailable(code.map_or("Kafka refused a record", said)))
}

/// What people are told when a producer failed for good: it is made anew, which helps unless somebody must act.
pub(super) const fn of_failure(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            said(code)
        }
        _ => REPLACED,
    }
}

/// What an error of the client or of a probe means, for people.
pub(super) fn detail(error: &KafkaError) -> &'static str {
    code(error).map_or("Kafka cannot be asked", said)
}

/// The code in an error.
pub(super) fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    error.rdkafka_error_code()
}

/// A refusal because of something that people can be told.
pub(super) fn unavailable(detail: &str) -> StoreError {
    StoreError::Unavailable { detail: detail.to_owned() }
}

/// The refusals that stand for every sending alike: nothing of the batch was appended.
fn refusal(code: RDKafkaErrorCode) -> Option<StoreError> {
    match code {
        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge => {
            Some(StoreError::TooLarge { detail: said(code).to_owned() })
        }
        RDKafkaErrorCode::InvalidRecord
        | RDKafkaErrorCode::InvalidTimestamp
        | RDKafkaErrorCode::PolicyViolation
        | RDKafkaErrorCode::UnsupportedForMessageFormat
        | RDKafkaErrorCode::UnsupportedCompressionType
        | RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed
        | RDKafkaErrorCode::InvalidTopic
        | RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::UnknownTopicOrPartition => Some(unavailable(said(code))),
        _ => None,
    }
}

/// A code as a clause.
pub(super) const fn said(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure => {
            "no broker of Kafka can be reached"
        }
        RDKafkaErrorCode::OperationTimedOut
        | RDKafkaErrorCode::RequestTimedOut
        | RDKafkaErrorCode::MessageTimedOut => "Kafka does not answer in time",
        RDKafkaErrorCode::Resolve => "the names of Kafka's brokers cannot be resolved",
        RDKafkaErrorCode::SSL => "TLS with Kafka's brokers fails",
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            "Kafka refuses the user or the password"
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => "the Kafka user may not write to the topic",
        RDKafkaErrorCode::ClusterAuthorizationFailed => "the Kafka user may not write idempotently",
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::UnknownTopicOrPartition => "the topic does not exist",
        RDKafkaErrorCode::InvalidTopic => "Kafka takes no topic of this name",
        RDKafkaErrorCode::LeaderNotAvailable | RDKafkaErrorCode::NotLeaderForPartition => {
            "a partition of the topic has no leader"
        }
        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge => {
            "the topic's max.message.bytes"
        }
        RDKafkaErrorCode::InvalidRecord | RDKafkaErrorCode::InvalidTimestamp => {
            "Kafka takes no such record in the topic"
        }
        RDKafkaErrorCode::PolicyViolation => "a policy of the Kafka cluster forbids the record",
        RDKafkaErrorCode::NotEnoughReplicas | RDKafkaErrorCode::NotEnoughReplicasAfterAppend => {
            "too few replicas of the topic are in sync"
        }
        RDKafkaErrorCode::Fatal => REPLACED,
        _ => "Kafka cannot store records now",
    }
}

/// What people are told while the producer is made anew.
pub(super) const REPLACED: &str = "the producer for Kafka failed and is made anew";

#[cfg(test)]
mod tests {
    use super::*;

    fn report(code: RDKafkaErrorCode, sent_once: bool) -> Fate {
        of_report(&KafkaError::MessageProduction(code), sent_once)
    }

    #[test]
    fn only_a_refusal_of_what_was_sent_once_says_that_nothing_is_stored() {
        let too_large = report(RDKafkaErrorCode::MessageSizeTooLarge, true);
        assert!(matches!(too_large, Fate::Refused(StoreError::TooLarge { .. })), "{too_large:?}");
        let forbidden = report(RDKafkaErrorCode::TopicAuthorizationFailed, true);
        assert!(matches!(forbidden, Fate::Refused(StoreError::Unavailable { .. })), "{forbidden:?}");
        assert_eq!(report(RDKafkaErrorCode::TopicAuthorizationFailed, false), Fate::Unknown);
        for code in [
            RDKafkaErrorCode::PurgeQueue,
            RDKafkaErrorCode::PurgeInflight,
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::OutOfOrderSequenceNumber,
            RDKafkaErrorCode::NotEnoughReplicasAfterAppend,
            RDKafkaErrorCode::Fatal,
        ] {
            assert_eq!(report(code, true), Fate::Unknown, "{code:?}");
        }
    }
}
