//! What stands in a list and in its workers' processing lists, those that registered and those that a search finds.

use std::collections::BTreeMap;
use std::time::Duration;

use deadpool_redis::redis::{Pipeline, Value};

use crate::domain::time::{Moment, Timestamp};
use crate::queue::error::QueueError;
use crate::queue::redis::backlog::replies::Replies;
use crate::queue::redis::entry::element;
use crate::queue::redis::layout::TierKeys;

/// A list at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListView {
    /// Redis' own time, since the epoch.
    pub server: Duration,
    /// Jobs delayed for a retry.
    pub delayed: u64,
    /// Jobs in the list.
    pub length: u64,
    /// Jobs in processing lists.
    pub held: u64,
    /// When the oldest waiting job came in, where it says so.
    pub oldest: Option<Timestamp>,
    /// The same of the job 1 % behind it.
    pub p99: Option<Timestamp>,
}

/// The processing lists that are known, and how far the search for others is.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    cursor: String,
    /// When each held a job last.
    known: BTreeMap<Vec<u8>, Moment>,
}

impl Default for Workers {
    fn default() -> Workers {
        Workers { cursor: START.to_owned(), known: BTreeMap::new() }
    }
}

impl Workers {
    /// Adds the command of one reading: every list that is known, and one more step of the search.
    pub(super) fn ask(&self, keys: &TierKeys, pipeline: &mut Pipeline) {
        pipeline.cmd("EVAL").arg(SCRIPT).arg(3).arg(&keys.queue).arg(&keys.delayed).arg(&keys.workers);
        pipeline.arg(&keys.processing).arg(pattern(&keys.processing)).arg(&self.cursor);
        pipeline.arg(SEARCHED).arg(MOST_LISTS);
        for name in self.known.keys() {
            pipeline.arg(name);
        }
    }

    /// What the answer says; remembers the lists in it.
    ///
    /// # Errors
    /// What Redis says is wrong, or there are more processing lists than can be counted.
    pub(super) fn read(&mut self, value: Value, taken: Moment) -> Result<ListView, QueueError> {
        let mut reply = Replies::of(value).inspect_err(|_| self.cursor = START.to_owned())?;
        let (server, delayed, length, held) =
            (reply.time()?, reply.number()?, reply.number()?, reply.number()?);
        self.cursor = reply.text()?;
        let Some(holding) = reply.next() else {
            self.known.clear();
            let detail = format!("more than {MOST_LISTS} processing lists: they are not counted");
            return Err(QueueError::Unavailable { detail });
        };
        for name in Replies::of(holding)?.all_bytes()? {
            self.known.insert(name, taken);
        }
        self.known.retain(|_, held| taken.since(*held) < KEPT);
        let mut came_in = || Ok(reply.optional_text()?.and_then(|text| element::told_time(&text)));
        let (oldest, p99, retry): (Option<Timestamp>, _, _) = (came_in()?, came_in()?, came_in()?);
        let oldest = oldest.into_iter().chain(retry).min();
        Ok(ListView { server, delayed, length, held, oldest, p99: p99.or(oldest) })
    }
}

/// The pattern that matches what begins with these characters.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('*');
    pattern
}

const SCRIPT: &str = include_str!("list.lua");

/// The cursor with which a search begins.
const START: &str = "0";

/// Keys looked at in one step of the search: a tenth of a millisecond of Redis, and a million keys in three minutes. Workers
/// that register are counted at once.
const SEARCHED: u32 = 500;

/// Processing lists counted at most; each costs Redis a microsecond at every reading.
const MOST_LISTS: usize = 1_000;

/// A list that has been empty for this long is forgotten; if it fills again, the search finds it.
const KEPT: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn answer(held: i64, cursor: &str, holding: &[&str], times: [Option<&str>; 3]) -> Value {
        let time = |time: Option<&str>| time.map_or(Value::Nil, text);
        let mut values = vec![text("1700000000"), text("0"), Value::Int(2), Value::Int(10), Value::Int(held)];
        values.push(text(cursor));
        values.push(Value::Array(holding.iter().map(|name| text(name)).collect()));
        values.extend(times.map(time));
        Value::Array(values)
    }

    #[test]
    fn lists_that_were_seen_are_asked_for_again_until_they_are_long_empty() {
        let mut workers = Workers::default();
        let view = workers.read(answer(4, "17", &["q:processing:w"], [None; 3]), Moment::ORIGIN).unwrap();
        assert_eq!((view.length, view.delayed, view.held), (10, 2, 4));
        assert_eq!(workers.cursor, "17");
        let empty = || answer(0, "0", &[], [None; 3]);
        workers.read(empty(), Moment::after_origin(KEPT / 2)).unwrap();
        assert_eq!(workers.known.len(), 1, "a worker between two jobs");
        workers.read(empty(), Moment::after_origin(KEPT * 2)).unwrap();
        assert_eq!(workers.known.len(), 0);
    }

    #[test]
    fn the_oldest_is_the_older_of_the_list_and_the_first_retry() {
        let mut workers = Workers::default();
        let (early, late) = ("2023-11-14T22:13:20.007Z", "1700000100.5");
        let mut read = |times| workers.read(answer(0, "0", &[], times), Moment::ORIGIN).unwrap();
        let view = read([Some(late), None, Some(early)]);
        assert_eq!(view.oldest, Some(Timestamp::from_millis(1_700_000_000_007)));
        let view = read([Some(early), Some(late), None]);
        assert_eq!(view.p99, Some(Timestamp::from_millis(1_700_000_100_500)));
        assert_eq!(read([Some("?"), None, None]).oldest, None);
    }

    #[test]
    fn too_many_lists_and_errors_are_errors() {
        let mut workers = Workers::default();
        let Value::Array(mut values) = answer(0, "5", &[], [None; 3]) else { unreachable!() };
        values[6] = Value::Nil;
        assert!(workers.read(Value::Array(values), Moment::ORIGIN).is_err());
        assert!(workers.read(Value::Nil, Moment::ORIGIN).is_err());
        assert_eq!(workers.cursor, START, "a search whose cursor may be lost begins again");
    }

    #[test]
    fn names_are_matched_as_they_are() {
        assert_eq!(pattern("{a}:x*[1]:processing:"), r"{a}:x\*\[1\]:processing:*");
    }
}
