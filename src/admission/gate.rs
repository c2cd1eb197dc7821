//! The gate of one tier: the checks of one decision, in their order, and the refusal of the first that fails.

mod division;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::admission::checks::{Check, Checks, Numbers};
use crate::admission::decision::{Decision, RateLimit, Reason, Refusal};
use crate::admission::retry_after::Promises;
use crate::admission::settings::{RetentionSettings, RetryAfterBounds, ShedSettings};
use crate::admission::shed::{Headroom, RetentionSwitch, ShedSwitch};
use crate::admission::tenants::asker::Asker;
use crate::admission::tenants::shares::Shares;
use crate::admission::token_bucket::TokenBucket;
use crate::admission::window::Window;
use crate::domain::time::Moment;
use crate::domain::units::{Cost, Rate};

/// What the policy decides about a gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateSettings {
    /// The hard bound on the depth, in jobs.
    pub max_depth: u64,
    /// Thresholds at which the tier is refused whole.
    pub shed: Option<ShedSettings>,
    /// Thresholds of the headroom before retention at which it is refused whole too.
    pub retention: Option<RetentionSettings>,
    /// The bounds of the promised returns.
    pub retry_after: RetryAfterBounds,
}

/// How far the controller opens the gate until it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Opening {
    /// The admission rate.
    pub rate: Rate,
    /// Jobs of unused rate that the bucket keeps.
    pub burst: f64,
    /// Depth, in jobs, below which the window alone bounds and nothing is paced; zero paces always.
    pub paced_from: f64,
    /// Predicted depth that admission may reach, in jobs; infinite is no window.
    pub limit: f64,
    /// Modelled drain, in jobs per second.
    pub drain: f64,
    /// What the workers are known to do, in jobs per second; zero if nothing is known.
    pub capacity: f64,
    /// What they are expected to do, in jobs per second, where that is not known.
    pub expected: f64,
    /// Rate at which promised returns can be taken, in jobs per second.
    pub spare: f64,
    /// This gate's part of what all replicas' gates let in together, above 0 and up to 1. Rate, burst and spare are of this
    /// part already; limit, drain, capacity and expected are of all.
    pub share: f64,
    /// Refuse everything: the signal is lost.
    pub shut: bool,
    /// Refuse nothing: jobs go to the spool, which has a bound of its own. They are counted all the same.
    pub spooling: bool,
}

/// The gate of one tier. [`decide`](Self::decide) takes from bucket and window together or from neither.
#[derive(Clone, Debug)]
pub struct TierGate {
    settings: GateSettings,
    opening: Opening,
    bucket: TokenBucket,
    window: Window,
    shed: ShedSwitch,
    retention: RetentionSwitch,
    promises: Promises,
    shares: Shares,
    /// Last depth read and all that was let in and not seen in it: an upper bound, since it counts no drain.
    depth: u64,
    /// Jobs let in less those given back, since the gate was made.
    entered: u64,
    /// Jobs asked for since the gate was made, whatever the answer.
    asked: u64,
    /// Of those, jobs that bucket or window refused.
    held_back: u64,
    /// Jobs that the other replicas are presumed to have let in since they were last heard of: in proportion to what this
    /// gate did, by their shares. They are in the window's level, and count against the hard bound.
    presumed: f64,
    /// Jobs that they may have let in besides: they count against the hard bound alone.
    besides: f64,
    /// Jobs that all replicas let in while this gate lets one in.
    weight: f64,
}

impl TierGate {
    /// A gate before an empty queue. The seed feeds the jitter of its promises.
    pub fn new(settings: GateSettings, opening: Opening, seed: u64, now: Moment) -> TierGate {
        let mut gate = TierGate {
            settings,
            opening,
            bucket: TokenBucket::full(opening.rate, opening.burst, now),
            window: Window::empty(opening.limit, now),
            shed: ShedSwitch::default(),
            retention: RetentionSwitch::default(),
            promises: Promises::new(seed, now),
            shares: Shares::default(),
            depth: 0,
            entered: 0,
            asked: 0,
            held_back: 0,
            presumed: 0.0,
            besides: 0.0,
            weight: 1.0,
        };
        gate.set(opening, now);
        gate
    }

    /// Decides one request. `yields` is set while this tier must yield to a higher one: the seconds until that one is
    /// expected below its bound.
    pub fn decide(&mut self, asker: Asker, cost: Cost, yields: Option<f64>, now: Moment) -> Decision {
        match self.check(asker, cost, yields, now) {
            Some(reason) => Decision::Refused(self.refuse(reason, asker, cost, yields, now)),
            None => {
                self.asked = self.asked.saturating_add(u64::from(cost.count()));
                Decision::Admitted(self.admit(asker, cost))
            }
        }
    }

    /// The reason of the first check that would refuse the cost now, if one would. Takes nothing.
    pub fn check(&mut self, asker: Asker, cost: Cost, yields: Option<f64>, now: Moment) -> Option<Reason> {
        self.window.advance(now);
        self.bucket.refill(now);
        self.attend(asker, now);
        self.first_failing(asker, cost, yields)
    }

    /// What [`check`](Self::check) asks, each check with its answer and the numbers behind them. Takes nothing.
    pub fn checks(&mut self, asker: Asker, cost: Cost, yields: Option<f64>, now: Moment) -> Checks {
        let first = self.check(asker, cost, yields, now);
        let not_before = first.map_or(0.0, |reason| self.not_before(reason, asker, cost, yields));
        Checks {
            verdicts: Check::ORDER.map(|check| (check, self.failing(check, asker, cost, yields))),
            numbers: Numbers {
                depth: self.depth,
                max_depth: self.settings.max_depth,
                shed: self.settings.shed,
                retention: self.settings.retention,
                headroom: self.retention.headroom(),
                yields,
                quota: asker.quota,
                weight: asker.weight,
                predicted_depth: self.window.level(),
                window: self.opening.limit,
                paced_from: self.opening.paced_from,
                tokens: self.bucket.tokens(),
                rate: self.bucket.rate(),
                capacity: self.opening.capacity,
                expected: self.opening.expected,
                spare: self.opening.spare,
                not_before,
                retry_after: self.settings.retry_after,
            },
        }
    }

    /// What is left of the allowance for somebody who asks for nothing. Takes and promises nothing.
    pub fn allowance(&mut self, asker: Asker, yields: Option<f64>, now: Moment) -> RateLimit {
        self.window.advance(now);
        self.bucket.refill(now);
        let Some(reason) = self.first_failing(asker, Cost::ONE, yields) else { return self.left(asker) };
        let longest = self.settings.retry_after.max;
        let seconds = self.not_before(reason, asker, Cost::ONE, yields);
        let reset = Duration::try_from_secs_f64(seconds).map_or(longest, |reset| reset.min(longest));
        RateLimit { quota: self.quota(), remaining: 0, reset }
    }

    /// The refusal for a reason found by [`check`](Self::check), with its place in the ledger.
    pub fn refuse(
        &mut self,
        reason: Reason,
        asker: Asker,
        cost: Cost,
        yields: Option<f64>,
        now: Moment,
    ) -> Refusal {
        self.asked = self.asked.saturating_add(u64::from(cost.count()));
        if reason == Reason::Throttled {
            self.held_back = self.held_back.saturating_add(u64::from(cost.count()));
        }
        let not_before = self.not_before(reason, asker, cost, yields);
        let retry_after = self.promise(reason, asker, cost, not_before, now);
        let limit = RateLimit { quota: self.quota(), remaining: 0, reset: retry_after };
        Refusal { reason, retry_after, limit }
    }

    /// Gives back what an admitted cost did not use: its jobs were not stored. `place` is that of the tenant that asked.
    pub fn give_back(&mut self, place: usize, cost: Cost, now: Moment) {
        self.window.advance(now);
        self.bucket.refill(now);
        self.window.rise(-self.weight * f64::from(cost.count()));
        self.presumed = (self.presumed - (self.weight - 1.0) * f64::from(cost.count())).max(0.0);
        if self.shares.is_divided() {
            self.bucket.give_back_jobs(self.shares.give_back(place, cost));
        } else {
            self.bucket.give_back(cost);
        }
        self.entered = self.entered.saturating_sub(u64::from(cost.count()));
        self.set_depth(self.depth.saturating_sub(u64::from(cost.count())));
    }

    /// Jobs that all replicas let in while this gate lets one in.
    pub const fn stands_for(&self) -> f64 {
        self.weight
    }

    /// Opens the gate anew; tokens, prediction, shed state and ledger go on.
    pub fn set(&mut self, opening: Opening, now: Moment) {
        self.opening = opening;
        self.weight = 1.0 / opening.share.clamp(LEAST_SHARE, 1.0);
        self.bucket.set(opening.rate, opening.burst, now);
        self.window.set(opening.limit, opening.drain, now);
        self.promises.set_spare(opening.spare);
        self.shares.set(opening.rate.jobs_per_second(), opening.limit * self.weight.recip());
    }

    /// Puts new settings in force.
    pub fn configure(&mut self, settings: GateSettings) {
        self.settings = settings;
        self.set_depth(self.depth);
        self.retention.follow(self.retention.headroom(), settings.retention);
    }

    /// Corrects the prediction by a new reading. `depth` is the depth read and all that it cannot have seen yet;
    /// `level` the same less what the model says was drained since.
    pub fn correct(&mut self, depth: u64, level: f64, now: Moment) {
        self.window.correct(level + self.presumed, now);
        self.set_depth(depth);
    }

    /// Notes what a new reading says of the time until the oldest unread job is deleted.
    pub fn note_headroom(&mut self, headroom: Option<Headroom>) {
        self.retention.follow(headroom, self.settings.retention);
    }

    /// Takes in what the other replicas told: `news` jobs more (or fewer) that they let in, and those that they are now
    /// `presumed` to have let in beyond that; `besides`, they may have let in so many.
    pub fn hear(&mut self, news: i64, presumed: f64, besides: f64, now: Moment) {
        self.window.advance(now);
        self.window.rise(news as f64 + presumed - self.presumed);
        (self.presumed, self.besides) = (presumed, besides);
        self.set_depth(self.depth.saturating_add_signed(news));
    }

    /// Takes what another gate really let in, since both began from one state, for what this one would have: depth and
    /// prediction follow; bucket and ledger are its own.
    pub fn believe(&mut self, entered: u64, now: Moment) {
        let news = i128::from(entered) - i128::from(self.entered);
        self.window.advance(now);
        self.window.rise(news as f64);
        self.entered = entered;
        self.set_depth(self.depth.saturating_add_signed(i64::try_from(news).unwrap_or(0)));
    }

    /// The predicted depth now, in jobs.
    pub fn level(&mut self, now: Moment) -> f64 {
        self.window.advance(now);
        self.window.level()
    }

    /// Jobs that window and bound admit here once `credit` more of them are drained, as of the last step.
    pub fn room_with(&self, credit: f64) -> f64 {
        let below_bound = self.settings.max_depth.saturating_sub(self.presumed_depth());
        (self.window.room() + credit).max(0.0).min(below_bound as f64) / self.weight
    }

    /// Jobs let in less those given back, since the gate was made.
    pub const fn entered(&self) -> u64 {
        self.entered
    }

    /// Last depth read and all that was let in and not seen in it.
    pub const fn depth(&self) -> u64 {
        self.depth
    }

    /// Whether the tier is at its hard bound; not while the spool bounds it.
    pub const fn is_full(&self) -> bool {
        !self.opening.spooling && self.depth >= self.settings.max_depth
    }

    /// Whether a threshold sheds the tier; not while the spool bounds it.
    pub const fn is_shedding(&self) -> bool {
        !self.opening.spooling && (self.shed.is_on() || self.retention.is_on())
    }

    /// Seconds until the depth is expected below its bound; infinite where nothing drains.
    pub fn seconds_until_below_bound(&self) -> f64 {
        self.seconds_to_drain((self.depth.saturating_add(1).saturating_sub(self.settings.max_depth)) as f64)
    }

    /// Jobs asked for since the gate was made, whatever the answer.
    pub const fn asked(&self) -> u64 {
        self.asked
    }

    /// Of those, jobs that bucket or window refused: only while they grow does the rate say what demand is.
    pub const fn held_back(&self) -> u64 {
        self.held_back
    }

    /// The reason of the first check that fails, as things stand.
    fn first_failing(&self, asker: Asker, cost: Cost, yields: Option<f64>) -> Option<Reason> {
        // Written out: a loop over the order would cost each decision half as much again.
        let [first, second, third, fourth, fifth, sixth, seventh, last] = Check::ORDER;
        let failing = |check| self.failing(check, asker, cost, yields);
        failing(first)
            .or_else(|| failing(second))
            .or_else(|| failing(third))
            .or_else(|| failing(fourth))
            .or_else(|| failing(fifth))
            .or_else(|| failing(sixth))
            .or_else(|| failing(seventh))
            .or_else(|| failing(last))
    }

    /// The reason for which this check refuses, as of the last [`check`](Self::check).
    #[inline(always)]
    fn failing(&self, check: Check, asker: Asker, cost: Cost, yields: Option<f64>) -> Option<Reason> {
        let jobs = u64::from(cost.count());
        let shed = Reason::Shed { unavailable: self.settings.shed.is_some_and(|shed| shed.unavailable) };
        let (fails, reason) = match check {
            Check::Signal => (self.opening.shut, Reason::SignalStale),
            Check::Bound => {
                (self.presumed_depth().saturating_add(jobs) > self.settings.max_depth, Reason::QueueFull)
            }
            Check::Shed => (self.shed.is_on(), shed),
            Check::Retention => (self.retention.is_on(), shed),
            Check::Yields => (yields.is_some(), shed),
            Check::Tenant => return asker.over_quota().map(|rate| Reason::TenantQuota { rate }),
            Check::Window => (!self.has_room(asker, cost), Reason::Throttled),
            Check::Rate => (self.is_pacing() && !self.has_tokens(asker, cost), Reason::Throttled),
        };
        (fails && !self.opening.spooling).then_some(reason)
    }

    fn admit(&mut self, asker: Asker, cost: Cost) -> RateLimit {
        if !self.is_pacing() {
            self.bucket.take_what_is_there(cost);
        } else if self.shares.is_divided() {
            self.bucket.take_jobs(self.shares.pay(asker, cost));
        } else {
            self.bucket.take(cost);
        }
        // The others have their shares of the same room and let in at the same time: what is taken here stands for all.
        self.window.rise(self.weight * f64::from(cost.count()));
        self.presumed += (self.weight - 1.0) * f64::from(cost.count());
        self.entered = self.entered.saturating_add(u64::from(cost.count()));
        self.set_depth(self.depth.saturating_add(u64::from(cost.count())));
        self.left(asker)
    }

    /// The depth with all that the others may have let in.
    fn presumed_depth(&self) -> u64 {
        self.depth.saturating_add((self.presumed + self.besides) as u64)
    }

    fn set_depth(&mut self, depth: u64) {
        self.depth = depth;
        self.shed.follow(depth, self.settings.shed);
    }

    /// Whether the bucket is asked: well below the target the queue has room, and the window alone bounds.
    fn is_pacing(&self) -> bool {
        !self.opening.spooling && self.window.level() >= self.opening.paced_from
    }

    fn left(&self, asker: Asker) -> RateLimit {
        let own = asker.quota.map_or(f64::INFINITY, |quota| quota.tokens.max(0.0));
        if self.opening.spooling {
            // What the spool still holds is counted in bytes; nothing else makes anybody wait.
            let quota = self.quota();
            return RateLimit { quota, remaining: quota.max(1).min(own as u64), reset: Duration::ZERO };
        }
        let paced = if self.is_pacing() { self.tokens_of(asker).max(0.0) } else { f64::INFINITY };
        let remaining = self.room_with(0.0).min(paced).min(own) as u64;
        let reset = if remaining > 0 {
            0.0
        } else {
            self.seconds_until_possible(Reason::Throttled, asker, Cost::ONE)
        };
        let longest = self.settings.retry_after.max;
        let reset = Duration::try_from_secs_f64(reset).map_or(longest, |reset| reset.min(longest));
        RateLimit { quota: self.quota(), remaining, reset }
    }

    fn quota(&self) -> u64 {
        (self.bucket.rate() * QUOTA_SECONDS) as u64
    }

    fn not_before(&self, reason: Reason, asker: Asker, cost: Cost, yields: Option<f64>) -> f64 {
        self.seconds_until_possible(reason, asker, cost).max(yields.unwrap_or(0.0))
    }

    /// Seconds until the check that refused can pass, if nobody else comes; infinite where nothing drains.
    fn seconds_until_possible(&self, reason: Reason, asker: Asker, cost: Cost) -> f64 {
        let count = u64::from(cost.count());
        match reason {
            Reason::SignalStale => 0.0,
            Reason::TenantQuota { .. } => asker.quota.map_or(0.0, |quota| quota.not_before),
            Reason::QueueFull => {
                let excess =
                    self.presumed_depth().saturating_add(count).saturating_sub(self.settings.max_depth);
                self.seconds_to_drain(excess as f64)
            }
            Reason::Shed { .. } => {
                let near_cliff = self.retention.seconds_until_off(self.settings.retention);
                if self.retention.is_on() && !self.shed.is_on() {
                    return near_cliff;
                }
                let until = self.settings.shed.map_or(u64::MAX, |shed| shed.until);
                let surplus = self.depth.saturating_add(1).saturating_sub(until);
                self.seconds_to_drain(surplus as f64).max(near_cliff)
            }
            Reason::Throttled => {
                let excess = self.window.excess(cost);
                let window = if excess > 0.0 { excess / self.opening.expected } else { 0.0 };
                let bucket = if self.is_pacing() { self.bucket.seconds_until(cost) } else { 0.0 };
                window.max(bucket)
            }
        }
    }

    fn seconds_to_drain(&self, jobs: f64) -> f64 {
        if jobs > 0.0 { jobs / self.opening.capacity } else { 0.0 }
    }
}

/// The time over which the RateLimit fields express the rate (`w=10`).
const QUOTA_SECONDS: f64 = 10.0;

/// No share is less than this: one job must not stand for more than a window holds.
const LEAST_SHARE: f64 = 1e-3;
