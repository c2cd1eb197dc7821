//! Jobs of one call on their way into a queue that is elsewhere.

use crate::domain::job::Job;
use crate::queue::StoringAnswer;

/// Jobs to be stored, all or none.
#[derive(Debug)]
pub(super) struct Group {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// Their bytes, about.
    pub bytes: usize,
    /// Whom to tell.
    pub answer: StoringAnswer,
}
