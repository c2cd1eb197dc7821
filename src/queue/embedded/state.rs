//! What the queue knows in memory: lines, leases and counts of one instant, behind one short lock.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::backlog::{Backlog, Flows, Reading};
use crate::domain::fair::FairShare;
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::time::{Moment, Timestamp};
use crate::policy::Ordering;
use crate::queue::Totals;
use crate::queue::ages::Ages;
use crate::queue::embedded::lease::{LeaseStatus, LeaseToken, Nack};
use crate::queue::embedded::leases::{Held, Leases};
use crate::queue::embedded::line::{Known, Line, Waiting};
use crate::queue::embedded::polls::Polls;
use crate::queue::embedded::record::{DAMAGED, History};
use crate::queue::embedded::settings::TierRules;
use crate::queue::keys::index::Keys;
use crate::random;

/// How a leased job's turn ended; waits to be stored.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// Its tier.
    pub tier: Tier,
    /// Its number and key.
    pub job: Known,
    /// What became of it.
    pub end: End,
}

/// What became of a leased job.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// Done, or past its expiry: it leaves.
    Gone,
    /// Failed: it comes back when it is due.
    Retry(Timestamp, Box<History>),
    /// Failed for good at this time.
    Dead(Timestamp, Box<History>),
}

/// How the reader failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadFailure {
    /// The storage did: it may work again.
    Storage,
    /// The file's content is wrong: nothing heals that while the process runs.
    Damage,
}

/// Counts of one tier.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// What the world is told.
    pub totals: Totals,
    /// Dead letters put back.
    pub replayed: u64,
    /// Jobs that became dead letters.
    pub died: u64,
}

/// Everything in memory that more than one thread uses.
#[derive(Debug)]
pub(super) struct State {
    /// The waiting lines.
    pub lines: TierMap<Line>,
    /// The counts.
    pub counts: TierMap<Counts>,
    /// When jobs came in.
    pub ages: TierMap<Ages>,
    /// The idempotency keys.
    pub keys: Keys,
    /// Who waits for jobs.
    pub polls: Polls,
    /// The rules in force.
    pub rules: TierMap<TierRules>,
    /// What is wrong with the storage, if anything.
    pub outage: Option<String>,
    /// Set while the outage is one of reading.
    pub unreadable: Option<ReadFailure>,
    /// The queue is closed.
    pub closed: bool,
    /// When the writer wakes by itself.
    pub writer_wakes: Moment,
    leases: Leases,
    changes: VecDeque<Change>,
    fair: FairShare,
}

/// Lease changes that may wait for the disk; then acks are refused until some are stored.
pub(super) const MAX_CHANGES: usize = 200_000;

impl State {
    /// The state of a queue just opened.
    pub(super) fn new(
        lines: TierMap<Line>,
        counts: TierMap<Counts>,
        ages: TierMap<Ages>,
        keys: Keys,
        rules: TierMap<TierRules>,
    ) -> State {
        State {
            lines,
            counts,
            ages,
            keys,
            rules,
            polls: Polls::default(),
            outage: None,
            unreadable: None,
            closed: false,
            writer_wakes: Moment::ORIGIN,
            leases: Leases::default(),
            changes: VecDeque::new(),
            fair: FairShare::new(rules.map(|_, rules| rules.weight)),
        }
    }

    /// Puts new rules in force.
    pub(super) fn set_rules(&mut self, rules: TierMap<TierRules>) {
        self.rules = rules;
        self.fair.set_weights(rules.map(|_, rules| rules.weight));
        for (tier, line) in self.lines.iter_mut() {
            if rules[tier].ordering == Ordering::Pass {
                line.unpark();
            }
        }
    }

    /// The storage fails, or (`None`) works again.
    pub(super) fn set_outage(&mut self, detail: Option<String>) {
        self.unreadable = self.unreadable.filter(|_| detail.is_some());
        self.outage = detail;
    }

    /// What the reader met, and whether the file is damaged.
    pub(super) fn reader_outage(&self) -> Option<(String, bool)> {
        self.outage.clone().zip(self.unreadable.map(|failure| failure == ReadFailure::Damage))
    }

    /// Leases up to `max` jobs of these tiers, in fair shares.
    pub(super) fn lease(
        &mut self,
        tiers: TierSet,
        max: usize,
        period: Duration,
        now: (Moment, Timestamp),
    ) -> Vec<(LeaseToken, Tier, Waiting)> {
        let until = now.0.plus(period);
        let mut empty = TierSet::EMPTY;
        let mut leased = Vec::new();
        while leased.len() < max.min(self.leases.room() + leased.len()) {
            let Some(tier) = self.fair.next(|tier| tiers.contains(tier) && !empty.contains(tier)) else {
                break;
            };
            let Some(job) = self.lines[tier].take(self.rules[tier].ordering, now.1) else {
                empty = empty.with(tier);
                continue;
            };
            self.fair.handed_out(tier, 1);
            let token = LeaseToken(u128::from(random::number()) << 64 | u128::from(random::number()));
            let (key, expires_at, history) = (job.key, job.expires_at, job.history.clone());
            self.leases.insert(token, Held { tier, seq: job.seq, key, expires_at, history, until });
            let totals = &mut self.counts[tier].totals;
            totals.waiting = totals.waiting.saturating_sub(1);
            totals.leased += 1;
            leased.push((token, tier, job));
        }
        leased
    }

    /// Finishes leased jobs.
    pub(super) fn ack(&mut self, tokens: &[LeaseToken], now: (Moment, Timestamp)) -> Vec<LeaseStatus> {
        self.end_leases(now);
        let mut finish = |token: &LeaseToken| {
            let Some(held) = self.leases.remove(*token) else { return LeaseStatus::Unknown };
            let totals = &mut self.counts[held.tier].totals;
            totals.leased = totals.leased.saturating_sub(1);
            totals.done += 1;
            self.leave(&held, End::Gone);
            LeaseStatus::Ok
        };
        tokens.iter().map(&mut finish).collect()
    }

    /// Fails attempts.
    pub(super) fn nack(
        &mut self,
        tokens: &[LeaseToken],
        nack: &Nack,
        now: (Moment, Timestamp),
    ) -> Vec<LeaseStatus> {
        self.end_leases(now);
        let mut fail = |token: &LeaseToken| {
            let Some(held) = self.leases.remove(*token) else { return LeaseStatus::Unknown };
            self.fail(&held, nack, now.1);
            LeaseStatus::Ok
        };
        tokens.iter().map(&mut fail).collect()
    }

    /// Moves a job just leased to the dead letters: its record is damaged, nobody attempted it.
    pub(super) fn condemn(&mut self, token: LeaseToken, now: Timestamp) {
        let Some(held) = self.leases.remove(token) else { return };
        let counts = &mut self.counts[held.tier];
        counts.totals.leased = counts.totals.leased.saturating_sub(1);
        counts.totals.dead += 1;
        counts.died += 1;
        let before = held.history.as_deref().cloned();
        let history =
            before.unwrap_or(History { failed: 0, earlier: 0, first_failed_at: now, reason: String::new() });
        let history = History { reason: DAMAGED.into(), ..history };
        self.leave(&held, End::Dead(now, Box::new(history)));
    }

    /// Lets leases end this long from now.
    pub(super) fn extend(
        &mut self,
        tokens: &[LeaseToken],
        period: Duration,
        now: (Moment, Timestamp),
    ) -> Vec<LeaseStatus> {
        self.end_leases(now);
        let known = |ok: bool| if ok { LeaseStatus::Ok } else { LeaseStatus::Unknown };
        tokens.iter().map(|token| known(self.leases.extend(*token, period, now.0))).collect()
    }

    /// Lets time pass: leases end as failed attempts, retries fall due.
    pub(super) fn advance(&mut self, now: (Moment, Timestamp)) {
        self.end_leases(now);
        for tier in Tier::ALL {
            let idle = self.lines[tier].is_idle();
            if self.lines[tier].fall_due(now.1) && idle {
                self.fair.rejoined(tier);
            }
        }
    }

    /// How long nothing falls due, seen from now.
    pub(super) fn quiet(&self, now: (Moment, Timestamp)) -> Option<Duration> {
        let retry = self.lines.iter().filter_map(|(_, line)| line.next_due()).min();
        let lease = self.leases.next_end().map(|end| end.since(now.0));
        lease.into_iter().chain(retry.map(|due| due.since(now.1))).min()
    }

    /// Whether `more` lease changes would be more than may wait.
    pub(super) fn changes_full(&self, more: usize) -> bool {
        self.changes.len() + more > MAX_CHANGES
    }

    /// How many lease changes wait for the disk.
    pub(super) fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Takes the oldest lease changes for a transaction.
    pub(super) fn take_changes(&mut self, max: usize) -> Vec<Change> {
        let count = self.changes.len().min(max);
        self.changes.drain(..count).collect()
    }

    /// Puts back changes whose transaction failed.
    pub(super) fn put_back(&mut self, changes: Vec<Change>) {
        changes.into_iter().rev().for_each(|change| self.changes.push_front(change));
    }

    /// Puts changes behind all others; they belong to different jobs, so their order is free.
    pub(super) fn put_last(&mut self, changes: Vec<Change>) {
        self.changes.extend(changes);
    }

    /// The disk knows these changes.
    pub(super) fn changes_stored(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change.end {
                End::Retry(due, _) => self.lines[change.tier].retry_stored(change.job, due),
                End::Gone | End::Dead(..) => self.lines[change.tier].end_stored(change.job.seq),
            }
        }
    }

    /// Jobs of a tier were stored.
    pub(super) fn stored(&mut self, tier: Tier, jobs: Vec<Waiting>, now: Timestamp) {
        let count = jobs.len() as u64;
        if self.lines[tier].is_idle() {
            self.fair.rejoined(tier);
        }
        self.lines[tier].stored(jobs.into_iter());
        self.counts[tier].totals.stored += count;
        self.counts[tier].totals.waiting += count;
        self.ages[tier].record(self.counts[tier].came_in(), now);
    }

    /// A dead letter waits again, as the line's last job; its record is on disk only.
    pub(super) fn replayed(&mut self, tier: Tier, tail: i64, now: Timestamp) {
        if self.lines[tier].is_idle() {
            self.fair.rejoined(tier);
        }
        self.lines[tier].stored_unseen(tail);
        let counts = &mut self.counts[tier];
        counts.totals.dead = counts.totals.dead.saturating_sub(1);
        counts.totals.waiting += 1;
        counts.replayed += 1;
        self.ages[tier].record(self.counts[tier].came_in(), now);
    }

    /// A dead letter is gone.
    pub(super) fn purged(&mut self, tier: Tier) {
        let totals = &mut self.counts[tier].totals;
        totals.dead = totals.dead.saturating_sub(1);
        totals.purged += 1;
    }

    /// A waiting job was dropped past its expiry.
    pub(super) fn dropped(&mut self, tier: Tier, job: Known, due: Option<Timestamp>) {
        self.lines[tier].dropped(job, due);
        let totals = &mut self.counts[tier].totals;
        totals.waiting = totals.waiting.saturating_sub(1);
        totals.expired += 1;
    }

    /// Jobs of a tier, waiting and leased.
    pub(super) fn depth(&self, tier: Tier) -> u64 {
        let totals = &self.counts[tier].totals;
        totals.waiting + totals.leased
    }

    /// Backlog and flows of every tier, of this instant.
    pub(super) fn readings(&mut self, now: (Moment, Timestamp)) -> TierMap<Reading> {
        TierMap::from_fn(|tier| {
            let Counts { totals, replayed, died } = self.counts[tier];
            let taken = self.counts[tier].came_in().saturating_sub(totals.waiting);
            let ages = &mut self.ages[tier];
            ages.forget(taken);
            let age = |ahead| (totals.waiting > 0).then(|| ages.age(ahead, now.1));
            Reading {
                backlog: Backlog {
                    waiting: totals.waiting,
                    leased: totals.leased,
                    oldest_age: age(taken),
                    p99_age: age(taken + totals.waiting / 100),
                    headroom: None,
                },
                flows: Flows {
                    stored: totals.stored,
                    replayed,
                    expired: totals.expired,
                    dead: died,
                    lost: 0,
                },
                taken: now.0,
            }
        })
    }

    fn end_leases(&mut self, now: (Moment, Timestamp)) {
        let nack = Nack { reason: Some(LEASE_EXPIRED.into()), ..Nack::default() };
        while !self.changes_full(1) {
            let Some(held) = self.leases.take_ended(now.0) else { return };
            self.fail(&held, &nack, now.1);
        }
    }

    fn fail(&mut self, held: &Held, nack: &Nack, now: Timestamp) {
        let retry = self.rules[held.tier].retry;
        let counts = &mut self.counts[held.tier];
        counts.totals.leased = counts.totals.leased.saturating_sub(1);
        let reason = nack.reason.as_deref().unwrap_or(if nack.dead { DECLARED_DEAD } else { FAILED });
        let history = Box::new(History::after(held.history.as_deref(), shortened(reason), now));
        let end = if nack.dead || history.failed >= retry.attempts {
            counts.totals.dead += 1;
            counts.died += 1;
            End::Dead(now, history)
        } else if self.lines[held.tier].is_past(held.expires_at, now) {
            counts.totals.expired += 1;
            End::Gone
        } else {
            counts.totals.waiting += 1;
            let doublings = history.failed.saturating_sub(1).min(31);
            let backoff = retry.backoff.saturating_mul(1 << doublings).min(retry.max_backoff);
            End::Retry(now.plus(nack.delay.unwrap_or(backoff)), history)
        };
        self.leave(held, end);
    }

    fn leave(&mut self, held: &Held, end: End) {
        // A key is held on while a retry is on its way to disk.
        if !matches!(end, End::Retry(..)) {
            self.lines[held.tier].finished(held.key);
        }
        let job = Known { seq: held.seq, key: held.key };
        self.changes.push_back(Change { tier: held.tier, job, end });
    }
}

impl Counts {
    /// Jobs that ever came into the line, as far as this process knows.
    pub(super) const fn came_in(&self) -> u64 {
        self.totals.recovered + self.totals.stored + self.replayed
    }
}

/// The part of a reason that is kept.
fn shortened(reason: &str) -> String {
    reason.get(..reason.floor_char_boundary(MAX_REASON_BYTES)).unwrap_or_default().to_owned()
}

/// Bytes kept of a worker's reason: enough for a message, too few for a payload.
const MAX_REASON_BYTES: usize = 1024;

const LEASE_EXPIRED: &str = "the lease expired";
const DECLARED_DEAD: &str = "declared dead by the worker";
const FAILED: &str = "failed without a reason";
