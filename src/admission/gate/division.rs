//! The gate's part of fair shares: whose tokens and whose room these are, and who returns when.

use std::time::Duration;

use crate::admission::decision::Reason;
use crate::admission::gate::TierGate;
use crate::admission::retry_after::Promises;
use crate::admission::tenants::asker::Asker;
use crate::admission::tenants::shares::Promised;
use crate::domain::time::Moment;
use crate::domain::units::Cost;

impl TierGate {
    /// Lets those go who have not asked for a while: their tokens are anybody's.
    pub fn sweep(&mut self, now: Moment) {
        let left = self.shares.sweep(now);
        self.take_over(left, now);
    }

    /// Forgets the tenant at this place, which is another's from now on.
    pub fn forget(&mut self, place: usize, now: Moment) {
        let left = self.shares.forget(place);
        self.take_over(left, now);
    }

    /// Notes who asks, and where several do, lets the tokens go where they belong.
    pub(super) fn attend(&mut self, asker: Asker, now: Moment) {
        let lent = self.shares.note(asker, self.lendable(), now);
        if self.shares.is_divided() {
            self.bucket.take_jobs(lent as f64);
            if self.is_pacing() {
                let room = self.window.room() / self.weight;
                let dealt = self.shares.deal(self.bucket.tokens(), room, self.reserve());
                self.bucket.take_jobs(dealt as f64);
            }
        }
    }

    /// Tokens that the bucket lends to the purse of somebody new, so that a rare caller is not refused for the others' sake.
    fn lendable(&self) -> f64 {
        self.bucket.tokens() + (LOAN_SECONDS * self.bucket.rate()).max(1.0)
    }

    /// Room in the window that is kept for those who have tokens of their own, in jobs of this gate; a window of a few
    /// jobs has none to keep.
    fn reserve(&self) -> f64 {
        let limit = self.opening.limit / self.weight;
        if limit < LEAST_RESERVED_WINDOW { 0.0 } else { (RESERVED_WINDOW * limit).max(1.0) }
    }

    pub(super) fn has_room(&self, asker: Asker, cost: Cost) -> bool {
        if !self.window.fits(cost) {
            return false;
        }
        if !self.shares.is_divided() || !self.is_pacing() || self.shares.covers(asker, cost) {
            return true;
        }
        let kept = self.shares.kept_for_others(asker, self.reserve());
        self.window.room() / self.weight - kept >= f64::from(cost.count())
    }

    pub(super) fn has_tokens(&self, asker: Asker, cost: Cost) -> bool {
        if !self.shares.is_divided() {
            return self.bucket.holds(cost);
        }
        let rest = f64::from(cost.count()) - self.shares.purse(asker) as f64;
        self.shares.covers(asker, cost) || self.bucket.holds_jobs(rest)
    }

    fn take_over(&mut self, left: i64, now: Moment) {
        if left != 0 {
            self.bucket.refill(now);
            self.bucket.give_back_jobs(left as f64);
        }
    }

    pub(super) fn promise(
        &mut self,
        reason: Reason,
        asker: Asker,
        cost: Cost,
        not_before: f64,
        now: Moment,
    ) -> Duration {
        let bounds = self.settings.retry_after;
        let most = Promises::reach(bounds.max);
        match reason {
            Reason::Throttled if self.shares.is_divided() => {
                let earliest = self.shares.earliest(asker, not_before, now);
                let promised = self.promises.promise_to_one_of_many(cost, earliest, bounds, now);
                let terms = Promised { spare: self.opening.spare, earliest, most };
                self.shares.promised(asker, cost, terms, now);
                promised
            }
            Reason::TenantQuota { .. } => self.promises.promise_to_one_of_many(cost, not_before, bounds, now),
            Reason::Throttled => {
                let promised = self.promises.promise(cost, not_before, bounds, now);
                self.shares.told_alone(asker, promised.as_secs_f64().min(most), now);
                promised
            }
            Reason::Shed { .. } | Reason::QueueFull | Reason::SignalStale => {
                self.promises.promise(cost, not_before, bounds, now)
            }
        }
    }

    /// Tokens for which the asker may ask one by one.
    pub(super) fn tokens_of(&self, asker: Asker) -> f64 {
        if !self.shares.is_divided() {
            return self.bucket.tokens();
        }
        let common = if self.shares.is_satisfied() { self.bucket.tokens().max(0.0) } else { 0.0 };
        self.shares.purse(asker) as f64 + common
    }
}

/// Seconds of the rate that those who are new may be lent before it is earned.
const LOAN_SECONDS: f64 = 0.5;

/// Part of the window that is kept for those who have tokens of their own; above the target, which the window is well
/// above, it keeps nobody from it.
const RESERVED_WINDOW: f64 = 0.02;

/// Jobs of the window from which on there is something to keep.
const LEAST_RESERVED_WINDOW: f64 = 8.0;
