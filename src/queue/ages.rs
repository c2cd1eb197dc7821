//! How old the jobs in a queue are, from a ring of (time, stored in all): one method for every backend.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::time::Timestamp;

/// Remembers when the queue's jobs came in, in a bounded number of points with straight lines between them.
#[derive(Clone, Debug)]
pub struct Ages {
    ring: VecDeque<Point>,
    /// Points closer than this are drawn together, in milliseconds.
    spacing: u64,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    at: u64,
    stored: u64,
}

impl Ages {
    /// A queue found at start with `stored` jobs, accepted between these times.
    pub fn recovered(stored: u64, oldest: Timestamp, newest: Timestamp) -> Ages {
        let mut ring = VecDeque::from([Point { at: oldest.millis(), stored: 0 }]);
        if stored > 0 {
            ring.push_back(Point { at: newest.millis().max(oldest.millis()), stored });
        }
        Ages { ring, spacing: FINEST }
    }

    /// A queue whose past is known: by each of these times, in order, so many jobs had come in.
    pub fn known(points: impl IntoIterator<Item = (Timestamp, u64)>) -> Ages {
        let mut ring: VecDeque<Point> = VecDeque::new();
        for (at, stored) in points.into_iter().take(POINTS) {
            let last = ring.back().copied().unwrap_or(Point { at: 0, stored: 0 });
            ring.push_back(Point { at: at.millis().max(last.at), stored: stored.max(last.stored) });
        }
        Ages { ring, spacing: FINEST }
    }

    /// How many jobs had come in when last noted.
    pub fn stored(&self) -> u64 {
        self.ring.back().map_or(0, |point| point.stored)
    }

    /// Notes that by now `stored` jobs have come in, over all time.
    pub fn record(&mut self, stored: u64, now: Timestamp) {
        let last = self.ring.back().copied().unwrap_or(Point { at: now.millis(), stored: 0 });
        // A wall clock that steps back must not bend the line backwards.
        let at = now.millis().max(last.at);
        let before = self.ring.len().checked_sub(2).and_then(|index| self.ring.get(index));
        if before.is_some_and(|before| at - before.at < self.spacing) {
            self.ring.pop_back();
        } else if at - last.at > self.spacing {
            // Nothing came in since the last point: without this one the line would say it trickled in.
            self.ring.push_back(Point { at: at - self.spacing, stored: last.stored });
        }
        self.ring.push_back(Point { at, stored });
        if self.ring.len() > POINTS {
            self.thin();
        }
    }

    /// Forgets what no waiting job needs: of `stored` jobs in all, the last `waiting` are still there.
    pub fn forget(&mut self, taken: u64) {
        while self.ring.get(1).is_some_and(|second| second.stored <= taken) {
            self.ring.pop_front();
        }
        if self.ring.len() < POINTS / 4 {
            self.spacing = (self.spacing / 2).max(FINEST);
        }
    }

    /// How long ago the job before which `ahead` jobs had come in did come in.
    pub fn age(&self, ahead: u64, now: Timestamp) -> Duration {
        let index = self.ring.partition_point(|point| point.stored <= ahead);
        let after = self.ring.get(index).or(self.ring.back());
        let before = index.checked_sub(1).and_then(|index| self.ring.get(index));
        let came_in = match (before, after) {
            (Some(a), Some(b)) if b.stored > a.stored => {
                let share = (ahead - a.stored) as f64 / (b.stored - a.stored) as f64;
                a.at + ((b.at - a.at) as f64 * share) as u64
            }
            (_, Some(point)) | (Some(point), None) => point.at,
            (None, None) => now.millis(),
        };
        now.since(Timestamp::from_millis(came_in))
    }

    /// How many jobs had come in by this time, as far back as is remembered.
    pub fn stored_by(&self, time: Timestamp) -> u64 {
        let index = self.ring.partition_point(|point| point.at <= time.millis());
        let before = index.checked_sub(1).and_then(|index| self.ring.get(index));
        match (before, self.ring.get(index)) {
            (Some(a), Some(b)) => {
                let share = (time.millis() - a.at) as f64 / (b.at - a.at) as f64;
                a.stored + ((b.stored - a.stored) as f64 * share) as u64
            }
            (Some(last), None) => last.stored,
            (None, first) => first.map_or(0, |first| first.stored),
        }
    }

    /// Drops every second point but the ends: half the memory, half the detail.
    fn thin(&mut self) {
        let last = self.ring.len() - 1;
        let mut index = 0;
        self.ring.retain(|_| {
            let keep = index % 2 == 0 || index == last;
            index += 1;
            keep
        });
        self.spacing = self.spacing.saturating_mul(2);
    }
}

/// Points kept at most: 16 KiB, a hundred seconds at the finest spacing.
const POINTS: usize = 1024;

/// The finest spacing, in milliseconds: one control step.
const FINEST: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_known_past_is_read_in_both_directions() {
        let ages = Ages::known([(at(1_000), 10), (at(2_000), 20), (at(6_000), 100)]);
        assert_eq!(
            (ages.stored_by(at(0)), ages.stored_by(at(1_500)), ages.stored_by(at(9_000))),
            (10, 15, 100)
        );
        assert_eq!(ages.stored_by(at(4_000)), 60);
        assert_eq!(ages.age(60, at(6_000)), Duration::from_secs(2));
        assert_eq!(ages.age(5, at(6_000)), Duration::from_secs(5));
    }

    #[test]
    fn a_steady_stream_shows_the_age_of_the_jobs_at_the_head() {
        let mut ages = Ages::recovered(0, at(0), at(0));
        for second in 1..=600_u64 {
            ages.record(second * 100, at(second * 1000));
        }
        let age = ages.age(30_000, at(600_000)).as_secs_f64();
        assert!((age - 300.0).abs() < 3.0, "{age}");
    }

    #[test]
    fn a_burst_after_a_pause_is_young() {
        let mut ages = Ages::recovered(1, at(0), at(0));
        ages.record(1001, at(3_600_000));
        assert!(ages.age(1, at(3_600_000)) <= Duration::from_millis(FINEST));
        assert_eq!(ages.age(0, at(3_600_000)), Duration::from_secs(3600));
    }

    #[test]
    fn a_recovered_queue_is_as_old_as_its_oldest_job() {
        let ages = Ages::recovered(100, at(1000), at(2000));
        assert_eq!(ages.age(0, at(5000)), Duration::from_secs(4));
        assert_eq!(ages.age(50, at(5000)), Duration::from_millis(3500));
    }

    #[test]
    fn memory_stays_bounded_and_forgetting_makes_room() {
        let mut ages = Ages::recovered(0, at(0), at(0));
        for tick in 1..100_000_u64 {
            ages.record(tick * 7, at(tick * 100));
        }
        assert!(ages.ring.len() <= POINTS);
        ages.forget(99_999 * 7);
        assert!(ages.ring.len() <= 2, "{}", ages.ring.len());
    }

    #[test]
    fn a_wall_clock_that_steps_back_bends_nothing() {
        let mut ages = Ages::recovered(0, at(0), at(0));
        ages.record(10, at(10_000));
        ages.record(20, at(5_000));
        assert_eq!(ages.age(15, at(10_000)), Duration::ZERO);
    }
}
