//! The count of spans that never reached a collector, by why.

use prometheus::{IntCounterVec, Registry};

use crate::telemetry::families as family;

/// Why a span was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanDrop {
    /// The queue to the collector was full.
    QueueFull,
    /// The collector did not take it, or cannot be reached.
    NotSent,
}

impl SpanDrop {
    /// Every reason.
    pub const ALL: [SpanDrop; 2] = [SpanDrop::QueueFull, SpanDrop::NotSent];

    /// What the metric calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            SpanDrop::QueueFull => "queue_full",
            SpanDrop::NotSent => "not_sent",
        }
    }
}

/// How many were dropped.
#[derive(Debug)]
pub struct SpanCounts(IntCounterVec);

impl SpanCounts {
    pub(in crate::telemetry) fn new(registry: &Registry) -> prometheus::Result<SpanCounts> {
        let counts = SpanCounts(family::SPANS_DROPPED.counters(registry)?);
        SpanDrop::ALL.into_iter().for_each(|why| counts.dropped(why, 0));
        Ok(counts)
    }

    /// Counts spans that were dropped.
    pub fn dropped(&self, why: SpanDrop, spans: usize) {
        self.0.with_label_values(&[why.as_str()]).inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
    }
}
