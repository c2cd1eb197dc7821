//! The window: until the next reading, no more comes in than keeps the predicted depth below its limit.

use crate::domain::time::Moment;
use crate::domain::units::Cost;

/// A prediction of the depth that rises with each admission and sinks with the modelled drain.
///
/// The sinking stops at zero and what comes in later is not drained retroactively, so a spike into an empty queue
/// is counted in full.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    level: f64,
    limit: f64,
    drain: f64,
    at: Moment,
}

impl Window {
    /// An empty queue with room up to the limit.
    pub const fn empty(limit: f64, now: Moment) -> Window {
        Window { level: 0.0, limit, drain: 0.0, at: now }
    }

    /// Replaces the prediction by a better one. All in jobs, the drain in jobs per second.
    pub fn correct(&mut self, level: f64, now: Moment) {
        self.level = level.max(0.0);
        self.at = self.at.max(now);
    }

    /// Sets how deep the queue may become and how fast it is taken to sink from now on.
    pub fn set(&mut self, limit: f64, drain: f64, now: Moment) {
        self.advance(now);
        self.limit = limit;
        self.drain = drain;
    }

    /// Lets the modelled drain work until now.
    pub fn advance(&mut self, now: Moment) {
        let elapsed = now.seconds_since(self.at);
        self.at = self.at.max(now);
        self.level = (self.level - self.drain * elapsed).max(0.0);
    }

    /// Whether the cost fits, as of the last [`advance`](Self::advance).
    pub fn fits(&self, cost: Cost) -> bool {
        self.level + f64::from(cost.count()) <= self.limit
    }

    /// Counts jobs that were let in; below zero, those that were not stored after all.
    pub fn rise(&mut self, jobs: f64) {
        self.level = (self.level + jobs).max(0.0);
    }

    /// The predicted depth, in jobs.
    pub const fn level(&self) -> f64 {
        self.level
    }

    /// Jobs that still fit; below zero, those that must leave first.
    pub fn room(&self) -> f64 {
        self.limit - self.level
    }

    /// Jobs by which the level must sink before the cost fits.
    pub fn excess(&self, cost: Cost) -> f64 {
        (self.level + f64::from(cost.count()) - self.limit).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(millis))
    }

    #[test]
    fn a_spike_into_an_empty_queue_is_not_drained_by_the_idle_time_before_it() {
        let mut window = Window::empty(100.0, at(0));
        window.set(100.0, 1000.0, at(0));
        window.advance(at(90));
        let admitted = (0..200)
            .filter(|_| {
                let fits = window.fits(Cost::ONE);
                if fits {
                    window.rise(1.0);
                }
                fits
            })
            .count();
        assert_eq!(admitted, 100);
    }

    #[test]
    fn the_modelled_drain_makes_room_between_readings() {
        let mut window = Window::empty(100.0, at(0));
        window.correct(100.0, at(0));
        window.set(100.0, 50.0, at(0));
        assert!(!window.fits(Cost::ONE));
        window.advance(at(100));
        assert!((window.room() - 5.0).abs() < 1e-9);
    }

    #[test]
    fn a_cost_larger_than_the_room_does_not_come_in() {
        let window = Window::empty(100.0, at(0));
        assert!(!window.fits(Cost::jobs(101).unwrap()));
        assert_eq!(window.excess(Cost::jobs(101).unwrap()), 1.0);
    }
}
