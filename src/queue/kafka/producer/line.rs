//! What waits before librdkafka: whole or begun groups in the order they came, bounded. What is here was surely not sent.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::queue::kafka::producer::place::Place;
use crate::queue::kafka::record::write::Record;

/// A record of a job with its weight.
#[derive(Debug)]
pub(super) struct Weighed {
    /// The record.
    pub record: Record,
    /// Its bytes, about.
    pub bytes: usize,
}

/// Groups that wait.
#[derive(Debug, Default)]
pub(super) struct Line {
    groups: VecDeque<Waiting>,
    jobs: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    place: Arc<Place>,
    /// The last one first.
    records: Vec<Weighed>,
}

impl Line {
    /// Whether a group of this size may wait here. An empty line takes any.
    pub(super) fn has_room(&self, jobs: usize, bytes: usize) -> bool {
        self.groups.is_empty() || (self.jobs + jobs <= MAX_JOBS && self.bytes + bytes <= MAX_BYTES)
    }

    /// Puts a group at the end.
    pub(super) fn push(&mut self, place: Arc<Place>, mut records: Vec<Weighed>) {
        records.reverse();
        self.jobs += records.len();
        self.bytes += records.iter().map(|record| record.bytes).sum::<usize>();
        self.groups.push_back(Waiting { place, records });
    }

    /// The weight of the next record.
    pub(super) fn next_bytes(&self) -> Option<usize> {
        self.groups.front().and_then(|waiting| waiting.records.last()).map(|record| record.bytes)
    }

    /// Takes the next record. It is given back with [`Line::put_back`] or done with [`Line::step`].
    pub(super) fn take(&mut self) -> Option<(Arc<Place>, Weighed)> {
        let waiting = self.groups.front_mut()?;
        let record = waiting.records.pop()?;
        Some((Arc::clone(&waiting.place), record))
    }

    /// Gives the record that was just taken back.
    pub(super) fn put_back(&mut self, record: Weighed) {
        if let Some(waiting) = self.groups.front_mut() {
            waiting.records.push(record);
        }
    }

    /// The record that was just taken, of this weight, is gone.
    pub(super) fn step(&mut self, bytes: usize) {
        self.jobs = self.jobs.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        let _ = self.groups.pop_front_if(|waiting| waiting.records.is_empty());
    }

    /// Records that wait.
    pub(super) const fn len(&self) -> usize {
        self.jobs
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Takes everything out: each group with the number of its records that were not sent.
    pub(super) fn empty(&mut self) -> impl Iterator<Item = (Arc<Place>, usize)> {
        (self.jobs, self.bytes) = (0, 0);
        std::mem::take(&mut self.groups).into_iter().map(|waiting| (waiting.place, waiting.records.len()))
    }
}

/// Jobs of one tier that may wait to be sent.
const MAX_JOBS: usize = 32_768;
/// Bytes of them: four of the largest batches.
const MAX_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{Job, JobId};
    use crate::domain::tier::Tier;
    use crate::domain::time::Timestamp;
    use crate::queue::Storing;
    use crate::queue::kafka::record::write;

    fn records(jobs: usize, bytes: usize) -> Vec<Weighed> {
        let job = Job::bare(JobId::new(Timestamp::from_millis(1), [0; 10]), Tier::P1);
        (0..jobs).map(|_| Weighed { record: write::write(&job, 1), bytes }).collect()
    }

    fn place(jobs: usize) -> Arc<Place> {
        Place::new(jobs, Storing::channel().0)
    }

    #[test]
    fn what_waits_is_bounded_in_jobs_and_in_bytes() {
        let mut line = Line::default();
        assert!(line.has_room(MAX_JOBS * 2, MAX_BYTES * 2));
        line.push(place(2), records(2, 10));
        assert!(line.has_room(MAX_JOBS - 2, MAX_BYTES - 20));
        assert!(!line.has_room(MAX_JOBS - 1, 1));
        assert!(!line.has_room(1, MAX_BYTES - 19));
    }

    #[test]
    fn records_come_out_in_order_and_a_begun_group_tells_what_is_left() {
        let mut line = Line::default();
        let mut first = records(2, 1);
        first[1].bytes = 2;
        line.push(place(2), first);
        line.push(place(1), records(1, 3));
        let (_, taken) = line.take().unwrap();
        assert_eq!(taken.bytes, 1);
        line.put_back(taken);
        for bytes in [1, 2, 3] {
            assert_eq!(line.next_bytes(), Some(bytes));
            let (_, taken) = line.take().unwrap();
            assert_eq!(taken.bytes, bytes);
            line.step(bytes);
        }
        assert!(line.is_empty() && line.take().is_none());
        assert!(line.has_room(MAX_JOBS, MAX_BYTES));
        line.push(place(2), records(2, 1));
        line.take();
        line.step(1);
        assert_eq!(line.empty().map(|(_, left)| left).collect::<Vec<_>>(), [1]);
    }
}
