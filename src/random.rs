//! The only place that draws random numbers.

use std::time::Duration;

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

/// A pause drawn from this one up to one and a half of it: keeps the gateways apart that wait for the same.
pub fn spread(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(1.0..1.5))
}
