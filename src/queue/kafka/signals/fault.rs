//! What a question that failed says: of one partition, of a group's coordinator, or of the brokers.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::warn;

/// Whether the group has no coordinator at this moment.
pub(super) const fn is_of_coordinator(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::MetadataFetch(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}

/// Whether a question failed for the sake of some partition, not of the connection or of the time.
pub(super) fn is_of_one(error: &KafkaError) -> bool {
    !matches!(
        error.rdkafka_error_code(),
        None | Some(
            RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::Authentication
        )
    )
}

pub(super) const fn is_unknown(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
    )
}

/// What is wrong, for the client and the log.
pub(super) fn said(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::OperationTimedOut) => "Kafka does not answer in time".to_owned(),
        Some(code) => format!("Kafka cannot be asked: {code}"),
        None => {
            warn!(%error, "Kafka cannot be asked");
            "Kafka cannot be asked".to_owned()
        }
    }
}
