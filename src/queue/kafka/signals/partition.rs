//! One partition between two looks: what waits in it for each group, and what was deleted before all of them had read it.

/// What one look saw of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offsets {
    /// The offset of the oldest record that is there.
    pub low: i64,
    /// The offset that the next record gets.
    pub end: i64,
    /// What each group committed: the offset of the next record that it reads.
    pub committed: Vec<Option<i64>>,
}

/// Where a group without a commit, or with one that is no longer there, begins to read (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reset {
    /// With the oldest record.
    #[default]
    Earliest,
    /// With what comes next.
    Latest,
}

/// A partition, as of the last look.
#[derive(Clone, Debug, Default)]
pub(super) struct Partition {
    last: Option<Last>,
    vanished: bool,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    low: i64,
    end: i64,
    /// The oldest record that some group had not read.
    unread: i64,
    committed: bool,
}

/// What a look says of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Records that each group has not read.
    pub lags: Vec<u64>,
    /// The oldest record that some group has not read; the end where there is none.
    pub unread: i64,
    /// Records that were deleted since the last look and that some group had not read.
    pub lost: u64,
    /// The partition was made anew: offsets began again.
    pub anew: bool,
}

impl Partition {
    /// Takes in a look. Each record counts as lost at most once, however many groups had not read it, and only where its
    /// offset is not above every commit: what a group reads and has not committed yet counts as unread.
    pub(super) fn see(&mut self, offsets: &Offsets, reset: Reset) -> Seen {
        let has_commit = offsets.committed.iter().any(Option::is_some);
        let mut lost = 0;
        let anew = self.last.is_some_and(|last| last.is_anew(offsets, has_commit, self.vanished));
        if let Some(last) = self.last {
            if anew {
                lost += between(last.unread.max(last.low), last.end);
                self.last = None;
            } else {
                // A leader that was behind took over: what it did not have is gone.
                lost += between(last.unread.max(offsets.end), last.end);
            }
        }
        let known_low = self.last.map(|last| last.low);
        let begin = known_low.unwrap_or(offsets.low).min(offsets.end);
        let position = |committed: &Option<i64>| match (*committed, reset) {
            (Some(offset), _) if offset <= offsets.end => offset,
            (_, Reset::Earliest) => begin,
            (_, Reset::Latest) => offsets.end,
        };
        let positions: Vec<i64> = offsets.committed.iter().map(position).collect();
        let slowest = positions.iter().copied().min().unwrap_or(offsets.end);
        lost += between(slowest.max(known_low.unwrap_or(slowest)), offsets.low);
        let unread = slowest.max(offsets.low);
        let low = known_low.map_or(offsets.low, |known| known.max(offsets.low));
        self.last = Some(Last { low, end: offsets.end, unread, committed: has_commit });
        self.vanished = false;
        let lags = positions.into_iter().map(|position| between(position.max(offsets.low), offsets.end));
        Seen { lags: lags.collect(), unread, lost, anew }
    }

    /// Notes that the broker did not know the partition.
    pub(super) const fn note_vanished(&mut self) {
        self.vanished = true;
    }

    /// The oldest offset as far as is known; `None` before the first look.
    pub(super) fn low(&self) -> Option<i64> {
        self.last.map(|last| last.low)
    }

    /// Whether the low must be asked before these can be understood: records wait, which may have been deleted, or the
    /// offsets say that something happened.
    pub(super) fn needs_low(&self, end: i64, committed: &[Option<i64>]) -> bool {
        let Some(last) = self.last else { return true };
        let waits = committed.iter().any(|committed| committed.is_none_or(|offset| offset < end));
        waits || end < last.end || self.vanished
    }
}

impl Last {
    /// Whether another partition stands in its place: its offsets begin again, its commits are gone with it.
    const fn is_anew(&self, offsets: &Offsets, has_commit: bool, vanished: bool) -> bool {
        let lost_commits = self.committed && !has_commit;
        offsets.low < self.low
            || (offsets.end < self.end && (vanished || lost_commits))
            || (vanished && lost_commits)
    }
}

/// Records from one offset up to another.
fn between(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offsets(low: i64, end: i64, committed: &[Option<i64>]) -> Offsets {
        Offsets { low, end, committed: committed.to_vec() }
    }

    fn see(partition: &mut Partition, low: i64, end: i64, committed: Option<i64>) -> (u64, u64) {
        let seen = partition.see(&offsets(low, end, &[committed]), Reset::Earliest);
        (seen.lags[0], seen.lost)
    }

    #[test]
    fn what_was_deleted_unread_counts_once() {
        let mut partition = Partition::default();
        assert_eq!(see(&mut partition, 0, 100, Some(10)), (90, 0));
        assert_eq!(see(&mut partition, 30, 100, Some(10)), (70, 20));
        assert_eq!(see(&mut partition, 30, 100, Some(10)), (70, 0), "once");
        assert_eq!(see(&mut partition, 50, 100, Some(10)), (50, 20), "and the next twenty");
        assert_eq!(see(&mut partition, 50, 100, Some(60)), (40, 0));
        assert_eq!(see(&mut partition, 60, 100, Some(60)), (40, 0), "read ones are not lost");
    }

    #[test]
    fn what_was_deleted_before_the_first_look_counts_where_a_commit_says_so() {
        assert_eq!(see(&mut Partition::default(), 30, 100, Some(10)), (70, 20));
        assert_eq!(see(&mut Partition::default(), 30, 100, None), (70, 0));
    }

    #[test]
    fn a_group_without_a_commit_has_not_read_what_was_deleted_since() {
        let mut partition = Partition::default();
        assert_eq!(see(&mut partition, 5, 100, None), (95, 0));
        assert_eq!(see(&mut partition, 25, 100, None), (75, 20));
        assert_eq!(see(&mut partition, 25, 100, Some(40)), (60, 0));
    }

    #[test]
    fn a_group_that_begins_with_what_comes_has_nothing_to_read_until_it_commits() {
        let mut partition = Partition::default();
        let mut see = |low, end, committed| {
            let seen = partition.see(&offsets(low, end, &[committed]), Reset::Latest);
            (seen.lags[0], seen.lost, seen.unread)
        };
        assert_eq!(see(0, 100, None), (0, 0, 100));
        assert_eq!(see(50, 120, None), (0, 0, 120));
        assert_eq!(see(50, 150, Some(120)), (30, 0, 120));
    }

    #[test]
    fn of_several_groups_the_slowest_decides_what_is_lost() {
        let mut partition = Partition::default();
        let seen = partition.see(&offsets(0, 100, &[Some(80), Some(20)]), Reset::Earliest);
        assert_eq!((seen.lags, seen.unread), (vec![20, 80], 20));
        let seen = partition.see(&offsets(90, 100, &[Some(80), Some(20)]), Reset::Earliest);
        assert_eq!((seen.lags, seen.lost), (vec![10, 10], 70), "ten of them twice unread, counted once");
    }

    #[test]
    fn a_topic_made_anew_begins_again_and_its_unread_jobs_are_lost() {
        let mut partition = Partition::default();
        see(&mut partition, 10, 100, Some(40));
        partition.note_vanished();
        let seen = partition.see(&offsets(0, 5, &[None]), Reset::Earliest);
        assert_eq!((seen.lags[0], seen.lost, seen.anew), (5, 60, true));
        assert_eq!(see(&mut partition, 0, 7, Some(5)), (2, 0));
    }

    #[test]
    fn a_topic_made_anew_that_grew_past_the_old_one_is_known_by_its_missing_commits() {
        let mut partition = Partition::default();
        see(&mut partition, 0, 100, Some(40));
        partition.note_vanished();
        assert_eq!(see(&mut partition, 0, 500, None), (500, 60));
    }

    #[test]
    fn a_topic_that_was_out_of_sight_for_a_moment_is_the_same() {
        let mut partition = Partition::default();
        see(&mut partition, 0, 100, Some(40));
        partition.note_vanished();
        assert_eq!(see(&mut partition, 0, 110, Some(40)), (70, 0));
    }

    #[test]
    fn what_a_new_leader_never_had_is_lost() {
        let mut partition = Partition::default();
        see(&mut partition, 0, 100, Some(40));
        assert_eq!(see(&mut partition, 0, 90, Some(40)), (50, 10));
        assert_eq!(see(&mut partition, 0, 95, Some(99)), (95, 0), "a commit above the end is out of range");
    }

    #[test]
    fn the_low_is_asked_for_while_something_waits() {
        let mut partition = Partition::default();
        assert!(partition.needs_low(100, &[Some(100)]), "never seen");
        see(&mut partition, 0, 100, Some(100));
        assert!(!partition.needs_low(100, &[Some(100)]));
        assert!(partition.needs_low(101, &[Some(100)]) && partition.needs_low(100, &[None]));
        assert!(partition.needs_low(99, &[Some(99)]), "the end ran backwards");
    }

    /// What may happen to a partition, in jobs.
    #[derive(Clone, Debug)]
    enum Event {
        Append(i64),
        Read(usize, i64),
        Delete(i64),
        Look,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            (1..50_i64).prop_map(Event::Append),
            (0..2_usize, 1..40_i64).prop_map(|(group, jobs)| Event::Read(group, jobs)),
            (1..60_i64).prop_map(Event::Delete),
            Just(Event::Look),
        ];
        proptest::collection::vec(event, 1..200)
    }

    /// Every record with what became of it: the oracle counts them one by one.
    #[derive(Default)]
    struct Model {
        read_by: Vec<[bool; 2]>,
        low: usize,
        committed: [Option<i64>; 2],
        lost: Vec<bool>,
    }

    impl Model {
        fn play(&mut self, event: &Event) {
            match *event {
                Event::Append(jobs) => {
                    for _ in 0..jobs {
                        self.read_by.push([false; 2]);
                        self.lost.push(false);
                    }
                }
                Event::Read(group, jobs) => {
                    let from = self.committed[group].map_or(0, |offset| offset as usize).max(self.low);
                    let to = (from + jobs as usize).min(self.read_by.len());
                    self.read_by[from..to].iter_mut().for_each(|read| read[group] = true);
                    self.committed[group] = Some(to as i64);
                }
                Event::Delete(jobs) => {
                    let to = (self.low + jobs as usize).min(self.read_by.len());
                    for record in self.low..to {
                        self.lost[record] = self.read_by[record] != [true; 2];
                    }
                    self.low = to;
                }
                Event::Look => {}
            }
        }

        fn waiting(&self, group: usize) -> u64 {
            self.read_by[self.low..].iter().filter(|read| !read[group]).count() as u64
        }
    }

    proptest! {
        /// With a look after each event, every record that a group has not read waits or is lost, and never both.
        #[test]
        fn every_record_waits_was_read_or_is_lost(events in events()) {
            let (mut model, mut partition, mut lost) = (Model::default(), Partition::default(), 0);
            partition.see(&offsets(0, 0, &[None, None]), Reset::Earliest);
            for event in &events {
                model.play(event);
                let look = offsets(model.low as i64, model.read_by.len() as i64, &model.committed);
                let seen = partition.see(&look, Reset::Earliest);
                lost += seen.lost;
                prop_assert_eq!(&seen.lags, &vec![model.waiting(0), model.waiting(1)]);
                prop_assert_eq!(lost, model.lost.iter().filter(|lost| **lost).count() as u64);
                prop_assert!(!seen.anew);
            }
        }

        /// Looks that are rarer never count more than was lost, and miss only what a commit passed in between.
        #[test]
        fn a_rare_look_never_counts_a_record_twice(events in events()) {
            let (mut model, mut partition, mut lost) = (Model::default(), Partition::default(), 0);
            partition.see(&offsets(0, 0, &[None, None]), Reset::Earliest);
            for event in &events {
                model.play(event);
                if matches!(event, Event::Look) {
                    let look = offsets(model.low as i64, model.read_by.len() as i64, &model.committed);
                    lost += partition.see(&look, Reset::Earliest).lost;
                    prop_assert!(lost <= model.lost.iter().filter(|lost| **lost).count() as u64);
                }
            }
        }
    }
}
