//! What stands in a stream: what Redis answers, and the depth of the slowest group in it.

use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::{Pipeline, Value};

use crate::domain::time::Timestamp;
use crate::queue::error::QueueError;
use crate::queue::redis::backlog::replies::{Replies, unexpected};
use crate::queue::redis::entry::element;
use crate::queue::redis::layout::TierKeys;

/// A stream at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamView {
    /// Redis' own time, since the epoch.
    pub server: Duration,
    /// Jobs delayed for a retry.
    pub delayed: u64,
    /// Entries ever added.
    pub added: u64,
    /// When the newest entry was added.
    pub newest: Timestamp,
    /// When the first delayed job was accepted, where that was asked for.
    pub retry: Option<Timestamp>,
    /// Its groups, those that count and others.
    pub groups: Vec<Group>,
}

/// A group at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub name: Arc<str>,
    /// Entries that were not handed out yet.
    pub lag: u64,
    /// Entries handed out and not acknowledged.
    pub pending: u64,
    /// When the oldest entry that was not handed out was added, where that was asked for.
    pub oldest: Option<Timestamp>,
    /// Consumers that ever read for it and were not deleted.
    pub consumers: u64,
    /// The id of the last entry that was handed out.
    pub last: String,
}

/// Adds the command of one reading.
pub(super) fn ask(keys: &TierKeys, groups: &[String], look: bool, pipeline: &mut Pipeline) {
    pipeline.cmd("EVAL").arg(SCRIPT).arg(2).arg(&keys.queue).arg(&keys.delayed);
    pipeline.arg(COUNTED).arg(COUNTED_BYTES).arg(u8::from(look)).arg(groups);
}

/// What the answer says.
///
/// # Errors
/// What Redis says is wrong, or there is no stream.
pub(super) fn read(value: Value) -> Result<StreamView, QueueError> {
    let mut reply = Replies::of(value)?;
    let (server, delayed) = (reply.time()?, reply.number()?);
    let Some(length) = reply.optional_number()? else {
        return Err(QueueError::Unavailable {
            detail: "the stream of this tier is gone from Redis".to_owned(),
        });
    };
    let added = reply.number()?;
    let newest = id_time(&reply.text()?)?;
    let retry = reply.optional_bytes()?.and_then(|element| element::came_in(&element));
    let groups = reply.list()?.lists().map(|group| read_group(group?, length)).collect::<Result<_, _>>()?;
    Ok(StreamView { server, delayed, added, newest, retry, groups })
}

fn read_group(mut reply: Replies, length: u64) -> Result<Group, QueueError> {
    let (name, pending) = (reply.text()?.into(), reply.number()?);
    let (known, counted) = (reply.optional_number()?, reply.optional_number()?);
    // Where entries were ever deleted, Redis says more than there is at times, but never less. What was not handed out is in
    // the stream, in any case.
    let lag = counted.or(known).unwrap_or(length).min(length);
    let oldest = reply.optional_text()?.map(|id| id_time(&id)).transpose()?;
    let (consumers, last) = (reply.number()?, reply.text()?);
    Ok(Group { name, lag, pending, oldest, consumers, last })
}

impl Group {
    /// Jobs that it has not done.
    pub(super) const fn left(&self) -> u64 {
        self.lag.saturating_add(self.pending)
    }
}

impl StreamView {
    /// The group that has most left to do, of those that count.
    ///
    /// # Errors
    /// One of them is not there: a reading without it would be too low.
    pub(super) fn slowest(&self, counting: &[String]) -> Result<&Group, QueueError> {
        let mut slowest: Option<&Group> = None;
        for name in counting {
            let group = self.groups.iter().find(|group| *group.name == **name).ok_or_else(|| {
                QueueError::Unavailable {
                    detail: format!("the group {name} is gone from the stream of this tier"),
                }
            })?;
            if slowest.is_none_or(|slowest| group.left() > slowest.left()) {
                slowest = Some(group);
            }
        }
        slowest.ok_or_else(|| QueueError::Unavailable { detail: "no group counts".to_owned() })
    }
}

/// The time in an entry's id.
fn id_time(id: &str) -> Result<Timestamp, QueueError> {
    let millis = id.split('-').next().and_then(|millis| millis.parse().ok());
    millis.map(Timestamp::from_millis).ok_or_else(unexpected)
}

const SCRIPT: &str = include_str!("stream.lua");

/// Entries that are counted at most, from either end of the stream, where Redis does not know a group's lag or may be wrong
/// about it: about a millisecond of its time. Beyond it Redis' own lag counts or, where there is none, the stream's length:
/// neither is ever too little.
const COUNTED: u32 = 1_000;

/// Bytes of entries that are looked at for it.
const COUNTED_BYTES: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn group(name: &str, pending: i64, lag: Option<i64>, counted: Option<i64>) -> Value {
        let number = |number: Option<i64>| number.map_or(Value::Nil, Value::Int);
        let (consumers, last) = (Value::Int(1), text("1-0"));
        let numbers = [Value::Int(pending), number(lag), number(counted)];
        Value::Array([vec![text(name)], numbers.to_vec(), vec![Value::Nil, consumers, last]].concat())
    }

    fn answer(length: i64, groups: Vec<Value>) -> Value {
        Value::Array(vec![
            text("1700000000"),
            text("250000"),
            Value::Int(3),
            Value::Int(length),
            Value::Int(500),
            text("1699999999000-7"),
            Value::Nil,
            Value::Array(groups),
        ])
    }

    fn slowest(length: i64, groups: Vec<Value>, counting: &[&str]) -> Result<(u64, u64), QueueError> {
        let view = read(answer(length, groups))?;
        let counting: Vec<_> = counting.iter().map(|name| (*name).to_owned()).collect();
        view.slowest(&counting).map(|group| (group.lag, group.pending))
    }

    #[test]
    fn the_slowest_of_the_groups_that_count_counts() {
        let groups = || {
            vec![group("a", 5, Some(10), None), group("b", 0, Some(16), None), group("c", 0, Some(90), None)]
        };
        assert_eq!(slowest(100, groups(), &["a", "b"]), Ok((16, 0)));
        assert_eq!(slowest(100, groups(), &["a"]), Ok((10, 5)));
    }

    #[test]
    fn a_lag_that_redis_does_not_know_is_what_was_counted_or_all_there_is_and_never_zero() {
        assert_eq!(slowest(100, vec![group("a", 5, None, Some(7))], &["a"]), Ok((7, 5)));
        assert_eq!(slowest(100, vec![group("a", 5, None, None)], &["a"]), Ok((100, 5)));
        assert_eq!(
            slowest(100, vec![group("a", 5, Some(9), Some(7))], &["a"]),
            Ok((7, 5)),
            "deleted ones are in the 9"
        );
    }

    #[test]
    fn a_lag_beyond_the_length_counts_entries_that_were_deleted() {
        assert_eq!(slowest(2, vec![group("a", 1, Some(9), None)], &["a"]), Ok((2, 1)));
    }

    #[test]
    fn a_group_or_a_stream_that_is_gone_is_an_error() {
        assert!(slowest(100, vec![group("a", 5, Some(0), None)], &["a", "b"]).is_err());
        let gone = Value::Array(vec![text("1700000000"), text("0"), Value::Int(0)]);
        assert!(read(gone).is_err());
    }

    #[test]
    fn replies_of_another_kind_are_errors() {
        for value in [Value::Nil, Value::Int(0), Value::Array(Vec::new()), answer(-1, Vec::new())] {
            assert!(read(value.clone()).is_err(), "{value:?}");
        }
        let no_count = Value::Array(vec![text("a"), Value::Nil, Value::Int(0), Value::Nil, Value::Nil]);
        assert!(read(answer(1, vec![no_count])).is_err());
    }
}
