//! Traces: a real gateway, a collector that takes OTLP, and workers who find the context that their spans go on in.

mod backends;
mod collectors;
mod events;
mod requests;

use crate::support::collector::{Collector, Seen};
use crate::support::gateway::Setup;

/// With spans for this collector.
fn traced(setup: Setup, collector: &Collector) -> Setup {
    setup.set("telemetry.otlp_endpoint", &collector.url())
}

/// The worker's own span is the child of this one: it goes on in the context that the job carries.
#[track_caller]
fn goes_on(carried: &str, send: &Seen) {
    assert_eq!(carried, send.context());
}

/// The caller's span, sampled.
const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const CALLERS_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLERS_SPAN: &str = "b7ad6b7169203331";
