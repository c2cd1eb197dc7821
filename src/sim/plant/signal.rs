//! The way of the signal: readings that are taken at their times, arrive late, or are lost.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::backlog::Reading;
use crate::domain::tier::TierMap;
use crate::domain::time::Moment;
use crate::sim::plant::queue::PlantQueue;
use crate::sim::scenario::SignalPath;

/// Readings on their way.
#[derive(Debug)]
pub struct SignalLine {
    path: SignalPath,
    every: Duration,
    next_reading: Moment,
    next_commit: Moment,
    under_way: VecDeque<(Moment, TierMap<Reading>)>,
    /// Times in which nothing arrives, in order and apart from each other.
    lost: Vec<(Duration, Duration)>,
}

impl SignalLine {
    /// A line on which the first reading is taken at once. `interval` holds where the path names no period of its own.
    pub fn new(path: &SignalPath, interval: Duration) -> SignalLine {
        SignalLine {
            path: path.clone(),
            every: path.every.unwrap_or(interval).max(Duration::from_millis(1)),
            next_reading: Moment::ORIGIN,
            next_commit: Moment::ORIGIN,
            under_way: VecDeque::new(),
            lost: joined(&path.lost),
        }
    }

    /// Takes a reading if one is due. Consumption shows at commits, where the path has any.
    pub fn read(&mut self, queues: &mut TierMap<PlantQueue>, now: Moment) {
        if self.path.commits_every.is_zero() || now >= self.next_commit {
            self.next_commit = now.plus(self.path.commits_every);
            queues.iter_mut().for_each(|(_, queue)| queue.commit());
        }
        if now >= self.next_reading {
            self.next_reading = self.next_reading.plus(self.every);
            let readings = TierMap::from_fn(|tier| queues[tier].read(now));
            self.under_way.push_back((now.plus(self.path.delay), readings));
        }
    }

    /// The newest reading that has arrived by now. Those that arrive while the signal is lost never do.
    pub fn arrived(&mut self, now: Moment) -> Option<TierMap<Reading>> {
        let mut newest = None;
        while let Some((due, readings)) = self.under_way.front().filter(|(due, _)| *due <= now) {
            let since_start = due.since(Moment::ORIGIN);
            let ended = self.lost.partition_point(|(_, until)| *until <= since_start);
            let lost = self.lost.get(ended).is_some_and(|(from, _)| *from <= since_start);
            newest = if lost { newest } else { Some(*readings) };
            self.under_way.pop_front();
        }
        newest
    }

    /// What was under way to a gateway that is gone never arrives.
    pub fn restart(&mut self) {
        self.under_way.clear();
    }
}

/// Spans in order, those that overlap as one.
fn joined(spans: &[(Duration, Duration)]) -> Vec<(Duration, Duration)> {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    let mut joined: Vec<(Duration, Duration)> = Vec::new();
    for (from, until) in sorted {
        match joined.last_mut() {
            Some((_, last)) if from <= *last => *last = until.max(*last),
            _ => joined.push((from, until)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tier::Tier;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// The seconds, out of the first so many, at which a reading arrived, and the second at which it was taken.
    fn arrivals(path: &SignalPath, count: u64) -> Vec<(u64, u64)> {
        let mut line = SignalLine::new(path, seconds(1));
        let mut queues = TierMap::from_fn(|_| PlantQueue::new(0, Duration::ZERO, None));
        let whole = |moment: Moment| moment.since(Moment::ORIGIN).as_secs();
        let mut seen = Vec::new();
        for second in 0..count {
            let now = Moment::after_origin(seconds(second));
            line.read(&mut queues, now);
            seen.extend(line.arrived(now).map(|readings| (second, whole(readings[Tier::P0].taken))));
        }
        seen
    }

    #[test]
    fn a_late_reading_arrives_late_and_tells_when_it_was_taken() {
        let path = SignalPath { delay: seconds(2), ..SignalPath::default() };
        assert_eq!(arrivals(&path, 5), [(2, 0), (3, 1), (4, 2)]);
    }

    #[test]
    fn readings_are_taken_at_their_own_pace() {
        let path = SignalPath { every: Some(seconds(3)), ..SignalPath::default() };
        assert_eq!(arrivals(&path, 8), [(0, 0), (3, 3), (6, 6)]);
    }

    #[test]
    fn what_arrives_in_a_lost_time_never_does_however_the_times_overlap() {
        let spans = [(4, 9), (2, 3), (5, 6), (5, 7), (20, 30)];
        let lost = spans.map(|(from, until)| (seconds(from), seconds(until))).to_vec();
        let path = SignalPath { lost, ..SignalPath::default() };
        let seen: Vec<u64> = arrivals(&path, 11).into_iter().map(|(second, _)| second).collect();
        assert_eq!(seen, [0, 1, 3, 9, 10]);
    }

    #[test]
    fn consumption_shows_at_commits_and_what_was_under_way_dies_with_the_gateway() {
        let path = SignalPath { commits_every: seconds(5), delay: seconds(1), ..SignalPath::default() };
        let mut line = SignalLine::new(&path, seconds(1));
        let mut queues = TierMap::from_fn(|_| PlantQueue::new(100, Duration::ZERO, None));
        let mut shown = Vec::new();
        for second in 0..8 {
            let now = Moment::after_origin(seconds(second));
            queues[Tier::P1].take(10, 0.0, now);
            line.read(&mut queues, now);
            if second == 6 {
                line.restart();
            }
            shown.push(line.arrived(now).map(|readings| readings[Tier::P1].backlog.waiting));
        }
        let all = [None, Some(90), Some(90), Some(90), Some(90), Some(90), None, None];
        assert_eq!(shown, all);
    }
}
