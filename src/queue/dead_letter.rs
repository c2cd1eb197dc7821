//! Dead letters: jobs that failed for good, kept with their history until somebody decides.

use crate::domain::job::{Job, JobId};
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Timestamp;
use crate::queue::error::QueueError;

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

/// What was done to letters before an error ended it, if one did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted<R> {
    /// What became of each, in the order asked, as far as it came.
    pub results: Vec<R>,
    /// Letters that left each tier.
    pub tiers: TierMap<u64>,
    /// Why it ended early.
    pub error: Option<QueueError>,
}

impl<R> Acted<R> {
    /// Nothing done yet to so many letters.
    pub fn of(letters: usize) -> Acted<R> {
        Acted { results: Vec::with_capacity(letters), tiers: TierMap::default(), error: None }
    }

    /// Notes how many letters left each tier, also where an error ended it: what was done is done.
    ///
    /// # Errors
    /// What ended it.
    pub fn noted(self, mut note: impl FnMut(Tier, u64)) -> Result<Vec<R>, QueueError> {
        for (tier, letters) in self.tiers.iter() {
            note(tier, *letters);
        }
        self.error.map_or(Ok(self.results), Err)
    }
}
