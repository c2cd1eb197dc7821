//! Jobs of one call on their way to Kafka.

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
