//! Writes the trace while a scenario is played.

use std::collections::VecDeque;
use std::time::Duration;

use crate::control::settings::Target;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::sim::laws::answer::Setting;
use crate::sim::plant::clients::Outside;
use crate::sim::plant::queue::PlantQueue;
use crate::sim::plant::workers::{Worked, Workforce};
use crate::sim::scenario::Scenario;
use crate::sim::trace::{Slice, Trace};

/// The slice of each tier that is being written, and those before.
#[derive(Debug)]
pub(super) struct Recorder {
    slice_millis: u64,
    current: TierMap<Slice>,
    done: TierMap<Vec<Slice>>,
    targets: TierMap<LargestTarget>,
    seconds: TierMap<LastSecond>,
}

impl Recorder {
    pub(super) fn new(scenario: &Scenario) -> Recorder {
        let millis = scenario.duration.as_millis() as u64;
        let largest = |tier: Tier| LargestTarget::new(scenario.regulator.tiers[tier].target);
        Recorder {
            slice_millis: (millis / MOST_SLICES).max(FINEST_MILLIS).next_multiple_of(FINEST_MILLIS),
            current: TierMap::default(),
            done: TierMap::default(),
            targets: TierMap::from_fn(largest),
            seconds: TierMap::default(),
        }
    }

    /// Begins a millisecond, and a new slice where one is due.
    pub(super) fn begin(&mut self, millis: u64, queues: &TierMap<PlantQueue>, outside: &TierMap<Outside>) {
        if millis > 0 && millis.is_multiple_of(FINEST_MILLIS) {
            self.pass_tenth();
        }
        if millis > 0 && millis.is_multiple_of(self.slice_millis) {
            self.end(queues, outside);
        }
        for (tier, queue) in queues.iter() {
            let target = self.targets[tier].largest();
            let over = target > 0.0 && queue.depth() as f64 > OVER * target;
            self.current[tier].millis_over += u64::from(over);
        }
    }

    fn pass_tenth(&mut self) {
        for (tier, second) in self.seconds.iter_mut() {
            let slice = &mut self.current[tier];
            slice.return_peak = slice.return_peak.max(second.pass_tenth());
        }
    }

    /// Counts jobs that are asked for again.
    pub(super) fn returned(&mut self, tier: Tier, jobs: u64) {
        self.current[tier].returned += jobs;
        self.seconds[tier].now.0 += jobs;
    }

    /// The slice that is being written.
    pub(super) fn slice(&mut self, tier: Tier) -> &mut Slice {
        &mut self.current[tier]
    }

    /// Notes the depth of a queue that has just grown.
    pub(super) fn note_depth(&mut self, tier: Tier, depth: u64) {
        let slice = &mut self.current[tier];
        slice.deepest = slice.deepest.max(depth);
        let target = self.targets[tier].largest();
        if target > 0.0 {
            slice.deepest_ratio = slice.deepest_ratio.max(depth as f64 / target);
        }
    }

    /// Counts what workers did. Of a common pool a tier could have had what the others left.
    pub(super) fn worked(&mut self, worked: &TierMap<Worked>, workers: &Workforce) {
        let common: u64 = worked
            .iter()
            .filter(|(tier, _)| workers.is_common(*tier))
            .map(|(_, worked)| worked.drained)
            .sum();
        for (tier, worked) in worked.iter() {
            let others = if workers.is_common(tier) { common - worked.drained } else { 0 };
            let slice = &mut self.current[tier];
            slice.drained += worked.drained;
            slice.capacity += worked.capacity;
            self.seconds[tier].now.1 += worked.capacity;
            slice.unused += worked.unused;
            slice.drainable += worked.capacity - others as f64;
        }
    }

    /// Notes what a control step set.
    pub(super) fn ticked(&mut self, settings: &TierMap<Setting>, now: Moment) {
        for (tier, setting) in settings.iter() {
            self.targets[tier].note(setting.target, now);
            let slice = &mut self.current[tier];
            slice.target = setting.target;
            slice.rate = setting.rate;
            slice.drain = setting.drain;
            slice.blind = setting.blind;
        }
    }

    pub(super) fn close(mut self, queues: &TierMap<PlantQueue>, outside: &TierMap<Outside>) -> Trace {
        self.pass_tenth();
        self.end(queues, outside);
        Trace { slice: Duration::from_millis(self.slice_millis), tiers: self.done }
    }

    fn end(&mut self, queues: &TierMap<PlantQueue>, outside: &TierMap<Outside>) {
        for tier in Tier::ALL {
            let depth = queues[tier].depth();
            self.note_depth(tier, depth);
            let slice = &mut self.current[tier];
            slice.depth = depth;
            slice.outside = outside[tier].waiting();
            slice.outside_obedient = outside[tier].obedient();
            let next = Slice {
                target: slice.target,
                rate: slice.rate,
                drain: slice.drain,
                blind: slice.blind,
                ..Slice::default()
            };
            self.done[tier].push(std::mem::replace(slice, next));
            self.note_depth(tier, depth);
        }
    }
}

/// What returned in the last second, and what the workers could do, a tenth at a time.
#[derive(Clone, Debug, Default)]
struct LastSecond {
    before: VecDeque<(u64, f64)>,
    now: (u64, f64),
}

impl LastSecond {
    /// Ends a tenth, and says how many times what the workers could do has returned in the second that ends with it.
    fn pass_tenth(&mut self) -> f64 {
        self.before.push_back(std::mem::take(&mut self.now));
        if self.before.len() > TENTHS {
            self.before.pop_front();
        }
        let (returned, capacity) =
            self.before.iter().fold((0, 0.0), |sum, tenth| (sum.0 + tenth.0, sum.1 + tenth.1));
        // Over workers that do nothing returns are no multiple.
        if capacity > 0.0 { returned as f64 / capacity } else { 0.0 }
    }
}

/// The largest target of the last delay: when the target falls, the depth can only follow.
#[derive(Clone, Debug, Default)]
struct LargestTarget {
    delay: Duration,
    /// Falling targets, each the largest since its moment.
    falling: VecDeque<(Moment, f64)>,
}

impl LargestTarget {
    fn new(target: Target) -> LargestTarget {
        let delay = match target {
            Target::Depth(_) => Duration::ZERO,
            Target::Delay { delay, .. } => delay,
        };
        LargestTarget { delay, falling: VecDeque::new() }
    }

    fn note(&mut self, target: f64, now: Moment) {
        while self.falling.back().is_some_and(|(_, smaller)| *smaller < target) {
            self.falling.pop_back();
        }
        if self.falling.back().is_none_or(|(_, smallest)| *smallest > target) {
            self.falling.push_back((now, target));
        }
        // A target held until its successor was noted.
        while self.falling.get(1).is_some_and(|(since, _)| now.since(*since) > self.delay) {
            self.falling.pop_front();
        }
    }

    fn largest(&self) -> f64 {
        self.falling.front().map_or(0.0, |(_, target)| *target)
    }
}

/// The finest slice.
const FINEST_MILLIS: u64 = 100;

/// Finest slices in a second.
const TENTHS: usize = 10;

/// Times the target from which on the depth counts as over it.
const OVER: f64 = 1.1;

/// Slices of a longer scenario are longer, so that its trace stays within memory: an hour has the finest.
const MOST_SLICES: u64 = 36_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_are_counted_over_any_second() {
        let mut second = LastSecond::default();
        let mut peak = 0.0_f64;
        // 300 jobs come back around the end of the third second, which workers that do 100 a second take as three.
        for tenth in 0..60 {
            second.now = (if (28..=31).contains(&tenth) { 75 } else { 0 }, 10.0);
            peak = peak.max(second.pass_tenth());
        }
        assert!((peak - 3.0).abs() < 1e-9, "{peak}");
        (0..10)
            .for_each(|_| assert_eq!(second.pass_tenth().partial_cmp(&3.1), Some(std::cmp::Ordering::Less)));
        second.now = (5, 0.0);
        assert_eq!(second.pass_tenth(), 0.0);
    }

    #[test]
    fn the_largest_target_is_that_of_the_last_delay() {
        let delay = Duration::from_secs(2);
        let mut largest = LargestTarget::new(Target::Delay { delay, at_least: 0, at_most: 100 });
        let mut seen = Vec::new();
        for (second, target) in [50.0, 80.0, 30.0, 30.0, 20.0, 10.0, 10.0, 10.0].into_iter().enumerate() {
            largest.note(target, Moment::from_nanos(second as u64 * 1_000_000_000));
            seen.push(largest.largest());
        }
        assert_eq!(seen, [50.0, 80.0, 80.0, 80.0, 80.0, 30.0, 30.0, 20.0]);
    }
}
