//! Kafka: accepted jobs in topics that workers read in consumer groups.

pub mod properties;
pub mod settings;
pub mod topics;
