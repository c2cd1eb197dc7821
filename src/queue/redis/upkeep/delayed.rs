//! Delayed jobs that are due go back into their queue, with the attempt that their element says.

use deadpool_redis::redis::{Pipeline, Value};
use tracing::warn;

use crate::queue::error::QueueError;
use crate::queue::redis::backlog::replies::Replies;
use crate::queue::redis::entry::{again, element};
use crate::queue::redis::layout::TierKeys;
use crate::queue::redis::settings::Structure;

/// Adds the command that asks for what is due.
pub(super) fn ask(keys: &TierKeys, pipeline: &mut Pipeline) {
    pipeline.cmd("EVAL").arg(DUE).arg(1).arg(&keys.delayed).arg(AT_ONCE).arg(BYTES_AT_ONCE);
}

/// What is due.
///
/// # Errors
/// What Redis says is wrong.
pub(super) fn read(value: Value) -> Result<Vec<Vec<u8>>, QueueError> {
    Replies::of(value)?.all_bytes()
}

/// Adds a command for each job that is due: back into the queue, or aside if it is none. Those aside stay delayed, and
/// counted, with an infinite score, until somebody looks at them.
pub(super) fn requeue(keys: &TierKeys, structure: Structure, due: &[Vec<u8>], pipeline: &mut Pipeline) {
    let (mut broken, mut why) = (0_u64, None);
    for element in due {
        let fields = match structure {
            // A list has elements as they are.
            Structure::List => Ok(Vec::new()),
            Structure::Stream => {
                element::decode(element).map_err(|error| error.to_string()).and_then(|element| {
                    let fields = again::fields(&element);
                    if fields.len() <= MOST_FIELDS {
                        Ok(fields)
                    } else {
                        Err("it has too many headers".to_owned())
                    }
                })
            }
        };
        match fields {
            Ok(fields) => {
                pipeline.cmd("EVAL").arg(REQUEUE).arg(2).arg(&keys.queue).arg(&keys.delayed);
                pipeline.arg(element.as_slice());
                for field in &fields {
                    pipeline.arg(field.as_slice());
                }
            }
            Err(error) => {
                pipeline.cmd("ZADD").arg(&keys.delayed).arg("XX").arg("+inf").arg(element.as_slice());
                broken += 1;
                why.get_or_insert(error);
            }
        }
    }
    if let Some(why) = why {
        warn!(
            queue = keys.queue,
            broken,
            "delayed jobs cannot be read and stay in {} with score inf; the first: {why}",
            keys.delayed
        );
    }
}

const DUE: &str = include_str!("due.lua");
const REQUEUE: &str = include_str!("requeue.lua");

/// Jobs moved in one step at most: a thousand a second and tier, were a step a second.
const AT_ONCE: usize = 1_000;

/// Bytes of jobs moved in one step, about.
const BYTES_AT_ONCE: u32 = 4 << 20;

/// What a script can hand to a command at once; Lua's own limit is 8,000.
const MOST_FIELDS: usize = 7_000;
