//! What the gateway does beside storing: groups that are missing are made, streams trimmed, delayed jobs moved back.

mod delayed;
mod trim;

use std::sync::Arc;

use deadpool_redis::redis::aio::ConnectionLike;
use deadpool_redis::redis::{Pipeline, RedisResult, Value};
use tracing::info;

use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::queue::error::QueueError;
use crate::queue::redis::failure::first_refusal;
use crate::queue::redis::layout::Layout;
use crate::queue::redis::settings::{RedisSettings, Structure, Trim};
use crate::queue::redis::upkeep::trim::{Standstill, Trimmed};

/// Looks after the three queues. One step a second is enough; the first one makes the groups, before the first job.
#[derive(Debug)]
pub struct Upkeep {
    layout: Layout,
    structure: Structure,
    groups: Vec<String>,
    trim: Trim,
    standstill: TierMap<Standstill>,
}

/// What one step found in one tier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Groups that stand still and keep the stream from being trimmed.
    pub blocking: Vec<Arc<str>>,
    /// Entries removed.
    pub trimmed: u64,
    /// Delayed jobs that were due.
    pub due: u64,
}

impl Upkeep {
    /// Nothing was done yet.
    pub fn new(layout: &Layout, settings: &RedisSettings) -> Upkeep {
        Upkeep {
            layout: layout.clone(),
            structure: settings.structure,
            groups: settings.groups.clone(),
            trim: settings.trim,
            standstill: TierMap::default(),
        }
    }

    /// One step for every tier: what can be done now, within bounds.
    ///
    /// # Errors
    /// The connection failed: not every tier was looked after. What Redis refuses for one tier is that tier's error.
    pub async fn step(
        &mut self,
        connection: &mut impl ConnectionLike,
        now: Moment,
    ) -> RedisResult<TierMap<Result<Kept, QueueError>>> {
        let mut kept = TierMap::from_fn(|_| Ok(Kept::default()));
        for tier in Tier::ALL {
            kept[tier] = self.keep(tier, connection, now).await?;
        }
        Ok(kept)
    }

    async fn keep(
        &mut self,
        tier: Tier,
        connection: &mut impl ConnectionLike,
        now: Moment,
    ) -> RedisResult<Result<Kept, QueueError>> {
        let mut kept = Kept::default();
        if self.structure == Structure::Stream {
            match self.keep_stream(tier, connection).await? {
                Ok(trimmed) => {
                    kept.trimmed = trimmed.removed;
                    let queue = &self.layout.tier(tier).queue;
                    kept.blocking = self.standstill[tier].note(queue, &trimmed, now);
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(self.requeue_due(tier, connection).await?.map(|due| Kept { due, ..kept }))
    }

    /// Makes what is missing of a stream and its groups, and removes what all groups have done.
    async fn keep_stream(
        &self,
        tier: Tier,
        connection: &mut impl ConnectionLike,
    ) -> RedisResult<Result<Trimmed, QueueError>> {
        let keys = self.layout.tier(tier);
        let mut removed = 0;
        let mut trimmed = Trimmed::default();
        for _ in 0..MOST_ROUNDS {
            let mut pipeline = Pipeline::new();
            trim::ask(keys, self.trim, &mut pipeline);
            let Some(reply) = ask(connection, &pipeline).await?.pop() else { break };
            match trim::read(reply) {
                Err(error) => return Ok(Err(error)),
                Ok(None) => trimmed = Trimmed::default(),
                Ok(Some(read)) => trimmed = read,
            }
            removed += trimmed.removed;
            if !trimmed.is_unfinished() {
                break;
            }
        }
        let missing = self.groups.iter().filter(|name| !trimmed.has(name));
        let made = self.make_groups(tier, missing, connection).await?;
        Ok(made.map(|()| Trimmed { removed, ..trimmed }))
    }

    /// Makes groups that begin with the first entry that is there: what nobody was given must not be lost.
    async fn make_groups(
        &self,
        tier: Tier,
        missing: impl Iterator<Item = &String>,
        connection: &mut impl ConnectionLike,
    ) -> RedisResult<Result<(), QueueError>> {
        let keys = self.layout.tier(tier);
        let mut pipeline = Pipeline::new();
        for group in missing {
            info!(queue = keys.queue, group, "the group is not there and is made");
            pipeline.cmd("XGROUP").arg("CREATE").arg(&keys.queue).arg(group).arg("0").arg("MKSTREAM");
        }
        let replies = ask(connection, &pipeline).await?;
        // Another gateway may have been faster.
        let failed =
            |reply: &Value| !matches!(reply, Value::ServerError(error) if error.code() == "BUSYGROUP");
        Ok(replies.into_iter().filter(failed).try_for_each(|reply| refusal(&[reply])))
    }

    async fn requeue_due(
        &self,
        tier: Tier,
        connection: &mut impl ConnectionLike,
    ) -> RedisResult<Result<u64, QueueError>> {
        let keys = self.layout.tier(tier);
        let mut pipeline = Pipeline::new();
        delayed::ask(keys, &mut pipeline);
        let Some(reply) = ask(connection, &pipeline).await?.pop() else { return Ok(Ok(0)) };
        let due = match delayed::read(reply) {
            Ok(due) => due,
            Err(error) => return Ok(Err(error)),
        };
        let mut pipeline = Pipeline::new();
        delayed::requeue(keys, self.structure, &due, &mut pipeline);
        let replies = ask(connection, &pipeline).await?;
        Ok(refusal(&replies).map(|()| u64::try_from(due.len()).unwrap_or(u64::MAX)))
    }
}

/// The replies to a pipeline, errors of Redis among them.
async fn ask(connection: &mut impl ConnectionLike, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
    if pipeline.is_empty() {
        return Ok(Vec::new());
    }
    connection.req_packed_commands(pipeline, 0, pipeline.len()).await
}

fn refusal(replies: &[Value]) -> Result<(), QueueError> {
    first_refusal(replies).map_or(Ok(()), |refusal| Err(QueueError::Unavailable { detail: refusal.detail }))
}

/// Times that one stream is trimmed in one step at most, each time by a bounded number of entries.
const MOST_ROUNDS: usize = 10;
