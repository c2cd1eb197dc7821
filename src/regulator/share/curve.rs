//! Counts over time: known at some moments, drawn straight between them.

use std::collections::VecDeque;

use crate::domain::time::Moment;

/// The last points of some counts that only grow.
#[derive(Clone, Debug, Default)]
pub struct Curve<const N: usize> {
    points: VecDeque<(Moment, [f64; N])>,
}

impl<const N: usize> Curve<N> {
    /// Knows nothing yet.
    pub const fn new() -> Curve<N> {
        Curve { points: VecDeque::new() }
    }

    /// Adds a point; one that is not later than the last is no news.
    pub fn push(&mut self, at: Moment, counts: [f64; N]) {
        if self.until().is_none_or(|last| at > last) {
            if self.points.len() == MOST_POINTS {
                self.points.pop_front();
            }
            self.points.push_back((at, counts));
        }
    }

    /// The moment of the last point.
    pub fn until(&self) -> Option<Moment> {
        self.points.back().map(|(at, _)| *at)
    }

    /// The counts at the last point that is not after a moment: the least that they can have been; of the first point where
    /// there is none, zero where there is no point.
    pub fn before(&self, moment: Moment) -> [f64; N] {
        let after = self.points.partition_point(|(at, _)| *at <= moment);
        let point = self.points.get(after.saturating_sub(1));
        point.map_or([0.0; N], |(_, counts)| *counts)
    }

    /// The counts at a moment: between two points on the line between them, beyond the ends those of the nearest point;
    /// zero where there is none.
    pub fn at(&self, moment: Moment) -> [f64; N] {
        let after = self.points.partition_point(|(at, _)| *at <= moment);
        let earlier = after.checked_sub(1).and_then(|before| self.points.get(before));
        match (earlier, self.points.get(after)) {
            (Some((from, low)), Some((to, high))) => {
                let way = moment.seconds_since(*from) / to.seconds_since(*from);
                let mut counts = *low;
                for (count, high) in counts.iter_mut().zip(high) {
                    *count += (high - *count) * way;
                }
                counts
            }
            (Some((_, counts)), None) | (None, Some((_, counts))) => *counts,
            (None, None) => [0.0; N],
        }
    }
}

/// Three seconds at ten points each: more than a reading ever waits. Beyond, and over a gap, the line is just longer.
const MOST_POINTS: usize = 32;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(millis))
    }

    #[test]
    fn between_two_points_counts_grow_evenly_and_beyond_them_they_stand() {
        let mut curve = Curve::new();
        assert_eq!(curve.at(at(5)), [0.0]);
        curve.push(at(100), [10.0]);
        curve.push(at(200), [30.0]);
        curve.push(at(200), [99.0]);
        assert_eq!([0, 150, 200, 900].map(|millis| curve.before(at(millis))[0]), [10.0, 10.0, 30.0, 30.0]);
        assert_eq!(
            [0, 100, 150, 200, 900].map(|millis| curve.at(at(millis))[0]),
            [10.0, 10.0, 20.0, 30.0, 30.0]
        );
    }

    #[test]
    fn it_keeps_a_bounded_number_of_points() {
        let mut curve = Curve::new();
        (0..1_000_u16).for_each(|step| curve.push(at(u64::from(step)), [f64::from(step)]));
        assert_eq!((curve.points.len(), curve.at(at(0))[0]), (MOST_POINTS, 968.0));
    }
}
