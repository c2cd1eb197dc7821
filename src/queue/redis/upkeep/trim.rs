//! What was trimmed from a stream, and which group keeps it from being trimmed further.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::{Pipeline, Value};
use tracing::{info, warn};

use crate::domain::time::Moment;
use crate::queue::error::QueueError;
use crate::queue::redis::backlog::replies::{Replies, unexpected};
use crate::queue::redis::layout::TierKeys;
use crate::queue::redis::settings::Trim;

/// A stream after its upkeep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trimmed {
    /// Entries that were removed.
    pub removed: u64,
    /// Entries that are left.
    pub left: u64,
    /// Its groups.
    pub groups: Vec<Needing>,
}

/// A group, and what it keeps from being removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needing {
    pub name: Arc<str>,
    /// The first id that it has not done.
    pub needs: Id,
    /// Entries that were not handed out to it, where Redis knows.
    pub lag: Option<u64>,
    /// Entries that it has not acknowledged.
    pub pending: u64,
}

/// An entry's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(u64, u64);

/// Adds the command for one stream.
pub(super) fn ask(keys: &TierKeys, trim: Trim, pipeline: &mut Pipeline) {
    let most = match trim {
        Trim::Acknowledged => AT_ONCE,
        Trim::Never => 0,
    };
    pipeline.cmd("EVAL").arg(SCRIPT).arg(1).arg(&keys.queue).arg(most);
}

/// What the answer says; `None` if there is no stream.
///
/// # Errors
/// What Redis says is wrong.
pub(super) fn read(value: Value) -> Result<Option<Trimmed>, QueueError> {
    if value == Value::Nil {
        return Ok(None);
    }
    let mut reply = Replies::of(value)?;
    let (length, removed) = (reply.number()?, reply.number()?);
    let group = |reply: Result<Replies, QueueError>| {
        let mut reply = reply?;
        let (name, needs) = (reply.text()?.into(), Id::parse(&reply.text()?)?);
        Ok(Needing { name, needs, lag: reply.optional_number()?, pending: reply.number()? })
    };
    let groups = reply.list()?.lists().map(group).collect::<Result<_, _>>()?;
    Ok(Some(Trimmed { removed, left: length.saturating_sub(removed), groups }))
}

impl Trimmed {
    /// Whether this group is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.groups.iter().any(|group| *group.name == *name)
    }

    /// Whether there may be more to remove.
    pub(super) const fn is_unfinished(&self) -> bool {
        self.removed >= AT_ONCE / 2
    }
}

impl Id {
    fn parse(text: &str) -> Result<Id, QueueError> {
        let (time, count) = text.split_once('-').ok_or_else(unexpected)?;
        let number = |text: &str| text.parse().map_err(|_| unexpected());
        Ok(Id(number(time)?, number(count)?))
    }
}

/// Sees which groups stand still and thereby keep a stream from being trimmed.
#[derive(Debug, Default)]
pub(super) struct Standstill {
    /// What each group needs first, since when.
    needs: BTreeMap<Arc<str>, (Id, Moment)>,
    blocking: Vec<Arc<str>>,
}

impl Standstill {
    /// The groups that block, after this look. What changed is logged.
    pub(super) fn note(&mut self, queue: &str, trimmed: &Trimmed, now: Moment) -> Vec<Arc<str>> {
        self.needs.retain(|name, _| trimmed.groups.iter().any(|group| group.name == *name));
        for group in trimmed.groups.iter().take(MOST_WATCHED) {
            let known = self.needs.entry(Arc::clone(&group.name)).or_insert((group.needs, now));
            if known.0 != group.needs {
                *known = (group.needs, now);
            }
        }
        let stopped = |group: &&Needing| {
            self.needs.get(&group.name).is_some_and(|(_, since)| now.since(*since) >= STOPPED)
        };
        let blocks = |group: &&Needing| trimmed.is_held_by(group);
        let blocking: Vec<_> = trimmed
            .groups
            .iter()
            .filter(stopped)
            .filter(blocks)
            .map(|group| Arc::clone(&group.name))
            .collect();
        for group in blocking.iter().filter(|group| !self.blocking.contains(group)) {
            warn!(
                queue,
                %group,
                entries = trimmed.left,
                "a group does not go on: what others have acknowledged is kept for it. Let it read, or XGROUP DESTROY it"
            );
        }
        for group in self.blocking.iter().filter(|group| !blocking.contains(group)) {
            info!(queue, %group, "the group keeps nothing from being trimmed any more");
        }
        self.blocking.clone_from(&blocking);
        blocking
    }
}

impl Trimmed {
    /// Whether entries that are done otherwise are kept for this group: other groups are ahead of it, or itself is ahead of
    /// an entry that it has not acknowledged.
    fn is_held_by(&self, group: &Needing) -> bool {
        let is_last = self.groups.iter().all(|other| other.needs >= group.needs);
        let others_ahead = self.groups.iter().any(|other| other.needs > group.needs);
        let left = group.lag.map(|lag| lag.saturating_add(group.pending));
        let itself_ahead = left.is_some_and(|left| self.left.saturating_sub(left) > SLACK);
        is_last && (others_ahead || itself_ahead)
    }
}

const SCRIPT: &str = include_str!("trim.lua");

/// Entries removed by one command at most: some milliseconds of Redis.
const AT_ONCE: u64 = 100_000;

/// A group that needs the same entry for so long does not go on.
const STOPPED: Duration = Duration::from_secs(10);

/// Acknowledged entries that always stay: Redis removes whole nodes of a hundred.
const SLACK: u64 = 200;

/// Groups of one stream that are watched.
const MOST_WATCHED: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_origin(Duration::from_secs(seconds))
    }

    fn group(name: &str, needs: u64, lag: u64, pending: u64) -> Needing {
        Needing { name: name.into(), needs: Id(needs, 0), lag: Some(lag), pending }
    }

    fn look(standstill: &mut Standstill, left: u64, groups: Vec<Needing>, seconds: u64) -> Vec<String> {
        let trimmed = Trimmed { removed: 0, left, groups };
        let blocking = standstill.note("jobs:bulk", &trimmed, at(seconds));
        blocking.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn a_group_that_stopped_behind_another_blocks_until_it_goes_on() {
        let mut standstill = Standstill::default();
        let slow = |needs| group("slow", needs, 50, 0);
        assert!(look(&mut standstill, 50, vec![slow(5), group("fast", 20, 0, 0)], 0).is_empty());
        assert!(look(&mut standstill, 50, vec![slow(5), group("fast", 30, 0, 0)], 9).is_empty());
        assert_eq!(look(&mut standstill, 50, vec![slow(5), group("fast", 40, 0, 0)], 10), ["slow"]);
        assert!(look(&mut standstill, 50, vec![slow(6), group("fast", 40, 0, 0)], 11).is_empty());
        assert!(look(&mut standstill, 50, vec![group("fast", 40, 0, 0)], 60).is_empty(), "destroyed");
    }

    #[test]
    fn an_entry_that_is_never_acknowledged_blocks_what_its_own_group_did_after_it() {
        let mut standstill = Standstill::default();
        let stuck = || vec![group("g", 5, 0, 1)];
        assert!(look(&mut standstill, 150, stuck(), 0).is_empty());
        assert!(look(&mut standstill, 150, stuck(), 20).is_empty(), "no more than always stays");
        assert_eq!(look(&mut standstill, 1000, stuck(), 30), ["g"]);
    }

    #[test]
    fn workers_that_are_away_block_nothing_while_nobody_is_ahead() {
        let mut standstill = Standstill::default();
        let away = || vec![group("a", 5, 900, 100), group("b", 5, 1000, 0)];
        look(&mut standstill, 1000, away(), 0);
        assert!(look(&mut standstill, 1000, away(), 600).is_empty());
    }

    #[test]
    fn ids_are_compared_as_numbers() {
        assert!(Id::parse("9-2").unwrap() < Id::parse("10-1").unwrap());
        assert!(Id::parse("1-18446744073709551615").unwrap() < Id::parse("2-0").unwrap());
        assert!(Id::parse("1").is_err() && Id::parse("x-1").is_err());
    }
}
