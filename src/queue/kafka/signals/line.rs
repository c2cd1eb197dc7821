//! One tier's topics between two looks: the backlog, its ages, its groups, its hottest partition and its cliff.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::domain::backlog::Backlog;
use crate::domain::tier::Tier;
use crate::domain::time::{Moment, Timestamp};
use crate::queue::ages::Ages;
use crate::queue::group_watch::{self, GroupWatch, Membership};
use crate::queue::kafka::signals::partition::{Offsets, Partition, Reset};
use crate::queue::kafka::signals::retention::{self, Cliff, Kept};
use crate::queue::topic::{HotPartition, TopicState};
use crate::queue::{GroupBacklog, GroupState};

/// What one look saw of a tier's topics.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// The topic of jobs, by partition.
    pub jobs: Vec<Offsets>,
    /// The topic of jobs that wait for another attempt; empty where there is none.
    pub retry: Vec<Offsets>,
    /// The members of each group, where the brokers told.
    pub members: Vec<Option<Membership>>,
    /// How long the topics of jobs and of retries keep a record.
    pub limits: [Option<Duration>; 2],
    /// When it was taken.
    pub taken: Moment,
    /// The time of day then.
    pub time: Timestamp,
}

/// A tier's topics, as of the last look.
#[derive(Debug)]
pub(super) struct Line {
    tier: Tier,
    reset: Reset,
    jobs: Vec<Part>,
    retry: Vec<Part>,
    groups: Vec<(Arc<str>, GroupWatch)>,
    cliff: Cliff,
    lost: u64,
}

/// One partition and when its records came.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// What waits in it.
    pub partition: Partition,
    ages: Option<Ages>,
    committed: Vec<Option<i64>>,
    unread: i64,
    end: i64,
    /// What the group with the longest backlog has not read.
    lags: Vec<u64>,
}

/// What a look says of a tier.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counted {
    /// What waits, and how old it is.
    pub backlog: Backlog,
    /// Unread jobs that were deleted since the start.
    pub lost: u64,
    /// The groups that count.
    pub groups: Vec<GroupBacklog>,
    /// The topic of jobs.
    pub topic: TopicState,
}

impl Line {
    /// Nothing was seen yet.
    pub(super) fn new(tier: Tier, groups: &[String], reset: Reset) -> Line {
        let groups = groups.iter().map(|name| (name.as_str().into(), GroupWatch::default())).collect();
        Line { tier, reset, jobs: Vec::new(), retry: Vec::new(), groups, cliff: Cliff::default(), lost: 0 }
    }

    /// The partitions of the topic of jobs, or of that of retries.
    pub(super) fn parts(&mut self, retry: bool) -> &mut Vec<Part> {
        if retry { &mut self.retry } else { &mut self.jobs }
    }

    /// Takes in the offsets of a look. [`count`](Self::count) then tells what they mean.
    pub(super) fn see(&mut self, look: &Look) {
        let (reset, now) = (self.reset, look.taken);
        let retry = readers_of_retries(&look.retry, self.groups.len());
        let all = vec![true; self.groups.len()];
        let committed = self.commits(look);
        let mut live = committed.contains(&true);
        for ((_, watch), members) in
            self.groups.iter().zip(look.members.iter().chain(std::iter::repeat(&None)))
        {
            live |= watch.is_live(*members, now);
        }
        let mut lost = 0;
        for (parts, offsets, readers) in
            [(&mut self.jobs, &look.jobs, &all), (&mut self.retry, &look.retry, &retry)]
        {
            parts.resize_with(offsets.len(), Part::default);
            for (part, offsets) in parts.iter_mut().zip(offsets) {
                lost += part.see(offsets, readers, reset, live);
            }
        }
        self.lost += lost;
        for (group, moved) in committed.into_iter().enumerate() {
            let lag = self.lag(group);
            let members = look.members.get(group).copied().flatten();
            if let Some((name, watch)) = self.groups.get_mut(group) {
                let doing = watch.see(moved, lag, members, look.taken);
                log_group(self.tier, name, lag, doing.turn);
            }
        }
    }

    /// Whether each group committed since the last look.
    fn commits(&self, look: &Look) -> Vec<bool> {
        let mut committed = vec![false; self.groups.len()];
        let jobs = self.jobs.iter().zip(&look.jobs);
        for (part, offsets) in jobs.chain(self.retry.iter().zip(&look.retry)) {
            let pairs = offsets.committed.iter().zip(&part.committed);
            for (committed, (new, old)) in committed.iter_mut().zip(pairs) {
                *committed |= new != old;
            }
        }
        committed
    }

    /// The partitions whose past must be known to tell the age of what waits in them: number, and the oldest unread record.
    pub(super) fn without_past(&self, retry: bool) -> Vec<(i32, i64)> {
        let parts = if retry { &self.retry } else { &self.jobs };
        let unknown = (0..).zip(parts).filter(|(_, part)| part.ages.is_none() && part.unread < part.end);
        unknown.map(|(number, part)| (number, part.unread)).collect()
    }

    /// Notes a partition's past: by each of these times, in order, its end was there.
    pub(super) fn note_past(&mut self, retry: bool, number: i32, past: Vec<(Timestamp, u64)>) {
        let part = usize::try_from(number).ok().and_then(|number| self.parts(retry).get_mut(number));
        if let Some(part) = part {
            part.ages = Some(Ages::known(past));
        }
    }

    /// What the last look means.
    pub(super) fn count(&mut self, look: &Look) -> Counted {
        let time = look.time;
        for part in self.jobs.iter_mut().chain(&mut self.retry) {
            part.note_end(time);
        }
        let oldest = |parts: &[Part]| parts.iter().filter_map(|part| part.oldest_age(time)).max();
        let ages = [oldest(&self.jobs), oldest(&self.retry)];
        let [jobs, retries] = [0, 1].map(|topic: usize| Kept {
            limit: look.limits.get(topic).copied().flatten(),
            oldest: ages.get(topic).copied().flatten(),
        });
        let (retention, turns) = self.cliff.see(&[jobs, retries], self.lost, look.taken);
        for turn in turns {
            log_cliff(self.tier, &retention, turn);
        }
        let lags: Vec<u64> = (0..self.groups.len()).map(|group| self.lag(group)).collect();
        let slowest = (0..lags.len()).max_by_key(|group| lags.get(*group));
        let oldest_age = ages.into_iter().flatten().max();
        let backlog = Backlog {
            waiting: lags.iter().copied().max().unwrap_or(0),
            leased: 0,
            oldest_age,
            p99_age: oldest_age.map(|oldest| self.p99_age(oldest, time)),
            headroom: retention.headroom,
        };
        let topic = TopicState {
            partitions: u32::try_from(self.jobs.len()).unwrap_or(u32::MAX),
            hottest: slowest.and_then(|group| self.hottest(group)),
            retention,
            ..TopicState::default()
        };
        let groups = self.groups.iter().zip(lags).map(|((name, watch), lag)| {
            let doing = watch.doing();
            GroupBacklog {
                name: Arc::clone(name),
                lag,
                pending: 0,
                counts: true,
                blocks_trim: false,
                state: doing.map_or(GroupState::Reading, |doing| doing.state),
                still_for: doing.and_then(|doing| doing.still_for),
                members: doing.and_then(|doing| doing.members),
            }
        });
        Counted { backlog, lost: self.lost, groups: groups.collect(), topic }
    }

    fn lag(&self, group: usize) -> u64 {
        self.jobs.iter().chain(&self.retry).filter_map(|part| part.lags.get(group)).sum()
    }

    fn hottest(&self, group: usize) -> Option<HotPartition> {
        let lags = || self.jobs.iter().map(|part| part.lags.get(group).copied().unwrap_or(0));
        let (partition, lag) = (0..).zip(lags()).max_by_key(|(_, lag)| *lag).filter(|(_, lag)| *lag > 0)?;
        Some(HotPartition { partition, lag, share: lag as f64 / lags().sum::<u64>() as f64 })
    }

    /// The age of the job 1 % from the head: so many are older. Found by halving; `oldest` is above it.
    fn p99_age(&self, oldest: Duration, time: Timestamp) -> Duration {
        let parts = || self.jobs.iter().chain(&self.retry);
        let rank = parts().map(Part::waiting).sum::<u64>() / 100;
        let (mut young, mut old) = (0, u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX));
        if rank == 0 {
            return oldest;
        }
        for _ in 0..HALVINGS {
            let middle = young + (old - young) / 2;
            let came = Timestamp::from_millis(time.millis().saturating_sub(middle));
            if parts().map(|part| part.older_than(came)).sum::<u64>() > rank {
                young = middle;
            } else {
                old = middle;
            }
        }
        Duration::from_millis(old)
    }
}

impl Part {
    /// Takes in its offsets; says how many unread records were deleted.
    fn see(&mut self, offsets: &Offsets, readers: &[bool], reset: Reset, live: bool) -> u64 {
        let of_readers = offsets.committed.iter().zip(readers).filter(|(_, reads)| **reads);
        let committed = of_readers.map(|(committed, _)| *committed).collect();
        let seen = self.partition.see(&Offsets { committed, ..*offsets }, reset, live);
        if seen.anew {
            self.ages = None;
        }
        let mut lags = seen.lags.into_iter();
        self.lags = readers.iter().map(|reads| if *reads { lags.next().unwrap_or(0) } else { 0 }).collect();
        self.committed.clone_from(&offsets.committed);
        (self.unread, self.end) = (seen.unread, offsets.end);
        seen.lost
    }

    fn note_end(&mut self, time: Timestamp) {
        let (end, unread) = (unsigned(self.end), unsigned(self.unread));
        let ages = self.ages.get_or_insert_with(|| Ages::known([(time, end)]));
        if ages.stored() < end {
            ages.record(end, time);
        }
        ages.forget(unread);
    }

    const fn waiting(&self) -> u64 {
        unsigned(self.end).saturating_sub(unsigned(self.unread))
    }

    fn oldest_age(&self, time: Timestamp) -> Option<Duration> {
        let ages = self.ages.as_ref().filter(|_| self.unread < self.end)?;
        Some(ages.age(unsigned(self.unread), time))
    }

    /// Records that wait and came before this time.
    fn older_than(&self, came: Timestamp) -> u64 {
        let stored = self.ages.as_ref().map_or(0, |ages| ages.stored_by(came));
        stored.min(unsigned(self.end)).saturating_sub(unsigned(self.unread))
    }

    /// Whether records wait in it, as of the last look.
    pub(super) const fn waits(&self) -> bool {
        self.unread < self.end
    }
}

/// The groups that read retries: those that ever committed there, or all as long as none has. Of several groups only some
/// may retry by the topic; the others must not make it look unread for ever.
fn readers_of_retries(retry: &[Offsets], groups: usize) -> Vec<bool> {
    let reads =
        |group: usize| retry.iter().any(|offsets| offsets.committed.get(group).is_some_and(Option::is_some));
    let readers: Vec<bool> = (0..groups).map(reads).collect();
    if readers.contains(&true) { readers } else { vec![true; groups] }
}

fn log_group(tier: Tier, group: &str, lag: u64, turn: Option<group_watch::Turn>) {
    match turn {
        Some(group_watch::Turn::Stalled) => {
            warn!(%tier, group, lag, "the consumer group stands still: jobs wait and it commits nothing");
        }
        Some(group_watch::Turn::WentOn) => info!(%tier, group, lag, "the consumer group goes on"),
        None => {}
    }
}

fn log_cliff(tier: Tier, retention: &crate::queue::topic::Retention, turn: retention::Turn) {
    let in_words = |time: Option<Duration>| {
        time.map_or("never".to_owned(), |time| {
            humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
        })
    };
    match turn {
        retention::Turn::CliffNear => warn!(
            %tier,
            headroom = in_words(retention.headroom),
            deleted_in = in_words(retention.deleted_in.or(retention.headroom)),
            "unread jobs come near the end of the topic's retention: at this pace they are deleted in {}",
            in_words(retention.deleted_in.or(retention.headroom)),
        ),
        retention::Turn::CliffFar => {
            info!(%tier, headroom = in_words(retention.headroom), "unread jobs are far from the end of the retention again");
        }
        retention::Turn::Lost(lost) => {
            error!(%tier, lost, "unread jobs were deleted by the topic's retention: they are lost");
        }
        retention::Turn::LossEnded(lost) => {
            warn!(%tier, lost, "no more unread jobs were deleted; so many are lost");
        }
    }
}

const fn unsigned(offset: i64) -> u64 {
    if offset > 0 { offset.unsigned_abs() } else { 0 }
}

/// Halvings of an age: to a thousandth of the oldest.
const HALVINGS: usize = 10;
