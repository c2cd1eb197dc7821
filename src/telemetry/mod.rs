//! Floor 3: what operators see: metrics, latencies, the last hour, what it means, logs, traces.

pub mod diagnosis;
pub mod families;
pub mod flow;
pub mod handshakes;
pub mod history;
pub mod latency;
pub mod log;
pub mod metrics;
pub mod scrape;
pub mod shadow;
pub mod tenants;
pub mod trace;
