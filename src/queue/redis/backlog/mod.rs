//! Depth and age of a tier (a placeholder until the real one comes).

use deadpool_redis::redis::{Pipeline, Value};

use crate::clock::Clock;
use crate::domain::backlog::Backlog;
use crate::domain::tier::Tier;
use crate::domain::time::Moment;
use crate::queue::error::QueueError;
use crate::queue::redis::layout::Layout;
use crate::queue::redis::settings::{RedisSettings, Structure};

/// One tier.
#[derive(Debug)]
pub struct Sight {
    queue: String,
    dead: String,
    structure: Structure,
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    /// Depth and ages.
    pub backlog: Backlog,
    /// When.
    pub taken: Moment,
    /// Dead letters.
    pub dead: u64,
}

impl Sight {
    /// Of this tier.
    pub fn new(layout: &Layout, settings: &RedisSettings, tier: Tier, _clock: Clock) -> Sight {
        let keys = layout.tier(tier);
        Sight { queue: keys.queue.clone(), dead: keys.dead.clone(), structure: settings.structure }
    }

    /// Adds the commands.
    pub fn ask(&mut self, pipeline: &mut Pipeline) {
        pipeline.cmd(if self.structure == Structure::Stream { "XLEN" } else { "LLEN" }).arg(&self.queue);
        pipeline.cmd("ZCARD").arg(&self.dead);
    }

    /// Reads the replies.
    ///
    /// # Errors
    /// No depth.
    pub fn read(&mut self, values: Vec<Value>, _asked: Moment, answered: Moment) -> Result<Seen, QueueError> {
        let [Value::Int(depth), Value::Int(dead)] = values.as_slice() else {
            return Err(QueueError::Unavailable { detail: "no depth".into() });
        };
        let backlog = Backlog { waiting: *depth as u64, ..Backlog::default() };
        Ok(Seen { backlog, taken: answered, dead: *dead as u64 })
    }
}
