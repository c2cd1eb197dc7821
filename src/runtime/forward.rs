//! From an admitted job to a receipt: storing that outlives a client who hangs up.

use std::time::Duration;

use crate::domain::job::Job;
use crate::queue::Stored;
use crate::queue::error::StoreError;
use crate::runtime::admission::Permit;

/// Stores admitted jobs and accounts for them.
#[derive(Clone, Debug)]
pub struct Forward {}

#[expect(unused_variables, clippy::unused_async, reason = "replaced by the real forwarding")]
impl Forward {
    /// Stores jobs of the permit's tier, all or none; at most as many as the permit is for (the rest of it is
    /// given back). Counts them: `admitted` when stored, `stored_late` when stored after the deadline. The caller
    /// counts what is refused. Goes on to its end if the caller is dropped.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when `deadline` passes first; else what the queue said, with the permit given back.
    pub async fn store(
        &self,
        permit: Permit,
        jobs: Vec<Job>,
        deadline: Duration,
    ) -> Result<Stored, StoreError> {
        unimplemented!()
    }
}
