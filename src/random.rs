//! The only place that draws random numbers.

use crate::domain::job::JobId;
use crate::domain::time::Timestamp;

/// A new job id for this time.
pub fn job_id(at: Timestamp) -> JobId {
    JobId::new(at, rand::random())
}

/// A number for tokens that must not be guessed, and for seeds.
pub fn number() -> u64 {
    rand::random()
}
