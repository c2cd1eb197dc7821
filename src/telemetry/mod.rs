//! Floor 3: what operators see: metrics, latencies, logs.

pub mod log;
pub mod metrics;
