//! What is told of a request, as plain values.

use serde::Serialize;
use serde_json::Value;

/// Everything that is told of a request.
#[derive(Debug, Default, Serialize)]
pub(super) struct Explanation {
    /// The request as it was understood.
    pub(super) request: RequestTold,
    /// The policy's name.
    pub(super) policy: String,
    /// Its revision.
    pub(super) revision: String,
    /// Tier and names; `None` where the wish is refused.
    pub(super) job: Option<JobTold>,
    /// The checks in their order.
    pub(super) checks: Vec<Step>,
    /// The tier's law at this depth.
    pub(super) law: Option<Law>,
    /// What the client gets.
    pub(super) answer: Answer,
    /// What else is to be known.
    pub(super) notes: Vec<String>,
}

/// The request as it was understood.
#[derive(Debug, Default, Serialize)]
pub(super) struct RequestTold {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) tenant: String,
    pub(super) body_bytes: Option<usize>,
}

/// A job's tier and names, and where they came from.
#[derive(Debug, Serialize)]
pub(super) struct JobTold {
    /// `rule`, `wish` or `default_tier`.
    pub(super) tier_from: &'static str,
    /// The rule's name.
    pub(super) rule: Option<String>,
    /// Where rule or default stand: `file:line:column`.
    pub(super) place: Option<String>,
    pub(super) tier: &'static str,
    /// The tier before the ceiling lowered it.
    pub(super) tier_meant: &'static str,
    pub(super) ceiling: &'static str,
    #[serde(rename = "type")]
    pub(super) job_type: Option<String>,
    pub(super) type_from: Option<String>,
    pub(super) ordering_key: Option<String>,
    pub(super) ordering_key_from: Option<String>,
    /// Whether the head decides the tier without the body.
    pub(super) decided_by_head: bool,
    /// The tiers that the head leaves open.
    pub(super) possible_by_head: Vec<&'static str>,
}

/// One check.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) check: &'static str,
    pub(super) passes: bool,
    /// Whether the gateway comes to this check: no longer after one that failed.
    pub(super) asked: bool,
    pub(super) says: String,
    /// What it compares.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(super) numbers: Value,
}

/// What the client gets.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) code: Option<&'static str>,
    pub(super) tier: Option<&'static str>,
    /// The queue, of a job that is stored.
    pub(super) queue: Option<String>,
    pub(super) detail: Option<String>,
    /// As the header says it.
    pub(super) retry_after_seconds: Option<u64>,
    pub(super) retry_after_ms: Option<u64>,
    /// The earliest and latest that chance gave in some draws, in milliseconds.
    pub(super) retry_after_ms_by_chance: Option<[u64; 2]>,
    /// What the time to return is based on.
    pub(super) retry_after_from: Option<String>,
}

/// A tier's law at this depth.
#[derive(Debug, Serialize)]
pub(super) struct Law {
    pub(super) tier: &'static str,
    pub(super) depth: u64,
    pub(super) target: f64,
    pub(super) pressure: f64,
    /// The drain as it was learned from the readings.
    pub(super) drain: f64,
    /// The drain that was given.
    pub(super) drain_given: Option<f64>,
    pub(super) rate: f64,
}
