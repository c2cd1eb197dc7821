//! One partition between two looks: what waits in it for each group, and what was deleted before all of them had read it.
//!
//! A deleted record below every commit was read. One above the slowest commit was not, unless a worker has it in its hands:
//! clients fetch ahead, and what is deleted meanwhile is worked off all the same. So while a group commits, deleted records
//! above its commit still wait; its next commits tell: where they go on in their usual steps the records were read, where
//! they leap over them they are lost. Where nobody commits they are lost at once.

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
    /// What the slowest group had committed.
    position: i64,
    /// Below it every deleted record is known as read or as lost.
    settled: i64,
    committed: bool,
    steps: Steps,
}

/// How far the slowest group's commits went at a time of late.
#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    longest: Option<i64>,
    since_longest: u32,
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
    /// Takes in a look; `live` says whether somebody commits. Each record counts as lost at most once, however many groups
    /// had not read it.
    pub(super) fn see(&mut self, offsets: &Offsets, reset: Reset, live: bool) -> Seen {
        let has_commit = offsets.committed.iter().any(Option::is_some);
        let mut lost = 0;
        let anew = self.last.is_some_and(|last| last.is_anew(offsets, has_commit, self.vanished));
        if let Some(last) = self.last {
            let unread = last.position.max(last.settled);
            // Of another partition nothing is left; of one whose leader was behind, what that did not have is gone.
            lost += between(if anew { unread } else { unread.max(offsets.end) }, last.end);
        }
        self.last = self.last.filter(|_| !anew);
        let begin = self.last.map_or(offsets.low, |last| last.settled).min(offsets.end);
        let position = |committed: &Option<i64>| match (*committed, reset) {
            (Some(offset), _) if offset <= offsets.end => offset,
            (_, Reset::Earliest) => begin,
            (_, Reset::Latest) => offsets.end,
        };
        let positions: Vec<i64> = offsets.committed.iter().map(position).collect();
        let slowest = positions.iter().copied().min().unwrap_or(offsets.end);
        let mut now = self.last.unwrap_or(Last::begin(slowest, offsets.low));
        lost += now.move_to(slowest, offsets.low);
        if !live || self.last.is_none() {
            lost += now.settle(offsets.low);
        }
        (now.end, now.committed) = (offsets.end, has_commit);
        self.last = Some(now);
        self.vanished = false;
        let lags = positions.into_iter().map(|position| between(position.max(now.settled), offsets.end));
        Seen { lags: lags.collect(), unread: now.position.max(now.settled), lost, anew }
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
    const fn begin(position: i64, low: i64) -> Last {
        let settled = if position < low { position } else { low };
        let steps = Steps { longest: None, since_longest: 0 };
        Last { low, end: 0, position, settled, committed: false, steps }
    }

    /// The slowest commit and the oldest record are here now; says how many deleted records the commit leapt over.
    fn move_to(&mut self, position: i64, low: i64) -> u64 {
        let from = self.position.max(self.settled);
        let passed_to = position.min(low);
        let step = position - self.position;
        let passed = between(from, passed_to);
        // Up to the oldest record and no further: that is what an operator deletes whom the commit told what was read.
        let beyond = passed > 0 && position > low;
        let leapt = beyond && self.steps.longest.is_none_or(|longest| step > USUAL * longest);
        if step > 0 && !leapt {
            self.steps.note(step);
        }
        self.settled = self.settled.max(passed_to);
        (self.position, self.low) = (position, self.low.max(low));
        if leapt { passed } else { 0 }
    }

    /// Nobody will tell of the deleted records above the commit: they are lost.
    fn settle(&mut self, low: i64) -> u64 {
        let lost = between(self.position.max(self.settled), low);
        self.settled = self.settled.max(low);
        lost
    }

    /// Whether another partition stands in its place: its offsets begin again, its commits are gone with it.
    const fn is_anew(&self, offsets: &Offsets, has_commit: bool, vanished: bool) -> bool {
        let lost_commits = self.committed && !has_commit;
        offsets.low < self.low
            || (offsets.end < self.end && (vanished || lost_commits))
            || (vanished && lost_commits)
    }
}

impl Steps {
    fn note(&mut self, step: i64) {
        self.since_longest += 1;
        if self.longest.is_none_or(|longest| step >= longest) || self.since_longest > MEMORY {
            *self = Steps { longest: Some(step), since_longest: 0 };
        }
    }
}

/// A commit that goes so many times as far as the longest of late leaps.
const USUAL: i64 = 2;

/// Commits for which the longest step is remembered.
const MEMORY: u32 = 20;

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
        let seen = partition.see(&offsets(low, end, &[committed]), Reset::Earliest, false);
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
            let seen = partition.see(&offsets(low, end, &[committed]), Reset::Latest, false);
            (seen.lags[0], seen.lost, seen.unread)
        };
        assert_eq!(see(0, 100, None), (0, 0, 100));
        assert_eq!(see(50, 120, None), (0, 0, 120));
        assert_eq!(see(50, 150, Some(120)), (30, 0, 120));
    }

    #[test]
    fn of_several_groups_the_slowest_decides_what_is_lost() {
        let mut partition = Partition::default();
        let seen = partition.see(&offsets(0, 100, &[Some(80), Some(20)]), Reset::Earliest, false);
        assert_eq!((seen.lags, seen.unread), (vec![20, 80], 20));
        let seen = partition.see(&offsets(90, 100, &[Some(80), Some(20)]), Reset::Earliest, false);
        assert_eq!((seen.lags, seen.lost), (vec![10, 10], 70), "ten of them twice unread, counted once");
    }

    #[test]
    fn a_topic_made_anew_begins_again_and_its_unread_jobs_are_lost() {
        let mut partition = Partition::default();
        see(&mut partition, 10, 100, Some(40));
        partition.note_vanished();
        let seen = partition.see(&offsets(0, 5, &[None]), Reset::Earliest, false);
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

    fn see_live(partition: &mut Partition, low: i64, committed: i64) -> (u64, u64) {
        let seen = partition.see(&offsets(low, 3_000, &[Some(committed)]), Reset::Earliest, true);
        (seen.lags[0], seen.lost)
    }

    #[test]
    fn what_a_worker_had_fetched_before_it_was_deleted_is_read_after_all() {
        let mut partition = Partition::default();
        for committed in (0..=200).step_by(20) {
            assert_eq!(see_live(&mut partition, 0, committed), (3_000 - committed as u64, 0));
        }
        for committed in (200..=1_200).step_by(20) {
            assert_eq!(
                see_live(&mut partition, 1_000, committed),
                (3_000 - committed as u64, 0),
                "{committed}"
            );
        }
    }

    #[test]
    fn what_a_worker_leaps_over_is_lost() {
        let mut partition = Partition::default();
        for committed in (0..=200).step_by(20) {
            see_live(&mut partition, 0, committed);
        }
        assert_eq!(see_live(&mut partition, 1_000, 200), (2_800, 0), "not known yet");
        assert_eq!(see_live(&mut partition, 1_000, 220), (2_780, 0), "it had those");
        assert_eq!(see_live(&mut partition, 1_000, 1_010), (1_990, 780));
        assert_eq!(see_live(&mut partition, 1_000, 1_030), (1_970, 0), "once");
        assert_eq!(
            see_live(&mut partition, 1_800, 1_815),
            (1_185, 770),
            "deleted and leapt over within one look"
        );
    }

    #[test]
    fn what_is_deleted_as_soon_as_it_is_read_was_read() {
        let mut partition = Partition::default();
        see_live(&mut partition, 0, 50);
        assert_eq!(see_live(&mut partition, 1_000, 1_000), (2_000, 0));
        assert_eq!(see_live(&mut partition, 1_500, 1_500), (1_500, 0));
    }

    #[test]
    fn what_a_worker_that_fell_silent_had_not_read_is_lost() {
        let mut partition = Partition::default();
        for committed in (0..=200).step_by(20) {
            see_live(&mut partition, 0, committed);
        }
        assert_eq!(see_live(&mut partition, 1_000, 200), (2_800, 0));
        assert_eq!(see(&mut partition, 1_000, 3_000, Some(200)), (2_000, 800));
        assert_eq!(see_live(&mut partition, 1_000, 300), (2_000, 0), "late, and counted already");
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
            partition.see(&offsets(0, 0, &[None, None]), Reset::Earliest, false);
            for event in &events {
                model.play(event);
                let look = offsets(model.low as i64, model.read_by.len() as i64, &model.committed);
                let seen = partition.see(&look, Reset::Earliest, false);
                lost += seen.lost;
                prop_assert_eq!(&seen.lags, &vec![model.waiting(0), model.waiting(1)]);
                prop_assert_eq!(lost, model.lost.iter().filter(|lost| **lost).count() as u64);
                prop_assert!(!seen.anew);
            }
        }

        /// Looks that are rarer cannot tell what was read before it was deleted; still no record counts twice.
        #[test]
        fn a_rare_look_never_counts_a_record_twice(events in events()) {
            let (mut model, mut partition, mut lost) = (Model::default(), Partition::default(), 0);
            partition.see(&offsets(0, 0, &[None, None]), Reset::Earliest, false);
            for event in &events {
                model.play(event);
                if matches!(event, Event::Look) {
                    let look = offsets(model.low as i64, model.read_by.len() as i64, &model.committed);
                    lost += partition.see(&look, Reset::Earliest, false).lost;
                    prop_assert!(lost <= model.low as u64);
                }
            }
        }
    }
}
