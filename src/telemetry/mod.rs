//! Floor 3: what operators see: metrics, latencies, logs.

pub mod families;
pub mod handshakes;
pub mod latency;
pub mod log;
pub mod metrics;
pub mod scrape;
pub mod shadow;
pub mod tenants;
