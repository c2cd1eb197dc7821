//! The gateway as the world sees it: every test starts the real program on loopback and talks HTTP to it.
//!
//! One file per behaviour; `support/` starts, asks, parses and kills. A test ends with `Gateway::finish`, which
//! checks the counting identities, and fails if it forgets to.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "an index out of bounds is a failed test")]

mod support;

mod admin;
mod admission;
mod bad_files;
mod bad_input;
mod batches;
mod bombs;
mod carried;
mod checking;
mod client_limit;
mod closed_loop;
mod cloud_events;
mod compression;
mod connections;
mod cors;
mod dashboard;
mod dead_letters;
mod demo;
mod docs;
mod events;
mod explain;
mod first_light;
mod fuzz_corpora;
mod http2;
mod idempotency;
mod injection;
mod kafka;
mod kafka_signals;
mod kafka_topics;
mod keys;
mod leasing;
mod limits;
mod logs;
mod monitoring;
mod openapi;
mod overload;
mod policy_file;
mod policy_schema;
mod protection;
mod protocol;
mod queue_contract;
mod receipts_survive_kill;
mod redis;
mod redis_signals;
mod redis_storing;
mod reload;
mod replicas;
mod secrets;
mod shadow;
mod simulate;
mod spool;
mod standards;
mod status_command;
mod stopping;
mod tenants;
mod tls;
mod traces;
mod webhooks;
