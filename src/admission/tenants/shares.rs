//! Max-min fair shares of one tier by weight: the tier's tokens go to the tenants' purses, one each in turn.
//!
//! While only one tenant asks, nothing here acts. With the second one, each tenant has a purse of about a second of its
//! share, and tokens of the tier's bucket move to the purses that are not full, by stride scheduling (Waldspurger 1995).
//! A tenant that asks for less than its share finds its purse filled whatever the others ask for; the others get what it
//! leaves, by weight; and where all purses are full the bucket is anybody's, as ever. Tokens move and are never made:
//! what all are let in together is what the bucket lets in.

use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::time::Duration;

use crate::admission::tenants::asker::Asker;
use crate::admission::tenants::pace::Pace;
use crate::domain::time::Moment;
use crate::domain::units::Cost;

/// The tenants of one tier, their purses and whose turn it is.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    members: Vec<Member>,
    /// Those whose purses may not be full, by whose turn it is. A node may be out of date: the member's `turn` counts.
    line: BinaryHeap<Turn>,
    /// The turn that was served last.
    front: u128,
    /// Members that asked of late, and their weights together.
    active: usize,
    weight: u64,
    /// Tokens in all purses that hold any.
    held: u64,
    /// Tokens that all purses are to hold together.
    fund: f64,
    /// Weights of those with promised returns that are not due.
    waiting: u64,
    /// Where the next sweep begins.
    hand: usize,
}

/// One tenant in one tier.
#[derive(Clone, Copy, Debug, Default)]
struct Member {
    weight: u32,
    /// Tokens it may use whatever the others do; negative after a cost beyond the whole purse.
    purse: i64,
    turn: u128,
    seen: Moment,
    told: Pace,
    active: bool,
    in_line: bool,
    waiting: bool,
}

/// A place in the line; the least `turn` is the greatest in the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    turn: std::cmp::Reverse<u128>,
    place: std::cmp::Reverse<u32>,
}

impl Shares {
    /// Notes who asks. One that is new beside others finds its purse filled from what can be lent; gives how many tokens
    /// that took.
    pub fn note(&mut self, asker: Asker, lendable: f64, now: Moment) -> u64 {
        if self.members.len() <= asker.place {
            self.members.resize(asker.place + 1, Member::default());
        }
        let lent = self.enter(asker, lendable, now);
        if self.is_divided() {
            self.line_up(asker.place);
        }
        lent
    }

    fn enter(&mut self, asker: Asker, lendable: f64, now: Moment) -> u64 {
        let Some(member) = self.members.get_mut(asker.place) else { return 0 };
        member.seen = member.seen.max(now);
        if member.active && member.weight == asker.weight {
            return 0;
        }
        let known = u64::from(member.weight);
        if member.waiting {
            self.waiting = self.waiting - known + u64::from(asker.weight);
        }
        member.weight = asker.weight;
        if member.active {
            self.weight = self.weight - known + u64::from(asker.weight);
            return 0;
        }
        member.active = true;
        member.turn = member.turn.max(self.front);
        self.active += 1;
        self.weight += u64::from(asker.weight);
        if !self.is_divided() {
            return 0;
        }
        let lent = (self.purse_of(asker.weight) as f64).min(lendable).max(0.0) as u64;
        if let Some(member) = self.members.get_mut(asker.place) {
            member.purse = lent as i64;
        }
        self.held += lent;
        lent
    }

    /// Whether there is anybody to share with.
    pub const fn is_divided(&self) -> bool {
        self.active > 1
    }

    /// Whether everybody who asked of late has a full purse.
    pub fn is_satisfied(&self) -> bool {
        self.line.is_empty()
    }

    /// Moves tokens to the purses while there are whole ones, and while the window has room beyond what is kept in it for
    /// those that purses hold; gives how many.
    pub fn deal(&mut self, tokens: f64, room: f64, reserve: f64) -> u64 {
        let mut dealt = 0_u64;
        while dealt < MOST_DEALT
            && tokens - dealt as f64 >= 1.0
            && room - (self.held as f64).min(reserve) >= 1.0
            && self.serve_next()
        {
            dealt += 1;
        }
        dealt
    }

    /// Gives a token to the one whose turn it is.
    fn serve_next(&mut self) -> bool {
        let (fund, weight) = (self.fund, self.weight);
        while let Some(mut head) = self.line.peek_mut() {
            let Some(member) = self.members.get_mut(head.place.0 as usize) else {
                PeekMut::pop(head);
                continue;
            };
            if !member.active || member.purse >= purse_of(fund, weight, member.weight) {
                member.in_line = false;
                PeekMut::pop(head);
                continue;
            }
            if head.turn.0 != member.turn {
                head.turn.0 = member.turn;
                continue;
            }
            self.front = member.turn;
            member.turn += stride(member.weight);
            head.turn.0 = member.turn;
            member.purse += 1;
            self.held += u64::from(member.purse > 0);
            return true;
        }
        false
    }

    /// Whether the asker's purse lets the cost in: it holds it, or is full and the cost is more than any purse.
    pub fn covers(&self, asker: Asker, cost: Cost) -> bool {
        let price = i64::from(cost.count()).min(self.purse_of(asker.weight));
        self.purse(asker) >= price
    }

    /// Tokens of the asker's own.
    pub fn purse(&self, asker: Asker) -> i64 {
        self.members.get(asker.place).map_or(0, |member| member.purse)
    }

    /// Room in the window that is kept for the others: as much as their purses hold, and no more than `reserve`.
    pub fn kept_for_others(&self, asker: Asker, reserve: f64) -> f64 {
        (self.held as f64 - self.purse(asker).max(0) as f64).max(0.0).min(reserve)
    }

    /// Pays for a cost that was let in; gives what the bucket has to pay of it.
    pub fn pay(&mut self, asker: Asker, cost: Cost) -> f64 {
        let covered = self.covers(asker, cost);
        let price = i64::from(cost.count());
        let Some(member) = self.members.get_mut(asker.place) else { return price as f64 };
        let from_purse = if covered { price } else { member.purse.clamp(0, price) };
        let rest = price - from_purse;
        self.held -= member.purse.max(0).min(from_purse).unsigned_abs();
        member.purse -= from_purse;
        if !self.line.is_empty() {
            member.turn += stride(member.weight) * u128::from(rest.unsigned_abs());
        }
        self.line_up(asker.place);
        rest as f64
    }

    /// Puts back what an admitted cost did not use; gives what belongs to the bucket.
    pub fn give_back(&mut self, place: usize, cost: Cost) -> f64 {
        let price = i64::from(cost.count());
        let (fund, weight) = (self.fund, self.weight);
        let Some(member) = self.members.get_mut(place).filter(|member| member.active) else {
            return price as f64;
        };
        let missing = purse_of(fund, weight, member.weight) - member.purse;
        let to_purse = missing.clamp(0, price);
        let before = member.purse.max(0);
        member.purse += to_purse;
        self.held += (member.purse.max(0) - before).unsigned_abs();
        (price - to_purse) as f64
    }

    /// Sets the rate that is shared and the depth that the window allows, in jobs: what the purses hold together follows.
    pub const fn set(&mut self, rate: f64, limit: f64) {
        self.fund = (rate * PURSE_SECONDS).min(limit * PURSE_OF_WINDOW).max(0.0);
    }

    /// The earliest return of a refused asker by what it was promised before, in seconds from now.
    pub fn earliest(&self, asker: Asker, not_before: f64, now: Moment) -> f64 {
        let ahead = self.members.get(asker.place).map_or(0.0, |member| member.told.ahead(now));
        not_before.max(ahead)
    }

    /// Notes a promised return: the next one follows at the asker's share of the spare rate, among those who wait.
    pub fn promised(&mut self, asker: Asker, cost: Cost, terms: Promised, now: Moment) {
        let Some(member) = self.members.get_mut(asker.place) else { return };
        if !std::mem::replace(&mut member.waiting, true) {
            self.waiting += u64::from(member.weight);
        }
        let part = f64::from(member.weight) / self.waiting.max(1) as f64;
        member.told.promised(cost, terms.spare * part, terms.earliest, terms.most, now);
    }

    /// Notes a return promised while nobody else asked: from there the next one follows, should others come.
    pub fn told_alone(&mut self, asker: Asker, seconds: f64, now: Moment) {
        let Some(member) = self.members.get_mut(asker.place) else { return };
        member.told.stands_at(seconds, now);
        if !std::mem::replace(&mut member.waiting, true) {
            self.waiting += u64::from(member.weight);
        }
    }

    /// Lets those go who have not asked for a while; gives the tokens that they leave.
    pub fn sweep(&mut self, now: Moment) -> i64 {
        let mut left = 0;
        for _ in 0..self.members.len().min(MOST_SWEPT) {
            self.hand = if self.hand + 1 < self.members.len() { self.hand + 1 } else { 0 };
            let place = self.hand;
            let Some(member) = self.members.get_mut(place) else { break };
            if member.waiting && !member.told.is_ahead(now) {
                member.waiting = false;
                self.waiting -= u64::from(member.weight);
            }
            if member.active && now.since(member.seen) > IDLE {
                left += self.leave(place);
            }
        }
        if !self.is_divided() && self.held > 0 {
            left += (0..self.members.len()).map(|place| self.empty(place)).sum::<i64>();
        }
        left
    }

    /// Forgets a tenant altogether: its place is another's now. Gives the tokens that it leaves.
    pub fn forget(&mut self, place: usize) -> i64 {
        let left = self.leave(place);
        if let Some(member) = self.members.get_mut(place) {
            if member.waiting {
                self.waiting -= u64::from(member.weight);
            }
            // What stands in the line is found out of date there.
            *member = Member { in_line: member.in_line, ..Member::default() };
        }
        left
    }

    fn leave(&mut self, place: usize) -> i64 {
        let Some(member) = self.members.get_mut(place).filter(|member| member.active) else { return 0 };
        member.active = false;
        self.active -= 1;
        self.weight -= u64::from(member.weight);
        self.empty(place)
    }

    fn empty(&mut self, place: usize) -> i64 {
        let Some(member) = self.members.get_mut(place) else { return 0 };
        let purse = std::mem::take(&mut member.purse);
        self.held -= purse.max(0).unsigned_abs();
        purse
    }

    fn line_up(&mut self, place: usize) {
        let (fund, weight, front) = (self.fund, self.weight, self.front);
        let Some(member) = self.members.get_mut(place) else { return };
        if !member.in_line && member.purse < purse_of(fund, weight, member.weight) {
            member.in_line = true;
            // It claims nothing for the time it wanted nothing.
            member.turn = member.turn.max(front);
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            self.line.push(Turn { turn: std::cmp::Reverse(member.turn), place: std::cmp::Reverse(place) });
        }
    }

    fn purse_of(&self, weight: u32) -> i64 {
        purse_of(self.fund, self.weight, weight)
    }
}

/// How a promised return is paced.
#[derive(Clone, Copy, Debug)]
pub struct Promised {
    /// The tier's rate for returns, in jobs per second.
    pub spare: f64,
    /// Seconds before which it was not promised.
    pub earliest: f64,
    /// Seconds beyond which returns are spread and not paced.
    pub most: f64,
}

/// What the purse of such a weight is to hold: at least one job.
fn purse_of(fund: f64, all: u64, weight: u32) -> i64 {
    ((fund * f64::from(weight) / all.max(1) as f64) as i64).max(1)
}

/// The way from one turn to the next: exact for every weight up to 16 and what divides with them.
fn stride(weight: u32) -> u128 {
    STRIDE_OF_ONE / u128::from(weight.max(1))
}

/// 720,720 is the least common multiple of 1 to 16; the power makes the rest of other weights count for nothing. A `u128`
/// takes 10^20 jobs of it.
const STRIDE_OF_ONE: u128 = 720_720 << 40;

/// Seconds of its share that a purse holds: what comes at once of what is less than the share over a second.
const PURSE_SECONDS: f64 = 1.0;

/// Part of the window that all purses hold together at most: what they let in at once must not carry the depth far past
/// its target.
const PURSE_OF_WINDOW: f64 = 0.02;

/// Who has not asked for so long shares no more.
const IDLE: Duration = Duration::from_secs(10);

/// Tokens moved by one decision at most, so that none is slow; the next one goes on.
const MOST_DEALT: u64 = 64;

/// Members looked at in one control step: 10,000 in a second.
const MOST_SWEPT: usize = 1_024;
