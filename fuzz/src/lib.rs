//! What is fuzzed: one function from bytes for each target, which fails loudly where something does not hold.
//!
//! The fuzz binaries in `targets/` call these, and so does a test of the gateway with the corpora that are kept: hence
//! `super` and never `crate` in here.

pub mod batch;
pub mod cloud_events;
pub mod config_yaml;
mod contract;
mod door;
pub mod forwarded;
mod frames;
pub mod gate_operations;
pub mod http2_heads;
pub mod keys_yaml;
mod law;
pub mod policy_yaml;
mod queue;
mod request;
pub mod request_body;
pub mod request_head;
pub mod retry_after;
pub mod stored_record;
