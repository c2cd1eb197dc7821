//! What is looked after while Redis is there: groups, trimming and delayed jobs every second, how durable it is every ten.

use deadpool_redis::Connection;
use deadpool_redis::redis::Pipeline;
use tracing::warn;

use crate::domain::tier::TierMap;
use crate::queue::error::QueueError;
use crate::queue::redis::durability::DurabilityWatch;
use crate::queue::redis::failure::{Failure, Refusal, first_refusal};
use crate::queue::redis::layout::Layout;
use crate::queue::redis::settings::RedisSettings;
use crate::queue::redis::shared::Shared;
use crate::queue::redis::upkeep::Upkeep;

/// What has to be looked after.
#[derive(Debug)]
pub(super) struct Household {
    upkeep: Upkeep,
    durability: DurabilityWatch,
    steps: u64,
    /// What was wrong at the last step, so that it is said once.
    faults: TierMap<Option<QueueError>>,
}

impl Household {
    /// Nothing was done yet.
    pub(super) fn new(settings: &RedisSettings, layout: &Layout) -> Household {
        Household {
            upkeep: Upkeep::new(layout, settings),
            durability: DurabilityWatch::new(settings),
            steps: 0,
            faults: TierMap::default(),
        }
    }

    /// Before the first job, and after each outage: groups are there before the first job is, and what a receipt says is
    /// known.
    ///
    /// # Errors
    /// Redis went away.
    pub(super) async fn begin(
        &mut self,
        shared: &Shared,
        connection: &mut Connection,
    ) -> Result<(), Failure> {
        self.steps = 0;
        self.step(shared, connection).await
    }

    /// One regular step.
    ///
    /// # Errors
    /// Redis went away.
    pub(super) async fn step(&mut self, shared: &Shared, connection: &mut Connection) -> Result<(), Failure> {
        if self.steps.is_multiple_of(LOOK_EVERY) {
            self.look(shared, connection).await?;
        }
        self.steps += 1;
        let kept = self.upkeep.step(connection, shared.clock.now()).await;
        let kept = kept.map_err(|error| Failure::of_command(&error))?;
        for (tier, kept) in kept.iter() {
            let fault = kept.as_ref().err();
            if let Some(error) = fault.filter(|_| self.faults[tier].as_ref() != fault) {
                warn!(%tier, %error, "the queue cannot be looked after");
            }
            self.faults[tier] = fault.cloned();
            if let Ok(kept) = kept {
                shared.lines[tier].set_blocking(kept.blocking.clone());
            }
        }
        Ok(())
    }

    /// Reads how durable Redis is now.
    async fn look(&mut self, shared: &Shared, connection: &mut Connection) -> Result<(), Failure> {
        let mut pipeline = Pipeline::new();
        self.durability.ask(&mut pipeline);
        let replies = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await;
        let replies = replies.map_err(|error| Failure::of_command(&error))?;
        match self.durability.read(&replies) {
            Ok(given) => {
                let replica = given.replica;
                shared.set_given(given);
                if replica {
                    return Err(Failure::Refused(Refusal::replica()));
                }
            }
            Err(error) => {
                if let Some(failure) =
                    first_refusal(&replies).map(Failure::Refused).filter(Failure::concerns_server)
                {
                    return Err(failure);
                }
                warn!(%error, "it cannot be read how durable Redis is; the last answer holds");
            }
        }
        Ok(())
    }
}

/// Steps between two looks at the durability.
const LOOK_EVERY: u64 = 10;
