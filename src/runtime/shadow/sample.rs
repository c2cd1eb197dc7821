//! What the candidate is handed of the acting gate's life: its decisions and its steps, as plain values.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

use crate::domain::backlog::Reading;
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::time::Moment;
use crate::domain::verdict::Verdict;
use crate::regulator::share::part::{Intake, Part};

/// The head of a request, as rules see it; shared by the jobs of a batch.
#[derive(Debug)]
pub struct Facts {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// The header fields.
    pub headers: HeaderMap,
    /// The caller.
    pub tenant: Arc<str>,
    /// The highest tier that the caller's key reaches, whatever a policy says.
    pub ceiling: Tier,
}

/// What was read of a job's payload.
#[derive(Clone, Debug)]
pub enum Payload {
    /// All of it, or nothing where the candidate does not look into payloads.
    Read(Bytes),
    /// Nothing: the head was enough to refuse the job.
    Unread,
    /// Nothing, and it would have brought names that stand in the head otherwise: an event whose attributes are inside.
    UnreadEvent,
}

/// One decision of the acting gate.
#[derive(Debug)]
pub struct Sample {
    /// The request.
    pub facts: Arc<Facts>,
    /// The job's payload.
    pub payload: Payload,
    /// The length that rules see.
    pub content_length: Option<u64>,
    /// The tier in which the acting policy decided.
    pub tier: Tier,
    /// What it said.
    pub acting: Verdict,
    /// When the answer was known.
    pub at: Moment,
}

/// One step of the acting law.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The readings that came, as the law took them in.
    pub readings: TierMap<Option<Reading>>,
    /// The tiers whose jobs go to the spool.
    pub spooling: TierSet,
    /// The parts of the replicas, where there are several.
    pub parts: Option<TierMap<Part>>,
    /// What was really let in.
    pub real: TierMap<Intake>,
    /// When.
    pub at: Moment,
}

impl Payload {
    /// Bytes held.
    pub(super) fn len(&self) -> usize {
        match self {
            Payload::Read(bytes) => bytes.len(),
            Payload::Unread | Payload::UnreadEvent => 0,
        }
    }
}
