//! What the Kafka queue must be told.

use std::path::PathBuf;
use std::time::Duration;

use crate::queue::kafka::properties::Properties;
use crate::queue::keys::KeySettings;
use crate::queue::redis::settings::RedisUrl;

/// Where and how accepted jobs are kept in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// The brokers to begin with, `HOST:PORT` separated by commas.
    pub brokers: String,
    /// The consumer groups whose backlog counts: the slowest does.
    pub groups: Vec<String>,
    /// The longest time until the fate of a job that was sent is known, and the longest wait for an answer.
    pub timeout: Duration,
    /// Properties handed through to librdkafka.
    pub properties: Properties,
    /// The largest payload that is sent.
    pub max_job_bytes: u64,
    /// How long idempotency keys are kept.
    pub keys: KeySettings,
    /// The file of idempotency keys; its folder is made if it is missing.
    pub keys_path: PathBuf,
    /// The Redis in which gateways agree on keys, where they share.
    pub meeting_point: Option<RedisUrl>,
}

impl Default for KafkaSettings {
    fn default() -> KafkaSettings {
        KafkaSettings {
            brokers: "127.0.0.1:9092".to_owned(),
            groups: vec!["workers".to_owned()],
            timeout: Duration::from_secs(5),
            properties: Properties::default(),
            max_job_bytes: 1_000_000,
            keys: KeySettings::default(),
            keys_path: PathBuf::from("data/keys.db"),
            meeting_point: None,
        }
    }
}
