//! Kafka: accepted jobs in topics that workers read in consumer groups.
// Parts that nothing uses yet.
#![allow(dead_code, reason = "its parts come one by one")]

mod group;
mod ledger;
pub mod properties;
pub mod settings;
mod shared;
pub mod topics;
