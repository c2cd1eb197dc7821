//! One question to the brokers: the partitions that it is about, whose they are, and the answers.

use std::ops::Range;
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;

use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::queue::kafka::signals::ask::{Answer, Place, Topic};
use crate::queue::kafka::signals::partition::Offsets;
use crate::queue::kafka::topics::Topics;

/// The partitions of one question, and whose they are.
pub(super) struct Places {
    pub all: Vec<Place>,
    /// Of a tier: its topic of jobs, its topic of retries.
    pub tiers: TierMap<[Range<usize>; 2]>,
    pub dead: Range<usize>,
}

/// The offsets of all places, as far as they are known.
pub(super) struct Answers {
    pub low: Vec<Answer<Option<i64>>>,
    pub end: Vec<Answer<Option<i64>>>,
    /// By group.
    pub committed: Vec<Vec<Answer<Option<i64>>>>,
    pub taken: Moment,
}

impl Places {
    /// The partitions of the topics that there are.
    pub(super) fn of(topics: &Topics, found: &TierMap<[Option<Topic>; 2]>, dead: Option<Topic>) -> Places {
        let mut all = Vec::new();
        let mut add = |name: &Arc<str>, topic: Option<Topic>| {
            let first = all.len();
            if let Some(Topic::There(partitions)) = topic
                && partitions <= MOST_PARTITIONS
            {
                let place = |partition| Place { topic: Arc::clone(name), partition };
                all.extend((0..partitions).map(place));
            }
            first..all.len()
        };
        let tiers = TierMap::from_fn(|tier| {
            let [jobs, retry] = found[tier];
            [add(&topics.jobs[tier], jobs), add(&topics.retry[tier], retry)]
        });
        let dead = add(&topics.dead_letters, dead);
        Places { all, tiers, dead }
    }

    /// Every tier's places, and those of the dead letters.
    pub(super) fn parts(&self) -> Vec<Range<usize>> {
        let tiers = self.tiers.iter().map(|(_, [jobs, retry])| jobs.start..retry.end);
        tiers.chain([self.dead.clone()]).collect()
    }

    /// Every partition of the tiers: tier, whether of retries, number, place in the list.
    pub(super) fn each_part(&self) -> impl Iterator<Item = (Tier, bool, usize, usize)> {
        self.tiers.iter().flat_map(|(tier, [jobs, retry])| {
            let of = move |retry: bool, range: &Range<usize>| {
                range.clone().enumerate().map(move |(number, index)| (tier, retry, number, index))
            };
            of(false, jobs).chain(of(true, retry))
        })
    }
}

impl Answers {
    pub(super) fn committed_at(&self, index: usize) -> impl Iterator<Item = Answer<Option<i64>>> {
        self.committed.iter().filter_map(move |group| group.get(index).copied())
    }

    pub(super) fn offsets(&self, index: usize) -> Answer<Offsets> {
        let known = |answers: &[Answer<Option<i64>>]| {
            answers.get(index).copied().unwrap_or(Ok(None))?.ok_or(RDKafkaErrorCode::BadMessage)
        };
        let committed = self.committed_at(index).collect::<Result<_, _>>()?;
        Ok(Offsets { low: known(&self.low)?, end: known(&self.end)?, committed })
    }

    pub(super) fn dead_end(&self, places: &Places) -> Option<Vec<i64>> {
        let ends = self.end.get(places.dead.clone()).filter(|ends| !ends.is_empty())?;
        ends.iter().map(|end| end.ok().flatten()).collect()
    }
}

/// Partitions of a topic that are looked at; the backlog of a topic with more is not told.
pub(super) const MOST_PARTITIONS: i32 = 2_000;
