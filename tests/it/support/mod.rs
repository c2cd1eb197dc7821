//! What the behaviours share: the program under test, two clients, and strict readers of what they hear.

pub mod answer;
pub mod book;
pub mod certificates;
pub mod client;
pub mod coded;
pub mod command;
pub mod flood;
pub mod foreign;
pub mod gateway;
pub mod identities;
pub mod jobs;
pub mod kafka;
pub mod kafka_client;
pub mod kafka_worker;
pub mod keyed_clients;
pub mod keys;
pub mod metrics;
pub mod policy;
pub mod poll;
pub mod proxy;
pub mod raw;
pub mod recovery;
pub mod redis;
pub mod redis_worker;
pub mod resp;
pub mod tally;
