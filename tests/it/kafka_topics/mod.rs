//! Topics of a real Kafka: looked at on start, made by the command, and that of the dead letters.

mod checks;
mod dead_letters;
mod init;

use std::sync::Arc;
use std::time::Duration;

use tidegate::domain::tier::TierMap;
use tidegate::queue::kafka::settings::KafkaSettings;
use tidegate::queue::kafka::topics::Topics;

use crate::support::kafka::{Kafka, unique};

/// Settings for this broker, patient with a busy machine.
fn settings(kafka: &Kafka) -> KafkaSettings {
    KafkaSettings { brokers: kafka.brokers(), timeout: Duration::from_secs(20), ..KafkaSettings::default() }
}

/// Topics that no other test has, none of them made.
fn own_topics() -> Topics {
    let name: Arc<str> = unique("topics").into();
    Topics {
        jobs: TierMap::from_fn(|tier| format!("{name}.{tier}").into()),
        retry: TierMap::from_fn(|tier| format!("{name}.{tier}.retry").into()),
        dead_letters: format!("{name}.dead").into(),
    }
}
