//! The cliff: how far the oldest unread job is from being deleted, how fast that shrinks, what was deleted already.

use std::time::Duration;

use crate::control::trend::Trend;
use crate::domain::time::Moment;
use crate::queue::topic::Retention;

/// Watches the retention of one tier's topics.
#[derive(Clone, Debug, Default)]
pub(super) struct Cliff {
    trend: Trend,
    near: bool,
    lost: u64,
    /// The last loss, while its episode lasts.
    losing: Option<Loss>,
}

#[derive(Clone, Copy, Debug)]
struct Loss {
    last: Moment,
    before: u64,
}

/// One topic: how long it keeps jobs, and the age of the oldest unread one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// `None`: for ever.
    pub limit: Option<Duration>,
    /// `None`: all are read.
    pub oldest: Option<Duration>,
}

/// A change worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Less than a quarter of the retention is left.
    CliffNear,
    /// More than a third is left again.
    CliffFar,
    /// Unread jobs were deleted; so many since the start.
    Lost(u64),
    /// None were deleted for a while; so many were in this episode.
    LossEnded(u64),
}

impl Cliff {
    /// Takes in a look at the tier's topics, and how many unread jobs were deleted since the start.
    pub(super) fn see(&mut self, topics: &[Kept], lost: u64, now: Moment) -> (Retention, Vec<Turn>) {
        let nearest = topics.iter().filter_map(|topic| {
            let (limit, oldest) = (topic.limit?, topic.oldest?);
            Some((limit.saturating_sub(oldest), limit))
        });
        let nearest = nearest.min();
        match nearest {
            Some((headroom, _)) => self.trend.note(headroom.as_secs_f64(), now),
            None => self.trend.forget(),
        }
        let trend = self.trend.per_second();
        let headroom = nearest.map(|(headroom, _)| headroom);
        let limit = nearest.map(|(_, limit)| limit).or(topics.iter().filter_map(|topic| topic.limit).min());
        let turns = [self.watch_distance(nearest), self.watch_loss(lost, now)];
        let deleted_in = time_to_cliff(headroom, trend);
        let retention = Retention { limit, headroom, trend, deleted_in, lost_unread: lost };
        (retention, turns.into_iter().flatten().collect())
    }

    fn watch_distance(&mut self, nearest: Option<(Duration, Duration)>) -> Option<Turn> {
        let share =
            nearest.map_or(1.0, |(headroom, limit)| headroom.as_secs_f64() / limit.as_secs_f64().max(1e-3));
        let near = share < if self.near { FAR } else { NEAR };
        match (std::mem::replace(&mut self.near, near), near) {
            (false, true) => Some(Turn::CliffNear),
            (true, false) => Some(Turn::CliffFar),
            _ => None,
        }
    }

    fn watch_loss(&mut self, lost: u64, now: Moment) -> Option<Turn> {
        let before = std::mem::replace(&mut self.lost, lost);
        if lost > before {
            let episode = self.losing.map_or(before, |loss| loss.before);
            let begins = self.losing.replace(Loss { last: now, before: episode }).is_none();
            return begins.then_some(Turn::Lost(lost));
        }
        let over = self.losing.filter(|loss| now.since(loss.last) > EPISODE)?;
        self.losing = None;
        Some(Turn::LossEnded(lost - over.before))
    }
}

/// Headroom over the pace at which it shrinks; `None` where it does not.
fn time_to_cliff(headroom: Option<Duration>, trend: Option<f64>) -> Option<Duration> {
    let pace = -trend?;
    let seconds = headroom?.as_secs_f64() / pace;
    (pace >= LEAST_PACE).then(|| Duration::try_from_secs_f64(seconds).ok())?
}

/// The cliff is near when less than this share of the retention is left: two days of a week, a quarter of an hour of an
/// hour; a day's work for the one who must act, where the retention allows it.
const NEAR: f64 = 0.25;

/// And far again with more than this.
const FAR: f64 = 0.35;

/// Brokers look for what is to be deleted every five minutes: a loss that goes on is one episode.
const EPISODE: Duration = Duration::from_secs(600);

/// A headroom that shrinks by less than a hundredth of a second a second is as good as steady.
const LEAST_PACE: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    const HOUR: u64 = 3_600;

    fn kept(oldest: Option<u64>) -> [Kept; 1] {
        [Kept { limit: Some(Duration::from_secs(HOUR)), oldest: oldest.map(Duration::from_secs) }]
    }

    #[test]
    fn a_group_that_stands_still_meets_the_cliff_when_the_headroom_is_used_up() {
        let mut cliff = Cliff::default();
        for second in 0..=100 {
            cliff.see(&kept(Some(500 + second)), 0, at(second));
        }
        let (retention, _) = cliff.see(&kept(Some(601)), 0, at(101));
        assert_eq!(retention.headroom, Some(Duration::from_secs(HOUR - 601)));
        assert!((retention.trend.unwrap() + 1.0).abs() < 1e-6);
        assert_eq!(retention.deleted_in.map(|time| time.as_secs()), Some(HOUR - 601));
    }

    #[test]
    fn half_the_pace_doubles_the_time_and_a_steady_age_has_no_cliff() {
        let mut cliff = Cliff::default();
        for second in 0..=100 {
            cliff.see(&kept(Some(600 + second / 2)), 0, at(second));
        }
        let deleted_in = cliff.see(&kept(Some(650)), 0, at(101)).0.deleted_in.unwrap().as_secs_f64();
        assert!((deleted_in - 5_900.0).abs() < 150.0, "{deleted_in}");
        let mut cliff = Cliff::default();
        for second in 0..=100 {
            cliff.see(&kept(Some(600)), 0, at(second));
        }
        assert_eq!(cliff.see(&kept(Some(600)), 0, at(101)).0.deleted_in, None);
    }

    #[test]
    fn without_unread_jobs_or_without_retention_there_is_no_headroom() {
        let mut cliff = Cliff::default();
        assert_eq!(cliff.see(&kept(None), 0, at(0)).0.headroom, None);
        let forever = [Kept { limit: None, oldest: Some(Duration::from_secs(HOUR)) }];
        assert_eq!(cliff.see(&forever, 0, at(1)).0, Retention::default());
    }

    #[test]
    fn of_several_topics_the_one_nearest_to_its_cliff_counts() {
        let hour = |limit, oldest| Kept {
            limit: Some(Duration::from_secs(limit * HOUR)),
            oldest: Some(Duration::from_secs(oldest)),
        };
        let (retention, _) = Cliff::default().see(&[hour(10, 100), hour(1, 50)], 0, at(0));
        assert_eq!(retention.headroom, Some(Duration::from_secs(HOUR - 50)));
        assert_eq!(retention.limit, Some(Duration::from_secs(HOUR)));
    }

    #[test]
    fn the_cliff_is_announced_once_until_it_was_far_again() {
        let mut cliff = Cliff::default();
        let mut turns = |oldest, second| cliff.see(&kept(Some(oldest)), 0, at(second)).1;
        assert_eq!(turns(2_600, 0), []);
        assert_eq!(turns(2_701, 1), [Turn::CliffNear]);
        assert_eq!(turns(2_600, 2), [], "27 % are not far enough");
        assert_eq!(turns(2_701, 3), []);
        assert_eq!(turns(2_000, 4), [Turn::CliffFar]);
        assert_eq!(turns(3_601, 5), [Turn::CliffNear]);
    }

    #[test]
    fn a_loss_is_told_once_per_episode() {
        let mut cliff = Cliff::default();
        let mut turns = |lost, second| cliff.see(&kept(Some(1)), lost, at(second)).1;
        assert_eq!(turns(0, 0), []);
        assert_eq!(turns(10, 1), [Turn::Lost(10)]);
        assert_eq!(turns(25, 300), [], "the next pass of the same");
        assert_eq!(turns(25, 900), []);
        assert_eq!(turns(25, 901), [Turn::LossEnded(25)]);
        assert_eq!(turns(30, 2_000), [Turn::Lost(30)]);
        assert_eq!(turns(30, 2_601), [Turn::LossEnded(5)]);
    }
}
