//! The way of the signal: readings that are taken at their times, arrive late, or are lost.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::backlog::Reading;
use crate::domain::tier::TierMap;
use crate::domain::time::Moment;
use crate::sim::queue::PlantQueue;
use crate::sim::scenario::SignalPath;

/// Readings on their way.
#[derive(Debug)]
pub struct SignalLine {
    path: SignalPath,
    every: Duration,
    next_reading: Moment,
    next_commit: Moment,
    under_way: VecDeque<(Moment, TierMap<Reading>)>,
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
            let lost = self.path.lost.iter().any(|(from, until)| (*from..*until).contains(&since_start));
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
