//! The embedded queue: SQLite with one writer thread, group commit and leases in memory.

pub mod lease;
pub mod settings;

use crate::domain::tier::TierMap;
use crate::queue::embedded::lease::{Lease, LeaseRequest, LeaseStatus, LeaseToken, Nack};
use crate::queue::embedded::settings::{EmbeddedSettings, OpenError, TierRules};
use crate::queue::error::QueueError;

/// A durable queue in one file.
#[derive(Debug)]
pub struct EmbeddedQueue {}

#[expect(unused_variables, clippy::unused_async, reason = "replaced by the real queue")]
impl EmbeddedQueue {
    /// Opens or creates the file, recovers what it holds and starts the writer thread.
    ///
    /// # Errors
    /// The file is another process's, a newer format, damaged, or cannot be written.
    pub fn open(
        settings: &EmbeddedSettings,
        rules: TierMap<TierRules>,
        clock: crate::clock::Clock,
    ) -> Result<EmbeddedQueue, OpenError> {
        unimplemented!()
    }

    /// Puts new tier rules (weights, retries, ordering) in force.
    pub fn set_rules(&self, rules: TierMap<TierRules>) {
        unimplemented!()
    }

    /// Takes up to `max` jobs, weighted-fair over the tiers asked for; waits up to `wait` for the first one.
    ///
    /// # Errors
    /// The storage failed or the queue is closed.
    pub async fn lease(&self, request: LeaseRequest) -> Result<Vec<Lease>, QueueError> {
        unimplemented!()
    }

    /// Finishes jobs: they leave the queue. Answers per lease, in order.
    ///
    /// # Errors
    /// As [`EmbeddedQueue::lease`].
    pub async fn ack(&self, leases: Vec<LeaseToken>) -> Result<Vec<LeaseStatus>, QueueError> {
        unimplemented!()
    }

    /// Fails attempts. Answers per lease, in order.
    ///
    /// # Errors
    /// As [`EmbeddedQueue::lease`].
    pub async fn nack(&self, leases: Vec<LeaseToken>, nack: Nack) -> Result<Vec<LeaseStatus>, QueueError> {
        unimplemented!()
    }

    /// Keeps leases for this long from now. Answers per lease, in order.
    ///
    /// # Errors
    /// As [`EmbeddedQueue::lease`].
    pub async fn extend(
        &self,
        leases: Vec<LeaseToken>,
        period: std::time::Duration,
    ) -> Result<Vec<LeaseStatus>, QueueError> {
        unimplemented!()
    }

    /// Answers every waiting long poll at once, with what it has; later polls do not wait.
    pub fn release_polls(&self) {
        unimplemented!()
    }
}
