//! How often a job was tried, as the queues that workers read themselves write it down with the job.

use crate::domain::time::Timestamp;
use crate::queue::dead_letter::Death;

/// How often a job was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// The number of the attempt that is next or under way; 1 the first time.
    pub attempt: u32,
    /// Attempts of earlier lives, which a replay ended.
    pub earlier: u32,
    /// When an attempt first failed, over all lives, where that is known.
    pub first_failed_at: Option<Timestamp>,
}

impl Tries {
    /// A job that no worker has had yet.
    pub const NONE: Tries = Tries::of_first_life(1);

    /// The first life of a job, at this attempt.
    pub const fn of_first_life(attempt: u32) -> Tries {
        Tries { attempt, earlier: 0, first_failed_at: None }
    }

    /// Those of a job that lives again after this death.
    pub const fn after(death: &Death) -> Tries {
        Tries { attempt: 1, earlier: death.attempts, first_failed_at: Some(death.first_failed_at) }
    }

    /// Attempts over all lives, this one included.
    pub const fn in_all(self) -> u32 {
        self.earlier.saturating_add(self.attempt)
    }
}
