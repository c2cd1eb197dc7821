//! The one table of metrics. Counting methods keep the identity
//! `received = admitted + duplicate + refused + invalid` by construction.

use std::time::Duration;

use crate::domain::code::Code;
use crate::domain::tier::Tier;

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {}

#[expect(unused_variables, reason = "replaced by the real table")]
impl Metrics {
    /// Counts jobs that were received and stored.
    pub fn admitted(&self, tier: Tier, jobs: u64) {
        unimplemented!()
    }

    /// Counts jobs that were received and refused (429, 503, 504); no tier before classification.
    pub fn refused(&self, tier: Option<Tier>, code: Code, jobs: u64) {
        unimplemented!()
    }

    /// Counts jobs that were received and invalid (every other 4xx).
    pub fn invalid(&self, code: Code, jobs: u64) {
        unimplemented!()
    }

    /// Counts jobs stored after their request was answered 504.
    pub fn stored_late(&self, tier: Tier, jobs: u64) {
        unimplemented!()
    }

    /// Records one answered job request.
    pub fn request(&self, tier: Option<Tier>, status: u16, took: Duration) {
        unimplemented!()
    }

    /// Records one Retry-After given.
    pub fn retry_after(&self, tier: Option<Tier>, after: Duration) {
        unimplemented!()
    }
}
