//! Kafka: accepted jobs in topics that workers read in consumer groups.
// Parts that nothing uses yet.
#![allow(dead_code, reason = "its parts come one by one")]

pub mod checks;
pub mod client;
mod group;
mod ledger;
mod producer;
pub mod properties;
pub mod record;
pub mod settings;
mod shared;
pub mod signals;
pub mod topics;
