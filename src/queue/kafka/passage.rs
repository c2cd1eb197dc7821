//! The way of one call's jobs to Kafka: straight, or over the ledger where a job has an idempotency key.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::domain::job::Job;
use crate::domain::tier::{Tier, TierMap};
use crate::queue::error::StoreError;
use crate::queue::group::Group;
use crate::queue::kafka::ledger::{Begun, Fate, Ledger};
use crate::queue::kafka::producer::Lane;
use crate::queue::kafka::record::write::size;
use crate::queue::kafka::shared::Shared;
use crate::queue::under_way::UnderWay;
use crate::queue::{Stored, Storing};

/// What jobs pass on their way.
pub(super) struct Passage {
    /// What the parts share.
    pub shared: Arc<Shared>,
    /// The ways into Kafka.
    pub lanes: TierMap<Lane>,
    /// Who was promised which id.
    pub ledger: Ledger,
    /// Jobs with keys that are on their way.
    pub under_way: UnderWay,
    /// Where they go on to the end, whoever waits.
    pub runtime: Handle,
}

impl Passage {
    /// Takes jobs in.
    ///
    /// # Errors
    /// They are not taken; nothing was sent.
    pub(super) fn take_in(self: &Arc<Self>, tier: Tier, jobs: Vec<Job>) -> Result<Storing, StoreError> {
        let (answer, storing) = Storing::channel();
        if jobs.is_empty() {
            let _ = answer.send(Ok(self.nothing_stored(tier)));
            return Ok(storing);
        }
        if jobs.iter().all(|job| job.keyed.is_none()) {
            let bytes = jobs.iter().map(size).sum();
            self.lanes[tier].append(Group { jobs, bytes, answer })?;
            return Ok(storing);
        }
        // Refused before it is written down, where it is clear.
        if let Some(outage) = self.lanes[tier].outage() {
            return Err(StoreError::Unavailable { detail: outage.detail.as_ref().to_owned() });
        }
        let (passage, begun) = (Arc::clone(self), self.under_way.begin());
        self.runtime.spawn(async move {
            let _ = answer.send(passage.store_keyed(tier, jobs).await);
            drop(begun);
        });
        Ok(storing)
    }

    /// Writes the keys down, sends, and writes down what became of it.
    async fn store_keyed(&self, tier: Tier, jobs: Vec<Job>) -> Result<Stored, StoreError> {
        let Begun { jobs, known, entries } = self.ledger.begin(jobs).await?;
        let outcome =
            if jobs.is_empty() { Ok(self.nothing_stored(tier)) } else { self.send(tier, jobs).await };
        let fate = match &outcome {
            Ok(_) => Fate::Stored,
            Err(StoreError::Unknown) => Fate::Unknown,
            Err(_) => Fate::NotStored,
        };
        self.ledger.settle(entries, fate).await;
        outcome.map(|stored| Stored { known, ..stored })
    }

    async fn send(&self, tier: Tier, jobs: Vec<Job>) -> Result<Stored, StoreError> {
        let (answer, storing) = Storing::channel();
        let bytes = jobs.iter().map(size).sum();
        self.lanes[tier].append(Group { jobs, bytes, answer })?;
        storing.await
    }

    fn nothing_stored(&self, tier: Tier) -> Stored {
        let (durability, depth) = (self.shared.durability(tier), self.shared.counts(tier).depth());
        Stored { durability, depth, known: Vec::new() }
    }
}
