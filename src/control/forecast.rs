//! What workers must have consumed since the signal last showed it: never more than had come in by then.

use std::time::Duration;

use crate::domain::time::Moment;

/// Remembers how many jobs had entered at each control step, and replays the drain over them.
///
/// Subtracting `drain * time` from the present depth would let jobs that came a moment ago be consumed in the idle time
/// before them; with a signal one second late that is a second's worth of drain too much admitted.
#[derive(Clone, Debug)]
pub struct Forecast {
    steps: Box<[Step; STEPS]>,
    /// Steps taken in all; the newest is at `count - 1` modulo the length.
    count: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Step {
    at: Moment,
    entered: u64,
}

impl Forecast {
    /// Remembers nothing yet.
    pub fn new() -> Forecast {
        Forecast { steps: Box::new([Step::default(); STEPS]), count: 0 }
    }

    /// Notes that `entered` jobs had been let in until now.
    pub fn note(&mut self, entered: u64, now: Moment) {
        // Steps that follow each other closely share a place, lest a short interval make a short memory.
        let before_last = self.count.checked_sub(2).and_then(|before| self.steps.get(before % STEPS));
        if before_last.is_some_and(|step| now.since(step.at) < FINEST) {
            self.count -= 1;
        }
        if let Some(step) = self.steps.get_mut(self.count % STEPS) {
            *step = Step { at: now, entered };
        }
        self.count += 1;
    }

    /// Jobs that a drain of `rate` per second took away from `since` until `until`, as far as steps were noted. Of what
    /// had entered by a moment, all but `outside` jobs were there to take.
    pub fn drained(&self, since: Moment, until: Moment, outside: f64, rate: f64) -> f64 {
        let mut drained: f64 = 0.0;
        let mut from = since;
        let mut entered = self.oldest().map_or(0, |step| step.entered);
        for step in self.since_oldest() {
            let to = step.at.min(until);
            if to > from {
                let there = (entered as f64 - outside).max(drained);
                drained = (drained + rate * to.seconds_since(from)).min(there);
                from = to;
            }
            entered = step.entered;
        }
        drained.max(0.0)
    }

    /// Jobs let in since `moment`, as far as that is remembered; `None` if memory does not reach back to it.
    pub fn entered_since(&self, moment: Moment) -> Option<u64> {
        let newest = self.since_oldest().last()?;
        let then = self.since_oldest().take_while(|step| step.at <= moment).last()?;
        Some(newest.entered.saturating_sub(then.entered))
    }

    fn oldest(&self) -> Option<&Step> {
        self.since_oldest().next()
    }

    fn since_oldest(&self) -> impl Iterator<Item = &Step> {
        let (newer, older) = self.steps.split_at(if self.count < STEPS { 0 } else { self.count % STEPS });
        let known = self.count.min(STEPS);
        older.iter().chain(newer).take(known)
    }
}

impl Default for Forecast {
    fn default() -> Forecast {
        Forecast::new()
    }
}

/// Steps are kept no finer: the memory is at least as long as at the default interval.
const FINEST: Duration = Duration::from_millis(100);

/// Steps remembered: 25 s at the default interval, three commits of Kafka's default and a good deal of delay. Of jobs
/// that entered before, all count as there.
const STEPS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn a_queue_with_enough_in_it_sinks_by_rate_times_time() {
        let mut forecast = Forecast::new();
        (0..=10).for_each(|second| forecast.note(0, at(second)));
        assert_eq!(forecast.drained(at(4), at(10), -1000.0, 50.0), 300.0);
    }

    #[test]
    fn jobs_that_came_a_moment_ago_were_not_drained_in_the_idle_time_before() {
        let mut forecast = Forecast::new();
        (0..=9).for_each(|second| forecast.note(0, at(second)));
        forecast.note(1000, at(10));
        assert_eq!(forecast.drained(at(0), at(20), 0.0, 50.0), 0.0);
        forecast.note(1000, at(11));
        assert_eq!(forecast.drained(at(0), at(20), 0.0, 50.0), 50.0);
    }

    #[test]
    fn it_tells_what_came_in_lately_as_far_as_it_remembers() {
        let mut forecast = Forecast::new();
        assert_eq!(forecast.entered_since(at(0)), None);
        (10..300).for_each(|second| forecast.note(second * 7, at(second)));
        assert_eq!(forecast.entered_since(at(290)), Some(63));
        assert_eq!(forecast.entered_since(at(20)), None);
    }

    #[test]
    fn it_remembers_only_so_far_and_then_counts_all_as_there() {
        let mut forecast = Forecast::new();
        (0..1000).for_each(|second| forecast.note(100_000, at(second)));
        assert_eq!(forecast.drained(at(989), at(999), 0.0, 50.0), 500.0);
        assert_eq!(forecast.drained(at(0), at(999), 0.0, 50.0), 49_950.0);
    }
}
