//! What has happened to a tier's jobs since the start, from what was stored and what was seen.

use crate::domain::backlog::{Backlog, Flows};
use crate::domain::totals::Totals;

/// Counts of one tier. Workers acknowledge to the backend, not to the gateway: what they did is what is missing in the balance.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// A reading was taken.
    seen: bool,
    /// Dead letters were counted.
    dead_known: bool,
    totals: Totals,
    replayed: u64,
    died: u64,
}

impl Counts {
    /// Whether a reading was taken yet.
    pub(super) const fn seen(&self) -> bool {
        self.seen
    }

    /// The tier's depth, as far as is known: of the last reading, with what was stored since.
    pub(super) const fn depth(&self) -> u64 {
        self.totals.waiting.saturating_add(self.totals.leased)
    }

    /// Totals of this moment.
    pub(super) const fn totals(&self) -> Totals {
        self.totals
    }

    /// Notes jobs that the backend confirmed.
    pub(super) const fn stored(&mut self, jobs: u64) {
        self.totals.stored = self.totals.stored.saturating_add(jobs);
        self.totals.waiting = self.totals.waiting.saturating_add(jobs);
    }

    /// Notes dead letters that wait in their queue again.
    pub(super) const fn replayed(&mut self, letters: u64) {
        self.replayed = self.replayed.saturating_add(letters);
        // What died since the last reading is in the queue yet, as far as is known.
        let moved = if letters < self.totals.dead { letters } else { self.totals.dead };
        self.totals.dead -= moved;
        self.totals.waiting = self.totals.waiting.saturating_add(moved);
    }

    /// Notes dead letters that were deleted.
    pub(super) const fn purged(&mut self, letters: u64) {
        self.totals.purged = self.totals.purged.saturating_add(letters);
        let gone = if letters < self.totals.dead { letters } else { self.totals.dead };
        self.totals.dead -= gone;
        self.unseen(letters - gone);
    }

    /// Jobs that died and were purged since the last reading are among the others yet, as far as is known: among those
    /// that workers held.
    const fn unseen(&mut self, letters: u64) {
        let held = if letters < self.totals.leased { letters } else { self.totals.leased };
        self.totals.leased -= held;
        let waited = if letters - held < self.totals.waiting { letters - held } else { self.totals.waiting };
        self.totals.waiting -= waited;
        self.totals.recovered = self.totals.recovered.saturating_add(letters - held - waited);
    }

    /// Notes a reading: what stood in the queue and among the dead letters after all that was noted so far.
    pub(super) fn read(&mut self, backlog: &Backlog, dead: u64) -> Flows {
        let stored = self.totals.stored;
        self.read_as_of(backlog, Gone { dead: Some(dead), lost: 0 }, stored)
    }

    /// Notes a reading of an instant at which the backend had taken in so many jobs of ours: fewer than are confirmed by
    /// now, or more, where confirmations are on their way. What is missing in the balance was done by workers; what is too
    /// much came from other producers, and counts as found.
    pub(super) fn read_as_of(&mut self, backlog: &Backlog, gone: Gone, stored: u64) -> Flows {
        let totals = &mut self.totals;
        self.seen = true;
        let dead = gone.dead.unwrap_or(totals.dead);
        // What was there before us died of nothing that we saw, however late it is told.
        if gone.dead.is_some() && !std::mem::replace(&mut self.dead_known, true) {
            totals.dead_at_start = dead;
        }
        totals.waiting = backlog.waiting.saturating_add(totals.stored).saturating_sub(stored);
        (totals.leased, totals.dead, totals.lost) = (backlog.leased, dead, gone.lost);
        let came = totals.recovered + totals.stored + totals.dead_at_start;
        let is = totals.waiting + totals.leased + dead + totals.purged + totals.done + gone.lost;
        totals.done += came.saturating_sub(is);
        totals.recovered += is.saturating_sub(came);
        let died = (dead + totals.purged + self.replayed).saturating_sub(totals.dead_at_start);
        self.died = self.died.max(died);
        Flows { stored, replayed: self.replayed, expired: 0, dead: self.died, lost: gone.lost }
    }
}

/// Jobs that are in the queue no more and that no worker has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// Dead letters now, where that is known yet.
    pub dead: Option<u64>,
    /// Deleted by the backend's retention before a worker had them, since the start.
    pub lost: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(waiting: u64, leased: u64) -> Backlog {
        Backlog { waiting, leased, ..Backlog::default() }
    }

    fn assert_balanced(counts: &Counts) {
        let t = counts.totals();
        let came = t.recovered + t.stored + t.dead_at_start;
        assert_eq!(came, t.waiting + t.leased + t.done + t.expired + t.dead + t.purged + t.lost, "{t:?}");
    }

    #[test]
    fn what_is_missing_was_done() {
        let mut counts = Counts::default();
        counts.read(&backlog(5, 2), 3);
        assert_eq!((counts.totals().recovered, counts.totals().dead_at_start), (7, 3));
        counts.stored(10);
        assert_eq!(counts.depth(), 17);
        assert_balanced(&counts);
        let flows = counts.read(&backlog(6, 4), 4);
        assert_eq!((flows.stored, flows.dead), (10, 1));
        assert_eq!(counts.totals().done, 6);
        assert_balanced(&counts);
    }

    #[test]
    fn letters_that_are_told_late_were_there_before() {
        let mut counts = Counts::default();
        let unknown = Gone { dead: None, lost: 0 };
        assert_eq!(counts.read_as_of(&backlog(5, 0), unknown, 0).dead, 0);
        assert_eq!(counts.read(&backlog(5, 0), 1000).dead, 0, "nobody died");
        let totals = counts.totals();
        assert_eq!((totals.dead_at_start, totals.recovered, totals.done), (1000, 5, 0));
        assert_eq!(counts.read(&backlog(4, 0), 1001).dead, 1);
        assert_balanced(&counts);
    }

    #[test]
    fn a_replayed_and_a_purged_letter_keep_the_balance() {
        let mut counts = Counts::default();
        counts.read(&backlog(0, 0), 0);
        counts.stored(4);
        counts.read(&backlog(0, 2), 2);
        counts.replayed(1);
        counts.purged(1);
        assert_balanced(&counts);
        let flows = counts.read(&backlog(1, 2), 0);
        assert_eq!((flows.replayed, flows.dead, counts.totals().done), (1, 2, 0));
        assert_balanced(&counts);
        counts.replayed(1);
        counts.purged(2);
        assert_balanced(&counts);
    }

    #[test]
    fn jobs_of_other_producers_count_as_found_and_done_never_falls() {
        let mut counts = Counts::default();
        counts.read(&backlog(0, 0), 0);
        counts.stored(10);
        counts.read(&backlog(0, 0), 0);
        counts.read(&backlog(50, 0), 0);
        assert_eq!((counts.totals().done, counts.totals().recovered), (10, 50));
        assert_balanced(&counts);
    }
}
