//! Dead letters: jobs that failed for good, kept with their history until somebody decides.

use crate::domain::job::{Job, JobId};
use crate::domain::tier::Tier;
use crate::domain::time::Timestamp;

/// A job that failed its last attempt, or was declared dead by its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The job itself.
    pub job: Job,
    /// How its last life ended.
    pub death: Death,
}

/// How a job died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Times it was handed out, over all its lives.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub reason: String,
    /// When an attempt first failed.
    pub first_failed_at: Timestamp,
    /// When it was given up.
    pub died_at: Timestamp,
}

/// A dead letter without its payload, for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterSummary {
    /// The job's id.
    pub id: JobId,
    /// Its tier.
    pub tier: Tier,
    /// Its type, if it had one.
    pub job_type: Option<Box<str>>,
    /// When the gateway accepted it.
    pub accepted_at: Timestamp,
    /// Payload bytes.
    pub size: u64,
    /// How it died.
    pub death: Death,
}

/// Which dead letters to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterQuery {
    /// Only this tier.
    pub tier: Option<Tier>,
    /// At most this many, 1..=1000.
    pub limit: usize,
    /// Only those after the `next` of an earlier page; anything else is `QueueError::BadPage`.
    pub after: Option<String>,
}

/// One page of dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The page, oldest first.
    pub dead_letters: Vec<DeadLetterSummary>,
    /// Where the next page starts, if there is one.
    pub next: Option<String>,
}

/// What became of one dead letter that was to be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayResult {
    /// It waits in its queue again.
    Replayed,
    /// No such dead letter.
    Unknown,
}

/// What became of one dead letter that was to be purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurgeResult {
    /// It is gone.
    Purged,
    /// No such dead letter.
    Unknown,
}
