//! How fast a figure changes: the slope of a straight line through what it was over the last minute.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::time::Moment;

/// The last minute of a figure, in a bounded number of points.
#[derive(Clone, Debug, Default)]
pub struct Trend {
    points: VecDeque<(Moment, f64)>,
}

impl Trend {
    /// Notes what it is now. Points closer than a second to the one before are left out.
    pub fn note(&mut self, value: f64, now: Moment) {
        if self.points.back().is_some_and(|(last, _)| now.since(*last) < SPACING) {
            return;
        }
        while self.points.front().is_some_and(|(first, _)| now.since(*first) > SPAN)
            || self.points.len() >= POINTS
        {
            self.points.pop_front();
        }
        self.points.push_back((now, value));
    }

    /// Forgets the past: the figure has none, or another begins.
    pub fn forget(&mut self) {
        self.points.clear();
    }

    /// Change per second, by least squares; `None` before it was seen for long enough.
    pub fn per_second(&self) -> Option<f64> {
        let ((first, _), (last, _)) = (self.points.front()?, self.points.back()?);
        if last.since(*first) < SHORTEST {
            return None;
        }
        let count = self.points.len() as f64;
        let points = || self.points.iter().map(|(at, value)| (at.seconds_since(*first), *value));
        let (time, value) = points().fold((0.0, 0.0), |sum, (t, v)| (sum.0 + t / count, sum.1 + v / count));
        let (up, across) = points().fold((0.0, 0.0), |sum, (t, v)| {
            (sum.0 + (t - time) * (v - value), sum.1 + (t - time) * (t - time))
        });
        (across > 0.0).then(|| up / across)
    }
}

/// How far back a line is drawn.
const SPAN: Duration = Duration::from_secs(60);

/// Less than this says nothing: groups commit every five seconds, and between commits every age grows.
const SHORTEST: Duration = Duration::from_secs(15);

/// Time between two points.
const SPACING: Duration = Duration::from_secs(1);

/// Points kept at most.
const POINTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    fn trend(seconds: u64, value: impl Fn(f64) -> f64) -> Trend {
        let mut trend = Trend::default();
        for tick in 0..=seconds * 10 {
            trend.note(value(tick as f64 / 10.0), at(tick * 100));
        }
        trend
    }

    #[test]
    fn a_straight_line_has_its_slope() {
        let slope = trend(300, |t| 5_000.0 - 0.5 * t).per_second().unwrap();
        assert!((slope + 0.5).abs() < 1e-9, "{slope}");
        assert_eq!(trend(14, |t| t).per_second(), None, "too short to tell");
    }

    #[test]
    fn the_steps_of_commits_are_smoothed() {
        // Every five seconds a commit brings back four of the five that were lost since.
        let slope = trend(120, |t| 1_000.0 - t + 4.0 * (t / 5.0).floor()).per_second().unwrap();
        assert!((slope + 0.2).abs() < 0.05, "{slope}");
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let turned = trend(200, |t| if t < 100.0 { -t } else { t - 200.0 });
        assert!((turned.per_second().unwrap() - 1.0).abs() < 1e-9);
        assert!(turned.points.len() <= POINTS);
    }
}
