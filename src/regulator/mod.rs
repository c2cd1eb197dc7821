//! Floor 2: the law of one tier and of the three together. The server and the simulator run this same object.
//!
//! Requests move it by [`Regulator::decide`], the control loop by [`Regulator::tick`]; both say what time it is.

#[cfg(test)]
mod properties;
pub mod report;
pub mod settings;
pub mod share;
#[cfg(test)]
mod tenant_tests;
#[cfg(test)]
mod tests;
pub mod tier;

use std::sync::Arc;

use crate::admission::checks::Checks;
use crate::admission::decision::{Decision, RateLimit, Reason, Refusal};
use crate::admission::retry_after::Promises;
use crate::admission::tenants::asker::Asker;
use crate::admission::tenants::roll::{Roll, TenantReport};
use crate::domain::backlog::Reading;
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::time::Moment;
use crate::domain::units::Cost;
use crate::regulator::report::TickReport;
use crate::regulator::settings::RegulatorSettings;
use crate::regulator::share::part::{Intake, Part};
use crate::regulator::tier::TierRegulator;

/// The three tiers' gates and controllers, and the roll of tenants that ask them.
///
/// `tenant` is who asks; `None` are the operators, who have neither a rate of their own nor terms.
#[derive(Clone, Debug)]
pub struct Regulator {
    tiers: TierMap<TierRegulator>,
    roll: Roll,
}

impl Regulator {
    /// Three tiers before empty queues. `seed` feeds the jitter of the promised returns.
    pub fn new(settings: &RegulatorSettings, seed: u64, now: Moment) -> Regulator {
        let make = |tier: Tier| {
            let own_seed = seed.wrapping_add(u64::from(tier.number()).wrapping_mul(SEED_STEP));
            TierRegulator::new(settings.tiers[tier], settings.controller, own_seed, now)
        };
        Regulator { tiers: TierMap::from_fn(make), roll: Roll::new(Arc::clone(&settings.tenants), now) }
    }

    /// Decides one request of `cost` jobs: lost signal, bound, shed (thresholds and yields), the tenant's own rate, window,
    /// bucket. Admission takes the cost from the tenant's rate, window and bucket, refusal takes nothing.
    ///
    /// The cost must fit into the window as a whole: one larger than the whole window (`controller.window` times the
    /// target) is never admitted, so callers ask for large batches in parts.
    pub fn decide(&mut self, tier: Tier, cost: Cost, tenant: Option<&str>, now: Moment) -> Decision {
        let yields = self.must_yield(tier);
        let place = self.roll.enter(tenant, now);
        let asker = self.asker(tier, place, cost, now);
        let decision = self.tiers[tier].decide(asker, cost, yields, now);
        self.settle(tier, asker, cost, &decision, now);
        decision
    }

    /// What [`decide`](Self::decide) would ask now: each check with its answer and its numbers. Takes nothing.
    pub fn checks(&mut self, tier: Tier, cost: Cost, tenant: Option<&str>, now: Moment) -> Checks {
        let yields = self.must_yield(tier);
        let place = self.roll.enter(tenant, now);
        let asker = self.asker(tier, place, cost, now);
        self.tiers[tier].checks(asker, cost, yields, now)
    }

    /// What is left of a tier's allowance for a tenant. Takes nothing.
    pub fn allowance(&mut self, tier: Tier, tenant: Option<&str>, now: Moment) -> RateLimit {
        let yields = self.must_yield(tier);
        let asker = self.asker(tier, self.roll.place_or_rest(tenant), Cost::ONE, now);
        self.tiers[tier].allowance(asker, yields, now)
    }

    /// Whether every tier of the set would refuse a tenant's job now; the refusal of the most critical one if so.
    /// A refusal enters the ledger of promised returns, as any other.
    pub fn all_shut(&mut self, tiers: TierSet, tenant: Option<&str>, now: Moment) -> Option<Refusal> {
        let place = self.roll.enter(tenant, now);
        let mut first = None;
        for tier in tiers.iter() {
            let yields = self.must_yield(tier);
            let asker = self.asker(tier, place, Cost::ONE, now);
            let reason = self.tiers[tier].check(asker, Cost::ONE, yields, now)?;
            first = first.or(Some((tier, asker, reason, yields)));
        }
        let (tier, asker, reason, yields) = first?;
        let refusal = self.tiers[tier].refuse(reason, asker, Cost::ONE, yields, now);
        self.settle(tier, asker, Cost::ONE, &Decision::Refused(refusal), now);
        Some(refusal)
    }

    /// Gives back what an admitted request did not use: its jobs were not stored.
    pub fn give_back(&mut self, tier: Tier, cost: Cost, tenant: Option<&str>, now: Moment) {
        let place = self.roll.place_or_rest(tenant);
        let jobs = self.jobs_of_all(tier, cost);
        if let Some(quota) = self.roll.quota(place) {
            quota.give_back(jobs, now);
        }
        self.tiers[tier].give_back(place, cost, now);
    }

    /// Whether the metrics name the tenant.
    pub fn is_watched(&self, tenant: &str) -> bool {
        self.roll.place(tenant).is_some_and(|place| self.roll.is_watched(place))
    }

    /// The tenants that asked for most of late, the loudest first, at most `most`.
    pub fn loudest(&self, most: usize) -> Vec<TenantReport> {
        self.roll.loudest(most)
    }

    /// Tenants that the regulator remembers.
    pub fn tenants(&self) -> usize {
        self.roll.len()
    }

    fn asker(&mut self, tier: Tier, place: usize, cost: Cost, now: Moment) -> Asker {
        let jobs = self.jobs_of_all(tier, cost);
        self.roll.asker(place, jobs, now)
    }

    /// Jobs that all replicas let in while this one lets in the cost: a tenant's rate is that of all together.
    fn jobs_of_all(&self, tier: Tier, cost: Cost) -> f64 {
        self.tiers[tier].stands_for() * f64::from(cost.count())
    }

    /// Notes with the tenant what was decided.
    fn settle(&mut self, tier: Tier, asker: Asker, cost: Cost, decision: &Decision, now: Moment) {
        let admitted = matches!(decision, Decision::Admitted(_));
        self.roll.note(asker.place, cost.count(), admitted);
        let Some(seen) = asker.quota else { return };
        let jobs = self.jobs_of_all(tier, cost);
        let longest = Promises::reach(self.tiers[tier].longest_promise());
        let Some(quota) = self.roll.quota(asker.place) else { return };
        match decision {
            Decision::Admitted(_) => quota.take(jobs),
            Decision::Refused(Refusal { reason: Reason::TenantQuota { .. }, .. }) => {
                quota.promised(cost, seen.not_before, longest, now);
            }
            Decision::Refused(_) => {}
        }
    }

    /// One step of the control law. `None` is a reading that failed or has not come; one that was not taken later
    /// than the last is no news.
    pub fn tick(&mut self, readings: TierMap<Option<Reading>>, now: Moment) -> TierMap<TickReport> {
        self.tick_beside_spool(readings, TierSet::EMPTY, now)
    }

    /// The same while the jobs of some tiers go to the spool: it bounds those, and the law counts them.
    pub fn tick_beside_spool(
        &mut self,
        readings: TierMap<Option<Reading>>,
        spooling: TierSet,
        now: Moment,
    ) -> TierMap<TickReport> {
        self.sweep(now);
        readings.map(|tier, reading| self.tiers[tier].tick(reading, spooling.contains(tier), now))
    }

    /// What this replica tells the others who steer the same queue.
    pub fn intake(&self) -> TierMap<Intake> {
        TierMap::from_fn(|tier| self.tiers[tier].intake())
    }

    /// Takes in what the others told, before the step that acts on it.
    pub fn hear(&mut self, parts: TierMap<Part>, now: Moment) {
        for (tier, law) in self.tiers.iter_mut() {
            law.hear(parts[tier], now);
        }
    }

    /// Takes what another regulator really let in for what this one would have: so one that only watches answers in the
    /// state that is, and not in one of its own making.
    pub fn believe(&mut self, real: TierMap<Intake>, now: Moment) {
        for (tier, law) in self.tiers.iter_mut() {
            law.believe(real[tier].entered, now);
        }
    }

    /// Puts new settings in force; tokens, integral, ledger, shed state and what tenants used of their rates stay.
    pub fn apply(&mut self, settings: &RegulatorSettings, now: Moment) {
        for (tier, law) in self.tiers.iter_mut() {
            law.apply(settings.tiers[tier], settings.controller, now);
        }
        self.roll.apply(&settings.tenants, now);
    }

    /// Lets idle tenants go, from their shares soon and from the roll later.
    fn sweep(&mut self, now: Moment) {
        let tiers = &mut self.tiers;
        self.roll.sweep(now, |place| tiers.iter_mut().for_each(|(_, law)| law.forget(place, now)));
        self.tiers.iter_mut().for_each(|(_, law)| law.sweep(now));
    }

    /// While a yielding tier stands below one at its hard bound: the seconds until the last of those is below it.
    fn must_yield(&self, tier: Tier) -> Option<f64> {
        if !self.tiers[tier].yields() {
            return None;
        }
        let higher = self.tiers.iter().filter(|(other, _)| *other < tier);
        higher.filter_map(|(_, law)| law.at_bound()).reduce(f64::max)
    }
}

/// Parts the tiers' jitter; any odd number far from small multiples of others does.
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;
