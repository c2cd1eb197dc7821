//! When the records that wait in a partition came, as far back as the oldest of them: for what was there before the start.
//!
//! The brokers are asked which offset a time has, from a second ago back in ever longer steps until before the oldest unread
//! record, and then between the last two steps. No record is read: that would need another right, and move payloads.

use std::time::Duration;

use rdkafka::error::KafkaResult;

use crate::domain::time::Timestamp;
use crate::queue::kafka::signals::ask::Answer;

/// A partition whose past is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought {
    /// Its oldest unread record.
    pub unread: i64,
    /// The offset of the next record, now.
    pub end: i64,
}

/// The end of each partition at times in the past, in order, the last of them now. `ask` says which offset a time has, for
/// the partitions of these places in the list.
pub(super) fn find(
    sought: &[Sought],
    now: Timestamp,
    mut ask: impl FnMut(&[usize], Timestamp) -> KafkaResult<Vec<Answer<Option<i64>>>>,
) -> Vec<Vec<(Timestamp, u64)>> {
    let mut searches: Vec<Search> = sought.iter().map(|sought| Search::new(*sought, now)).collect();
    for step in 0..STEPS + HALVINGS {
        // Those that are asked for the same time are asked together: while the steps grow, that is all of them.
        let mut open: Vec<(Timestamp, usize)> = Vec::new();
        for (index, search) in searches.iter().enumerate() {
            open.extend(search.next(step, now).map(|time| (time, index)));
        }
        open.sort_unstable();
        for group in open.chunk_by(|a, b| a.0 == b.0) {
            let Some((time, _)) = group.first().copied() else { continue };
            let indices: Vec<usize> = group.iter().map(|(_, index)| *index).collect();
            let Ok(answers) = ask(&indices, time) else { return points(searches) };
            for (index, answer) in indices.into_iter().zip(answers) {
                if let (Some(search), Ok(offset)) = (searches.get_mut(index), answer) {
                    search.note(time, offset);
                }
            }
        }
    }
    points(searches)
}

#[derive(Debug)]
struct Search {
    sought: Sought,
    /// Newest first.
    points: Vec<(Timestamp, i64)>,
    /// The youngest time known to be before the oldest unread record.
    before: Option<Timestamp>,
}

impl Search {
    fn new(sought: Sought, now: Timestamp) -> Search {
        Search { sought, points: vec![(now, sought.end)], before: None }
    }

    /// The time to ask for next.
    fn next(&self, step: u32, now: Timestamp) -> Option<Timestamp> {
        let Some(before) = self.before else {
            let back = Duration::from_secs(1) * 2_u32.checked_pow(step)?;
            let millis = now.millis().saturating_sub(u64::try_from(back.as_millis()).ok()?);
            return (step < STEPS).then(|| Timestamp::from_millis(millis));
        };
        let after = self
            .points
            .iter()
            .filter(|(_, offset)| *offset > self.sought.unread)
            .map(|(time, _)| *time)
            .min()?;
        let width = after.since(before);
        let age = now.since(before);
        (width > Duration::from_millis(100) && width * FINENESS > age).then(|| before.plus(width / 2))
    }

    fn note(&mut self, time: Timestamp, offset: Option<i64>) {
        let offset = offset.unwrap_or(self.sought.end);
        self.points.push((time, offset));
        if offset <= self.sought.unread {
            self.before = self.before.max(Some(time));
        }
    }
}

fn points(searches: Vec<Search>) -> Vec<Vec<(Timestamp, u64)>> {
    let sorted = |mut search: Search| {
        search.points.sort_unstable();
        let points = search.points.into_iter();
        points.map(|(time, offset)| (time, u64::try_from(offset).unwrap_or(0))).collect()
    };
    searches.into_iter().map(sorted).collect()
}

/// Steps back, each twice as long as the one before: from a second to eight years.
const STEPS: u32 = 28;

/// Halvings between the last two steps, at most.
const HALVINGS: u32 = 8;

/// The oldest age is told to one part in so many.
const FINENESS: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::ages::Ages;

    const NOW: Timestamp = Timestamp::MAX;

    fn ago(seconds: u64) -> Timestamp {
        Timestamp::from_millis(NOW.millis() - seconds * 1000)
    }

    /// A topic that got ten records a second for so long, of which so many are unread.
    fn age_found(seconds: u64, unread_seconds: u64) -> (f64, usize) {
        let end = i64::try_from(seconds * 10).unwrap();
        let sought = Sought { unread: end - i64::try_from(unread_seconds * 10).unwrap(), end };
        let mut asked = 0;
        let past = find(&[sought], NOW, |_, time| {
            asked += 1;
            let records = i64::try_from(NOW.since(time).as_millis() / 100).unwrap();
            Ok(vec![Ok(Some((end - records).max(0)))])
        });
        let ages = Ages::known(past[0].clone());
        (ages.age(u64::try_from(sought.unread).unwrap(), NOW).as_secs_f64(), asked)
    }

    #[test]
    fn the_age_of_the_oldest_unread_record_is_found_to_a_few_percent() {
        for unread in [1, 5, 60, 3_600, 86_400, 500_000] {
            let (age, asked) = age_found(600_000, unread);
            assert!((age / unread as f64 - 1.0).abs() < 0.03, "{unread}: {age}");
            assert!(asked <= 30, "{unread}: {asked} questions");
        }
    }

    #[test]
    fn partitions_of_the_same_age_are_asked_together() {
        let sought = Sought { unread: 0, end: 100 };
        let mut asked = 0;
        let past = find(&[sought; 50], NOW, |indices, time| {
            asked += 1;
            Ok(indices.iter().map(|_| Ok((time <= ago(3_000)).then_some(0))).collect())
        });
        assert!(asked <= 25, "{asked}");
        assert_eq!(past.len(), 50);
    }

    #[test]
    fn what_cannot_be_asked_is_told_as_far_as_it_is_known() {
        let sought = Sought { unread: 0, end: 100 };
        let past =
            find(&[sought], NOW, |_, _| Ok(vec![Err(rdkafka::error::RDKafkaErrorCode::OperationTimedOut)]));
        assert_eq!(past, [vec![(NOW, 100)]]);
    }
}
