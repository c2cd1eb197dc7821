//! One tier's queue in the plant: what was stored and when, what workers took, what a reading shows of it.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::domain::backlog::{Backlog, Flows, Reading};
use crate::domain::time::Moment;

/// A queue, first in first out.
#[derive(Debug)]
pub struct PlantQueue {
    /// Jobs that stand in it, by the moment they came to stand there.
    line: Line,
    depth: u64,
    /// Jobs let in and not yet stored, by the moment they will be.
    storing: Line,
    store_delay: Duration,
    expires_in: Option<Duration>,
    /// Jobs that must still be taken before the next one dies, in shares.
    dying: f64,
    flows: Flows,
    /// What the flows were when the present gateway started.
    flows_before: Flows,
    done: u64,
    committed: u64,
    waits: Histogram<u64>,
}

impl PlantQueue {
    /// A queue that holds a backlog.
    #[expect(clippy::expect_used, reason = "the histogram's bounds are constants, and every test makes one")]
    pub fn new(backlog: u64, store_delay: Duration, expires_in: Option<Duration>) -> PlantQueue {
        let mut queue = PlantQueue {
            line: Line::default(),
            depth: 0,
            storing: Line::default(),
            store_delay,
            expires_in,
            dying: 0.0,
            flows: Flows::default(),
            flows_before: Flows::default(),
            done: 0,
            committed: 0,
            waits: Histogram::new_with_max(LONGEST_WAIT_MICROS, 3).expect("the bounds are sane"),
        };
        queue.write(backlog, Moment::ORIGIN);
        queue
    }

    /// Takes jobs that the gate let in; they stand in the queue once they are stored.
    pub fn accept(&mut self, jobs: u64, now: Moment) {
        if self.store_delay.is_zero() {
            self.store(jobs, now);
        } else {
            self.storing.push(Batch { since: now.plus(self.store_delay), jobs, admitted: jobs });
        }
    }

    /// Stores what is due by now.
    pub fn store_until(&mut self, now: Moment) {
        while let Some(batch) = self.storing.0.pop_front_if(|batch| batch.since <= now) {
            self.store(batch.jobs, batch.since);
        }
    }

    fn store(&mut self, jobs: u64, now: Moment) {
        self.flows.stored += jobs;
        self.depth += jobs;
        self.line.push(Batch { since: now, jobs, admitted: jobs });
    }

    /// Jobs that come into the queue beside the gate.
    pub fn write(&mut self, jobs: u64, now: Moment) {
        if jobs > 0 {
            self.depth += jobs;
            self.line.push(Batch { since: now, jobs, admitted: 0 });
        }
    }

    /// Lets workers take up to so many jobs, of which a share dies. Says how many they took.
    pub fn take(&mut self, jobs: u64, dead_share: f64, now: Moment) -> u64 {
        self.expire(now);
        let mut left = jobs;
        while left > 0 {
            let Some(batch) = self.line.0.front_mut() else { break };
            let taken = left.min(batch.jobs);
            let admitted = taken.min(batch.admitted);
            batch.jobs -= taken;
            batch.admitted -= admitted;
            left -= taken;
            if admitted > 0 {
                let wait = now.since(batch.since).saturating_add(self.store_delay);
                self.waits.saturating_record_n(wait.as_micros() as u64, admitted);
            }
            if batch.jobs == 0 {
                self.line.0.pop_front();
            }
        }
        let taken = jobs - left;
        self.dying += taken as f64 * dead_share;
        let dead = (self.dying as u64).min(taken);
        self.dying -= dead as f64;
        self.depth -= taken;
        self.flows.dead += dead;
        self.done += taken - dead;
        taken
    }

    /// Drops what is past its expiry.
    pub fn expire(&mut self, now: Moment) {
        let Some(age) = self.expires_in else { return };
        while let Some(batch) = self.line.0.pop_front_if(|batch| now.since(batch.since) > age) {
            self.depth -= batch.jobs;
            self.flows.expired += batch.jobs;
        }
    }

    /// Makes all consumption until now show in readings.
    pub const fn commit(&mut self) {
        self.committed = self.done;
    }

    /// What a reading taken now shows. Consumption that has not been committed does not show.
    pub fn read(&self, now: Moment) -> Reading {
        let since_start = |all: fn(&Flows) -> u64| all(&self.flows) - all(&self.flows_before);
        Reading {
            backlog: Backlog { waiting: self.depth + (self.done - self.committed), ..Backlog::default() },
            flows: Flows {
                stored: since_start(|flows| flows.stored),
                replayed: 0,
                expired: since_start(|flows| flows.expired),
                dead: since_start(|flows| flows.dead),
                lost: 0,
            },
            taken: now,
        }
    }

    /// A gateway starts before the queue as it stands: it knows of no job that was on its way.
    pub fn restart(&mut self, now: Moment) {
        while let Some(batch) = self.storing.0.pop_front() {
            self.store(batch.jobs, now);
        }
        self.flows_before = self.flows;
    }

    /// Jobs that stand in the queue.
    pub const fn depth(&self) -> u64 {
        self.depth
    }

    /// Times from admission to drain, in microseconds.
    pub const fn waits(&self) -> &Histogram<u64> {
        &self.waits
    }
}

/// Jobs in a row, in batches of neighbours.
#[derive(Debug, Default)]
struct Line(VecDeque<Batch>);

/// Jobs that came at about the same moment.
#[derive(Clone, Copy, Debug)]
struct Batch {
    /// When the first of them came.
    since: Moment,
    jobs: u64,
    /// Those of them that came through the gate.
    admitted: u64,
}

impl Line {
    /// Joins those of one millisecond: waits are told no finer, and coarser only in a line that memory would not hold.
    fn push(&mut self, batch: Batch) {
        match self.0.back_mut() {
            Some(last) if batch.since.since(last.since) < FINEST => last.join(batch),
            _ => self.0.push_back(batch),
        }
        if self.0.len() > MOST_BATCHES {
            let mut pairs = VecDeque::with_capacity(MOST_BATCHES + 1);
            while let Some(mut first) = self.0.pop_front() {
                self.0.pop_front().into_iter().for_each(|second| first.join(second));
                pairs.push_back(first);
            }
            self.0 = pairs;
        }
    }
}

impl Batch {
    const fn join(&mut self, later: Batch) {
        self.jobs += later.jobs;
        self.admitted += later.admitted;
    }
}

/// Waits are told to this.
const FINEST: Duration = Duration::from_millis(1);

/// So many batches are 32 MiB: a quarter of an hour of them at a millisecond each, and any line at less precision.
const MOST_BATCHES: usize = 1 << 20;

/// Longer waits count as this: ten years.
const LONGEST_WAIT_MICROS: u64 = 3_653 * 86_400 * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    fn queue(backlog: u64) -> PlantQueue {
        PlantQueue::new(backlog, Duration::ZERO, None)
    }

    #[test]
    fn the_first_in_is_the_first_out_and_its_wait_is_told() {
        let mut queue = queue(0);
        queue.accept(2, at(0));
        queue.accept(1, at(5));
        assert_eq!((queue.take(2, 0.0, at(10)), queue.depth()), (2, 1));
        assert_eq!(queue.waits().min() / 1_000_000, 9, "to three digits");
        assert_eq!((queue.take(5, 0.0, at(10)), queue.depth()), (1, 0));
    }

    #[test]
    fn a_wait_is_from_admission_and_of_jobs_that_were_let_in() {
        let mut queue = PlantQueue::new(1_000, Duration::from_secs(2), None);
        queue.accept(1, at(10));
        queue.store_until(at(12));
        queue.write(5, at(12));
        assert_eq!(queue.take(1_006, 0.0, at(15)), 1_006);
        assert_eq!((queue.waits().len(), queue.waits().max() / 1_000_000), (1, 5));
    }

    #[test]
    fn a_line_of_weeks_fits_into_memory_and_loses_nobody() {
        let mut queue = queue(0);
        let moments = 3 * MOST_BATCHES as u64;
        (0..moments).for_each(|second| queue.accept(1, at(second)));
        assert!(queue.line.0.len() <= MOST_BATCHES, "{}", queue.line.0.len());
        assert_eq!((queue.depth(), queue.take(u64::MAX, 0.0, at(moments))), (moments, moments));
        let middle = queue.waits().value_at_quantile(0.5) as f64 / 1e6;
        assert!((middle / (moments as f64 / 2.0) - 1.0).abs() < 0.01, "{middle}");
    }

    #[test]
    fn consumption_shows_when_it_is_committed() {
        let mut queue = queue(10);
        queue.take(4, 0.0, at(1));
        assert_eq!((queue.depth(), queue.read(at(1)).backlog.waiting), (6, 10));
        queue.commit();
        assert_eq!(queue.read(at(1)).backlog.waiting, 6);
    }

    #[test]
    fn what_dies_or_expires_is_told_apart_from_what_is_done() {
        let mut queue = PlantQueue::new(10, Duration::ZERO, Some(Duration::from_secs(60)));
        queue.take(4, 0.5, at(1));
        queue.accept(3, at(50));
        queue.expire(at(61));
        let reading = queue.read(at(61));
        assert_eq!((reading.flows.dead, reading.flows.expired, reading.flows.stored), (2, 6, 3));
        assert_eq!(queue.depth(), 3);
    }

    #[test]
    fn jobs_on_their_way_are_stored_when_they_are_due_or_by_a_restart() {
        let mut queue = PlantQueue::new(0, Duration::from_secs(2), None);
        queue.accept(1, at(0));
        queue.accept(1, at(1));
        queue.store_until(at(2));
        assert_eq!((queue.depth(), queue.read(at(2)).flows.stored), (1, 1));
        queue.restart(at(2));
        assert_eq!((queue.depth(), queue.read(at(2)).flows.stored), (2, 0));
    }
}
