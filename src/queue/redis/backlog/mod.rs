//! The backlog of one tier in Redis: what is asked in one reading, and what the answer means.
//!
//! A reading is one script, so that all of it is of one instant, and the number of dead letters behind it. It is an error
//! where Redis says so, where the stream or a group of it is gone, or where the answer makes no sense: never a zero in its
//! place. Redis says itself when it was taken.

mod groups;
mod list;
pub(super) mod replies;
pub mod server_clock;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::{Pipeline, Value};

use crate::domain::backlog::Backlog;
use crate::domain::tier::Tier;
use crate::domain::time::{Moment, Timestamp};
use crate::queue::ages::Ages;
use crate::queue::error::QueueError;
use crate::queue::group_watch::Doing;
use crate::queue::redis::backlog::groups::Watches;
use crate::queue::redis::backlog::list::{ListView, Workers};
use crate::queue::redis::backlog::replies::{Replies, unexpected};
use crate::queue::redis::backlog::server_clock::ServerClock;
use crate::queue::redis::backlog::stream::StreamView;
use crate::queue::redis::layout::{Layout, TierKeys};
use crate::queue::redis::settings::{RedisSettings, Structure};
use crate::queue::{GroupBacklog, GroupState};

/// Looks at one tier, reading by reading, and remembers what the next one needs.
#[derive(Debug)]
pub struct Sight {
    keys: TierKeys,
    structure: Structure,
    groups: Vec<String>,
    server: ServerClock,
    workers: Workers,
    arrivals: Option<Arrivals>,
    watches: Watches,
    blocking: Vec<Arc<str>>,
}

/// What one reading saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Waiting: not handed out to the slowest group, and delayed. Leased: handed out to it and not acknowledged.
    pub backlog: Backlog,
    /// When Redis looked.
    pub taken: Moment,
    /// What Redis' own clock said.
    pub server_time: Timestamp,
    /// Dead letters of the tier.
    pub dead: u64,
    /// The stream's groups, those that count first; at most [`MOST_GROUPS`].
    pub groups: Vec<GroupBacklog>,
}

impl Sight {
    /// Nothing was seen yet.
    pub fn new(layout: &Layout, settings: &RedisSettings, tier: Tier) -> Sight {
        Sight {
            keys: layout.tier(tier).clone(),
            structure: settings.structure,
            groups: settings.groups.clone(),
            server: ServerClock::default(),
            workers: Workers::default(),
            arrivals: None,
            watches: Watches::default(),
            blocking: Vec::new(),
        }
    }

    /// Adds the commands of one reading, [`COMMANDS`] of them.
    pub fn ask(&mut self, pipeline: &mut Pipeline) {
        match self.structure {
            Structure::Stream => stream::ask(&self.keys, &self.groups, self.arrivals.is_none(), pipeline),
            Structure::List => self.workers.ask(&self.keys, pipeline),
        }
        pipeline.cmd("ZCARD").arg(&self.keys.dead);
    }

    /// What the answers say. `asked` is before the commands were sent, `answered` after their answers came.
    ///
    /// # Errors
    /// What Redis says is wrong; or that the stream or a group is gone, until [`upkeep`](super::upkeep) has made it anew.
    pub fn read(&mut self, values: Vec<Value>, asked: Moment, answered: Moment) -> Result<Seen, QueueError> {
        let mut values = Replies::new(values);
        let queue = values.next().ok_or_else(unexpected)?;
        let dead = values.number()?;
        match self.structure {
            Structure::Stream => {
                let view = stream::read(queue)?;
                let taken = self.server.moment(view.server, asked, answered);
                self.seen_stream(&view, taken, dead)
            }
            Structure::List => {
                let view = self.workers.read(queue, answered)?;
                let taken = self.server.moment(view.server, asked, answered);
                Ok(self.seen_list(&view, taken, dead))
            }
        }
    }

    /// Notes which groups keep the stream from being trimmed, as upkeep found.
    pub fn note_blocking(&mut self, groups: Vec<Arc<str>>) {
        self.blocking = groups;
    }

    fn seen_stream(&mut self, view: &StreamView, taken: Moment, dead: u64) -> Result<Seen, QueueError> {
        let slowest = view.slowest(&self.groups)?;
        let (now, waiting) = (timestamp(view.server), slowest.lag.saturating_add(view.delayed));
        if self.arrivals.as_ref().is_some_and(|arrivals| arrivals.counted > view.added) {
            // Another stream stands in its place: after a FLUSHALL, or on a replica that was behind.
            self.arrivals = None;
        }
        let arrivals = self.arrivals.get_or_insert_with(|| {
            let oldest = slowest.oldest.into_iter().chain(view.retry).min().unwrap_or(now);
            Arrivals::found(waiting, view.added, oldest, view.newest)
        });
        let ages = arrivals.ages(view.added, waiting, now);
        let backlog = Backlog {
            waiting,
            leased: slowest.pending,
            oldest_age: ages.map(|a| a.0),
            p99_age: ages.map(|a| a.1),
            headroom: None,
        };
        Ok(Seen { backlog, taken, server_time: now, dead, groups: self.groups_of(view, taken) })
    }

    fn seen_list(&mut self, view: &ListView, taken: Moment, dead: u64) -> Seen {
        let (now, waiting) = (timestamp(view.server), view.length.saturating_add(view.delayed));
        // A list does not say how many jobs ever came in; its elements say when they did. The ring is for elements that
        // do not: it sees growth alone, and so never makes them too young.
        let arrivals = self.arrivals.get_or_insert_with(|| Arrivals::found(waiting, waiting, now, now));
        let grown = waiting.saturating_sub(arrivals.waiting);
        let ages = arrivals.ages(arrivals.counted.saturating_add(grown), waiting, now);
        let age = |told: Option<Timestamp>, ring| told.map_or(ring, |at| now.since(at));
        let backlog = Backlog {
            waiting,
            leased: view.held,
            oldest_age: ages.map(|ages| age(view.oldest, ages.0)),
            p99_age: ages.map(|ages| age(view.p99, ages.1)),
            headroom: None,
        };
        Seen { backlog, taken, server_time: now, dead, groups: Vec::new() }
    }

    fn groups_of(&mut self, view: &StreamView, taken: Moment) -> Vec<GroupBacklog> {
        let doing = self.watches.see(&view.groups, taken);
        let seen = |(group, doing): (&stream::Group, Doing)| {
            let blocks_trim = self.blocking.contains(&group.name);
            GroupBacklog {
                name: Arc::clone(&group.name),
                lag: group.lag,
                pending: group.pending,
                counts: self.groups.iter().any(|name| **name == *group.name),
                blocks_trim,
                state: if blocks_trim { GroupState::Stalled } else { doing.state },
                still_for: doing.still_for,
                members: doing.members,
            }
        };
        let mut groups: Vec<_> = view.groups.iter().zip(doing).map(seen).collect();
        groups.sort_by_key(|group| (!group.counts, !group.blocks_trim));
        groups.truncate(MOST_GROUPS);
        groups
    }
}

/// When jobs came in: the ring of their ages, and where its count began.
#[derive(Debug)]
struct Arrivals {
    ages: Ages,
    /// Jobs that had come in before those that were found at the start.
    before: u64,
    /// Jobs that have come in, in all.
    counted: u64,
    /// Of them, those that wait.
    waiting: u64,
}

impl Arrivals {
    /// A queue in which some wait, of so many that have ever come in.
    fn found(waiting: u64, counted: u64, oldest: Timestamp, newest: Timestamp) -> Arrivals {
        let ages = Ages::recovered(waiting, oldest, newest);
        Arrivals { ages, before: counted.saturating_sub(waiting), counted, waiting }
    }

    /// How old the oldest waiting job is, and the one 1 % behind it, when so many have come in and so many wait.
    fn ages(&mut self, counted: u64, waiting: u64, now: Timestamp) -> Option<(Duration, Duration)> {
        if counted > self.counted {
            self.ages.record(counted.saturating_sub(self.before), now);
        }
        (self.counted, self.waiting) = (counted, waiting);
        let taken = counted.saturating_sub(self.before).saturating_sub(waiting);
        self.ages.forget(taken);
        let age = |ahead| self.ages.age(ahead, now);
        (waiting > 0).then(|| (age(taken), age(taken.saturating_add(waiting / 100))))
    }
}

fn timestamp(since_epoch: Duration) -> Timestamp {
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// Commands of one reading.
pub const COMMANDS: usize = 2;

/// Groups shown at most.
pub const MOST_GROUPS: usize = 100;
