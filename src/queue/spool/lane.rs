//! What the spool knows of one tier in memory: which ordering keys must queue behind spooled jobs, what the drain has
//! moved, and the books that make one reading of backend and spool. Pure: no waiting, no files.

use std::collections::HashMap;

use crate::domain::backlog::{Backlog, Flows, Reading};
use crate::domain::job::Job;
use crate::queue::StoringAnswer;

/// An ordering key in eight bytes. Two keys with one hash only wait for each other needlessly.
pub(super) type KeyHash = u64;

/// One tier.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Whether the policy lets its jobs be spooled.
    pub spools: bool,
    /// Jobs found in the spool at start.
    pub recovered: u64,
    /// What the drain has done.
    pub moved: Moved,
    /// Jobs that the drain dropped, since the backend has another one under their idempotency key.
    pub duplicates: u64,
    /// The backend's depth as last read, and as last told in a receipt since; `None` before it was read.
    depth: Option<(u64, u64)>,
    /// Jobs with these ordering keys are in the spool, or on their way into it: how many of each.
    keys: HashMap<KeyHash, u32>,
    /// Not every spooled key is known: each may be.
    every_key: bool,
    /// Jobs on their way into the file.
    entering: u64,
    /// Set while the last spooled jobs are on their way to the backend: jobs behind them wait here for that.
    hold: Option<Vec<Held>>,
    held_jobs: usize,
}

/// Jobs behind the last spooled ones, with whom to tell.
pub(super) type Held = (Vec<Job>, StoringAnswer);

/// What became of jobs that the drain took out of the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// Stored in the backend.
    pub stored: u64,
    /// The backend had them already, from an attempt of this process that had no answer.
    pub landed: u64,
    /// The backend had them from an earlier process, or has another job under their key.
    pub dropped: u64,
    /// Handed over, without an answer so far.
    pub on_the_way: u64,
}

/// Where jobs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Straight to the backend.
    Straight,
    /// Into the spool.
    Spool,
    /// They wait a moment for the last spooled jobs, then go straight to the backend.
    Hold,
}

impl Lane {
    /// A tier of which so many jobs were found in the spool. Their keys are not known.
    pub(super) fn found(recovered: u64, spools: bool) -> Lane {
        Lane { spools, recovered, every_key: recovered > 0, ..Lane::default() }
    }

    /// Whether nothing here concerns a job: the tier does not spool, and no key of it waits.
    pub(super) fn is_plain(&self) -> bool {
        !self.spools && self.keys.is_empty() && !self.every_key
    }

    /// The way of `jobs` jobs with these ordering keys.
    pub(super) fn way(&self, keys: &[KeyHash], jobs: usize, away: bool) -> Way {
        if away && self.spools {
            return Way::Spool;
        }
        let behind = keys.iter().any(|key| self.every_key || self.keys.contains_key(key));
        match &self.hold {
            _ if !behind => Way::Straight,
            Some(_) if self.held_jobs + jobs <= MOST_HELD => Way::Hold,
            _ => Way::Spool,
        }
    }

    /// Jobs go into the spool.
    pub(super) fn enter(&mut self, keys: &[KeyHash], jobs: u64) {
        self.entering += jobs;
        for key in keys {
            if let Some(count) = self.keys.get_mut(key) {
                *count = count.saturating_add(1);
            } else if self.keys.len() < MOST_KEYS {
                self.keys.insert(*key, 1);
            } else {
                self.every_key = true;
            }
        }
    }

    /// Jobs that went in are in the file, or may be.
    pub(super) const fn entered(&mut self, jobs: u64) {
        self.entering = self.entering.saturating_sub(jobs);
    }

    /// Jobs with these keys have left the spool, or never came in.
    pub(super) fn leave(&mut self, keys: &[KeyHash]) {
        for key in keys {
            if let Some(count) = self.keys.get_mut(key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.keys.remove(key);
                }
            }
        }
    }

    /// Forgets all keys if nothing is in the spool, where the file holds `in_file` jobs of the tier. True if so.
    pub(super) fn settle(&mut self, in_file: u64) -> bool {
        let empty = in_file == 0 && self.entering == 0;
        if empty {
            // Jobs dropped past their expiry took their keys with them.
            self.keys.clear();
            self.every_key = false;
        }
        empty
    }

    /// Jobs in the spool or on their way into it, where the file holds `in_file` of the tier.
    pub(super) const fn spooled(&self, in_file: u64) -> u64 {
        in_file.saturating_add(self.entering)
    }

    /// From now on jobs behind spooled ones wait in memory.
    pub(super) fn begin_hold(&mut self) {
        self.hold.get_or_insert_default();
    }

    /// Whether they do.
    pub(super) const fn holds(&self) -> bool {
        self.hold.is_some()
    }

    /// Lets jobs wait; gives them back where none are held.
    pub(super) fn hold(&mut self, held: Held) -> Result<(), Held> {
        let Some(hold) = &mut self.hold else { return Err(held) };
        self.held_jobs += held.0.len();
        hold.push(held);
        Ok(())
    }

    /// Those that waited, in their order; none are held from now on.
    pub(super) fn end_hold(&mut self) -> Vec<Held> {
        self.held_jobs = 0;
        self.hold.take().unwrap_or_default()
    }

    /// The backend's depth was read.
    pub(super) const fn saw(&mut self, depth: u64) {
        self.depth = Some((depth, depth));
    }

    /// A receipt of the backend tells this depth.
    pub(super) fn was_told(&mut self, depth: u64) {
        if let Some((read, told)) = &mut self.depth {
            *told = depth.max(*read);
        }
    }

    /// The backend's depth, as far as it is known.
    pub(super) fn backend_depth(&self) -> u64 {
        self.depth.map_or(0, |(_, told)| told)
    }

    /// Jobs that may be handed to the backend now while its depth is to stay below `limit`: this gateway's share of the
    /// room that the last reading showed, less what it stored since.
    pub(super) fn room(&self, limit: u64, share: f64) -> u64 {
        let Some((read, told)) = self.depth else { return 0 };
        let ours = limit.saturating_sub(read) as f64 * share;
        (ours as u64).saturating_sub(told - read).saturating_sub(self.moved.on_the_way)
    }

    #[cfg(test)]
    pub(super) const fn forget_depth(&mut self) {
        self.depth = None;
    }

    /// The backend's reading with the spool's jobs in it, where `spool` is the file's of the same moment.
    ///
    /// A spooled job counts as stored and as waiting from the moment it is in the file. When the backend has it, it
    /// counts there and no longer here; on its way between the two it counts nowhere, as a job in flight does. So what
    /// workers consumed (stored and replayed, less expired, dead and depth) is exact whatever the drain does.
    pub(super) fn combined(&self, backend: &Reading, spool: &Reading) -> Reading {
        let Moved { stored, landed, dropped, on_the_way } = self.moved;
        let gone = stored + landed + dropped + on_the_way;
        let (ours, theirs) = (&spool.flows, &backend.flows);
        let came_in = self.recovered + ours.stored + ours.replayed;
        let left = came_in.saturating_sub(ours.expired + ours.dead + gone);
        let older = |ours: Option<_>, theirs: Option<_>| if left > 0 { ours.max(theirs) } else { theirs };
        Reading {
            backlog: Backlog {
                waiting: backend.backlog.waiting + left,
                leased: backend.backlog.leased,
                oldest_age: older(spool.backlog.oldest_age, backend.backlog.oldest_age),
                p99_age: older(spool.backlog.p99_age, backend.backlog.p99_age),
                headroom: backend.backlog.headroom,
            },
            flows: Flows {
                stored: (theirs.stored + self.recovered + ours.stored).saturating_sub(stored + on_the_way),
                replayed: theirs.replayed + ours.replayed,
                expired: theirs.expired + ours.expired + dropped,
                dead: theirs.dead + ours.dead,
                lost: theirs.lost,
            },
            taken: backend.taken,
        }
    }
}

/// Ordering keys that are known one by one: 2 MB. Beyond, every key counts as one with spooled jobs.
const MOST_KEYS: usize = 100_000;

/// Jobs that wait in memory for the last spooled ones: what comes in within a moment.
const MOST_HELD: usize = 4_096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::time::Moment;
    use crate::queue::Storing;

    fn spooling() -> Lane {
        Lane::found(0, true)
    }

    #[test]
    fn jobs_are_spooled_while_the_backend_is_away_and_behind_those_of_their_key() {
        let mut lane = spooling();
        assert_eq!(lane.way(&[], 1, false), Way::Straight);
        assert_eq!(lane.way(&[], 1, true), Way::Spool);
        lane.enter(&[7, 7], 2);
        lane.entered(2);
        assert_eq!(lane.way(&[7], 1, false), Way::Spool);
        assert_eq!(lane.way(&[8, 7], 2, false), Way::Spool, "all or none");
        assert_eq!((lane.way(&[8], 1, false), lane.way(&[], 1, false)), (Way::Straight, Way::Straight));
        lane.leave(&[7]);
        assert_eq!(lane.way(&[7], 1, false), Way::Spool, "one is left");
        lane.leave(&[7]);
        assert_eq!(lane.way(&[7], 1, false), Way::Straight);
    }

    #[test]
    fn a_tier_that_does_not_spool_only_queues_behind_what_is_there() {
        let mut lane = Lane::found(3, false);
        assert_eq!((lane.way(&[7], 1, true), lane.way(&[], 1, true)), (Way::Spool, Way::Straight));
        assert!(!lane.is_plain() && lane.settle(0) && lane.is_plain());
    }

    #[test]
    fn after_a_restart_every_key_queues_behind_what_was_found() {
        let mut lane = Lane::found(3, true);
        assert_eq!((lane.way(&[7], 1, false), lane.way(&[], 1, false)), (Way::Spool, Way::Straight));
        assert!(!lane.settle(1));
        assert_eq!(lane.way(&[7], 1, false), Way::Spool);
        assert!(lane.settle(0));
        assert_eq!(lane.way(&[7], 1, false), Way::Straight);
    }

    #[test]
    fn beyond_the_keys_that_are_known_every_key_counts() {
        let mut lane = spooling();
        let keys: Vec<_> = (0..=MOST_KEYS as u64).collect();
        lane.enter(&keys, 1);
        assert_eq!(lane.way(&[u64::MAX], 1, false), Way::Spool);
        assert!(!lane.settle(0), "they are on their way");
        lane.entered(1);
        assert!(lane.settle(0));
        assert_eq!(lane.way(&[u64::MAX], 1, false), Way::Straight);
    }

    #[test]
    fn behind_the_last_spooled_jobs_some_wait_in_memory() {
        let mut lane = spooling();
        lane.enter(&[7], 1);
        lane.begin_hold();
        assert_eq!((lane.way(&[7], 1, false), lane.way(&[7], 1, true)), (Way::Hold, Way::Spool));
        assert_eq!(lane.way(&[7], MOST_HELD + 1, false), Way::Spool);
        assert!(lane.hold((Vec::new(), Storing::channel().0)).is_ok());
        assert_eq!(lane.end_hold().len(), 1);
        assert!(lane.hold((Vec::new(), Storing::channel().0)).is_err());
    }

    #[test]
    fn room_is_what_the_backend_lacks_and_nothing_before_it_was_read() {
        let mut lane = spooling();
        assert_eq!(lane.room(100, 1.0), 0);
        lane.saw(30);
        lane.moved.on_the_way = 20;
        assert_eq!((lane.room(100, 1.0), lane.room(40, 1.0), lane.room(100, 0.5)), (50, 0, 15));
        lane.was_told(35);
        assert_eq!((lane.room(100, 1.0), lane.room(100, 0.5), lane.backend_depth()), (45, 10, 35));
    }

    /// A backend and a spool, and what workers took.
    #[derive(Default)]
    struct World {
        lane: Lane,
        backend: Reading,
        spool: Reading,
        in_file: u64,
        consumed: u64,
        /// Handed over, with an answer cut off: whether the backend has them.
        cut: Option<(u64, bool)>,
    }

    impl World {
        fn step(&mut self, what: u8, jobs: u64) {
            let free = self.in_file - self.lane.moved.on_the_way;
            let handed = jobs.min(free);
            match what {
                0 => {
                    (self.spool.flows.stored, self.in_file) =
                        (self.spool.flows.stored + jobs, self.in_file + jobs)
                }
                1 => {
                    (self.spool.flows.expired, self.in_file) =
                        (self.spool.flows.expired + handed, self.in_file - handed)
                }
                2 => self.work(jobs.min(self.backend.backlog.waiting)),
                3 => {
                    (self.backend.flows.stored, self.backend.backlog.waiting) =
                        (self.backend.flows.stored + jobs, self.backend.backlog.waiting + jobs)
                }
                4 if self.cut.is_none() => self.drain(handed),
                5 if self.cut.is_none() => self.lose_the_answer(handed, jobs.is_multiple_of(2)),
                6 => self.send_again(),
                _ => {}
            }
        }

        fn work(&mut self, jobs: u64) {
            self.backend.backlog.waiting -= jobs;
            self.consumed += jobs;
        }

        fn drain(&mut self, jobs: u64) {
            self.backend.flows.stored += jobs;
            self.backend.backlog.waiting += jobs;
            self.lane.moved.stored += jobs;
            self.in_file -= jobs;
        }

        /// The backend has them and does not count them as stored by us, or it has not.
        fn lose_the_answer(&mut self, jobs: u64, has: bool) {
            self.lane.moved.on_the_way = jobs;
            self.backend.backlog.waiting += if has { jobs } else { 0 };
            self.cut = Some((jobs, has));
        }

        fn send_again(&mut self) {
            let Some((jobs, had)) = self.cut.take() else { return };
            self.lane.moved.on_the_way = 0;
            if had {
                self.lane.moved.landed += jobs;
                self.in_file -= jobs;
            } else {
                self.drain(jobs);
            }
        }

        fn seen(&self) -> Reading {
            self.lane.combined(&self.backend, &self.spool)
        }
    }

    /// Jobs that workers must have taken, by the law's books.
    fn balance(reading: &Reading) -> i128 {
        let flows = &reading.flows;
        i128::from(flows.stored) + i128::from(flows.replayed)
            - i128::from(flows.expired)
            - i128::from(flows.dead)
            - i128::from(reading.backlog.depth())
    }

    proptest! {
        #[test]
        fn whatever_the_drain_does_the_books_show_what_workers_took(
            recovered in 0..50_u64,
            steps in prop::collection::vec((0..7_u8, 1..20_u64), 0..80),
        ) {
            let mut world = World { lane: Lane::found(recovered, true), in_file: recovered, ..World::default() };
            world.spool.taken = Moment::from_nanos(1);
            let start = balance(&world.seen());
            for (what, jobs) in steps {
                world.step(what, jobs);
                let seen = world.seen();
                let unsettled = world.cut.map_or(0, |(jobs, had)| if had { jobs } else { 0 });
                prop_assert_eq!(balance(&seen) - start, i128::from(world.consumed) - i128::from(unsettled));
                let free = world.in_file - world.lane.moved.on_the_way;
                prop_assert_eq!(seen.backlog.depth(), world.backend.backlog.depth() + free);
            }
        }
    }

    #[test]
    fn a_job_that_was_there_before_is_counted_once() {
        let mut lane = Lane::found(1, true);
        let backend = Reading { backlog: Backlog { waiting: 1, ..Backlog::default() }, ..Reading::default() };
        let before = lane.combined(&backend, &Reading::default());
        assert_eq!(before.backlog.depth(), 2);
        lane.moved.dropped = 1;
        let after = lane.combined(&backend, &Reading::default());
        assert_eq!((after.backlog.depth(), balance(&after)), (1, balance(&before)));
    }
}
