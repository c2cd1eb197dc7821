//! The last hour of each tier in bounded memory: a ring of points, and what comes and goes at this moment.
//!
//! Pure: whoever keeps it says what the counters show and what time it is, once a second. Every fifth second becomes a
//! point; 720 points are an hour. A point takes 3 tiers x 16 numbers x 4 bytes and 8 bytes of time, the ring 150 KB,
//! whatever the load; all of it is allocated at the start.

use std::collections::VecDeque;

use crate::domain::tier::TierMap;
use crate::domain::time::{Moment, Timestamp};
use crate::telemetry::flow::{EdgeFlow, Flow, Tally};
use crate::telemetry::metrics::EdgeCounts;

/// What is measured, not counted, of one tier; NaN where there is nothing to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Jobs waiting and leased.
    pub depth: f32,
    /// The depth that the law steers to.
    pub target: f32,
    /// Recent drain, in jobs per second.
    pub drain: f32,
    /// Admission rate, in jobs per second.
    pub rate: f32,
    /// Age of the oldest waiting job, in seconds.
    pub oldest_age: f32,
    /// Age of the signal, in seconds.
    pub signal_age: f32,
    /// The median Retry-After given, in seconds.
    pub retry_after: f32,
    /// The median time a request took, in seconds.
    pub latency_p50: f32,
    /// 99 % took less.
    pub latency_p99: f32,
}

/// One tier at one point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TierPoint {
    /// What was measured at its end.
    pub gauges: Gauges,
    /// Per second since the point before: demand, admitted, throttled, shed, refused otherwise, expired, dead.
    pub flow: [f32; 7],
}

/// All tiers at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// Each tier.
    pub tiers: TierMap<TierPoint>,
}

/// The ring.
#[derive(Debug)]
pub struct History {
    points: VecDeque<Point>,
    /// The tallies of the last seconds, the latest last.
    tallies: VecDeque<(Moment, TierMap<Tally>, EdgeCounts)>,
    /// Seconds observed since the last point.
    seconds: usize,
    usual_drain: TierMap<Option<f64>>,
}

impl History {
    /// An hour without points.
    pub fn new() -> History {
        History {
            points: VecDeque::with_capacity(MOST_POINTS),
            tallies: VecDeque::with_capacity(STEP_SECONDS + 1),
            seconds: 0,
            usual_drain: TierMap::default(),
        }
    }

    /// Takes in what the counters show, once a second; `gauges` is asked when a point is due.
    pub fn observe(
        &mut self,
        tallies: TierMap<Tally>,
        edge: EdgeCounts,
        gauges: impl FnOnce() -> TierMap<Gauges>,
        wall: Timestamp,
        now: Moment,
    ) {
        if self.tallies.len() > STEP_SECONDS {
            self.tallies.pop_front();
        }
        self.tallies.push_back((now, tallies, edge));
        self.seconds += 1;
        if self.seconds > STEP_SECONDS {
            self.seconds = 1;
            let flow = self.flow();
            let gauges = gauges();
            let tiers =
                TierMap::from_fn(|tier| TierPoint { gauges: gauges[tier], flow: numbers(&flow[tier]) });
            self.push(Point { at: wall, tiers });
        }
    }

    /// What came and went in each second of the last five.
    pub fn flow(&self) -> TierMap<Flow> {
        let (Some((begun, earlier, _)), Some((ended, later, _))) =
            (self.tallies.front(), self.tallies.back())
        else {
            return TierMap::default();
        };
        let seconds = ended.seconds_since(*begun);
        TierMap::from_fn(|tier| Flow::between(&earlier[tier], &later[tier], seconds))
    }

    /// What was refused before it had a tier, in each second of the last five.
    pub fn edge(&self) -> EdgeFlow {
        let (Some((begun, _, earlier)), Some((ended, _, later))) =
            (self.tallies.front(), self.tallies.back())
        else {
            return EdgeFlow::default();
        };
        EdgeFlow::between(earlier, later, ended.seconds_since(*begun))
    }

    /// The drain that a tier's workers usually showed in the last hour, in jobs per second: three quarters of the points
    /// show less. `None` in the first minute.
    pub const fn usual_drain(&self) -> &TierMap<Option<f64>> {
        &self.usual_drain
    }

    /// The points, the oldest first.
    pub fn points(&self) -> impl ExactSizeIterator<Item = &Point> {
        self.points.iter()
    }

    fn push(&mut self, point: Point) {
        if self.points.len() >= MOST_POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
        self.usual_drain = TierMap::from_fn(|tier| {
            let mut drains: Vec<f32> =
                self.points.iter().map(|point| point.tiers[tier].gauges.drain).collect();
            drains.sort_unstable_by(f32::total_cmp);
            let usual = *drains.get(drains.len() * 3 / 4)?;
            (drains.len() >= ENOUGH_POINTS && usual > 0.0).then(|| f64::from(usual))
        });
    }
}

impl Default for History {
    fn default() -> History {
        History::new()
    }
}

const fn numbers(flow: &Flow) -> [f32; 7] {
    let Flow { demand, admitted, throttled, shed, refused_otherwise, expired, dead, .. } = *flow;
    [
        demand as f32,
        admitted as f32,
        throttled as f32,
        shed as f32,
        refused_otherwise as f32,
        expired as f32,
        dead as f32,
    ]
}

/// Seconds from one point to the next.
pub const STEP_SECONDS: usize = 5;

/// An hour of them.
pub const MOST_POINTS: usize = 720;

/// What is usual is said after a minute.
const ENOUGH_POINTS: usize = 12;

#[cfg(test)]
mod tests {
    use std::mem::size_of;
    use std::time::Duration;

    use super::*;
    use crate::domain::tier::Tier;
    use crate::telemetry::metrics::Counts;

    fn at(seconds: u64) -> (Timestamp, Moment) {
        let since = Duration::from_secs(seconds);
        (Timestamp::from_millis(0).plus(since), Moment::ORIGIN.plus(since))
    }

    /// A history of so many seconds in which p2 is asked for ten jobs a second and drains as told.
    fn history(seconds: u64, drain: impl Fn(u64) -> f32) -> History {
        let mut history = History::new();
        for second in 0..=seconds {
            let counts =
                Counts { admitted: 4 * second, shed: 6 * second, refused: 6 * second, ..Counts::default() };
            let mut tallies = TierMap::default();
            tallies[Tier::P2] = Tally { counts, ..Tally::default() };
            let gauges = || TierMap::from_fn(|_| Gauges { drain: drain(second), ..Gauges::default() });
            let (wall, now) = at(second);
            let edge = EdgeCounts { client_limit: 2 * second, refused: 3 * second, overloaded: second };
            history.observe(tallies, edge, gauges, wall, now);
        }
        history
    }

    #[test]
    fn each_fifth_second_is_a_point_with_the_rates_since_the_one_before() {
        let history = history(27, |second| second as f32);
        let points: Vec<_> = history.points().collect();
        let times: Vec<_> = points.iter().map(|point| point.at.millis() / 1_000).collect();
        assert_eq!(times, [5, 10, 15, 20, 25]);
        let p2 = points[4].tiers[Tier::P2];
        assert_eq!((p2.gauges.drain, p2.flow), (25.0, [10.0, 4.0, 0.0, 6.0, 0.0, 0.0, 0.0]));
        assert_eq!(points[4].tiers[Tier::P0].flow, [0.0; 7]);
        assert_eq!(history.flow()[Tier::P2].shed, 6.0);
    }

    #[test]
    fn an_hour_is_kept_in_the_memory_that_the_docs_name() {
        let history = history(2 * 3_600, |_| 1.0);
        let points: Vec<_> = history.points().collect();
        assert_eq!(points.len(), 720);
        assert_eq!(points[719].at.since(points[0].at), Duration::from_secs(719 * 5));
        assert!(history.points.capacity() * size_of::<Point>() <= 150_000, "{}", size_of::<Point>());
        assert!(history.tallies.len() <= 6);
    }

    #[test]
    fn a_late_second_does_not_make_rates_of_another_size() {
        let mut history = history(10, |_| 1.0);
        let mut tallies = TierMap::default();
        let counts = Counts { admitted: 40 + 4 * 20, ..Counts::default() };
        tallies[Tier::P2] = Tally { counts, ..Tally::default() };
        let (wall, now) = at(30);
        history.observe(tallies, EdgeCounts::default(), TierMap::default, wall, now);
        assert_eq!(history.flow()[Tier::P2].admitted, 4.0, "the process stood still for twenty seconds");
    }

    #[test]
    fn the_usual_drain_is_what_workers_showed_while_they_were_at_work() {
        assert_eq!(history(50, |_| 100.0).usual_drain()[Tier::P2], None, "too early");
        let fallen = history(600, |second| if second > 300 && second < 420 { 100.0 } else { 5.0 });
        assert_eq!(fallen.usual_drain()[Tier::P2], Some(5.0));
        let collapsed = history(600, |second| if second < 420 { 100.0 } else { 5.0 });
        assert_eq!(collapsed.usual_drain()[Tier::P2], Some(100.0));
        assert_eq!(history(600, |_| 0.0).usual_drain()[Tier::P2], None, "workers were never seen");
    }
}
