//! Floor 2: the law of one tier and of the three together. The server and the simulator run this same object.
//!
//! Requests move it by [`Regulator::decide`], the control loop by [`Regulator::tick`]; both say what time it is.

#[cfg(test)]
mod properties;
pub mod report;
pub mod settings;
pub mod share;
#[cfg(test)]
mod tests;
pub mod tier;

use crate::admission::checks::Checks;
use crate::admission::decision::{Decision, RateLimit, Refusal};
use crate::domain::backlog::Reading;
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::time::Moment;
use crate::domain::units::Cost;
use crate::regulator::report::TickReport;
use crate::regulator::settings::RegulatorSettings;
use crate::regulator::share::part::{Intake, Part};
use crate::regulator::tier::TierRegulator;

/// The three tiers' gates and controllers.
#[derive(Clone, Debug)]
pub struct Regulator {
    tiers: TierMap<TierRegulator>,
}

impl Regulator {
    /// Three tiers before empty queues. `seed` feeds the jitter of the promised returns.
    pub fn new(settings: &RegulatorSettings, seed: u64, now: Moment) -> Regulator {
        let make = |tier: Tier| {
            let own_seed = seed.wrapping_add(u64::from(tier.number()).wrapping_mul(SEED_STEP));
            TierRegulator::new(settings.tiers[tier], settings.controller, own_seed, now)
        };
        Regulator { tiers: TierMap::from_fn(make) }
    }

    /// Decides one request of `cost` jobs: lost signal, bound, shed (thresholds and yields), window, bucket.
    /// Admission takes the cost from window and bucket, refusal takes nothing.
    ///
    /// The cost must fit into the window as a whole: one larger than the whole window (`controller.window` times the
    /// target) is never admitted, so callers ask for large batches in parts.
    pub fn decide(&mut self, tier: Tier, cost: Cost, now: Moment) -> Decision {
        let yields = self.must_yield(tier);
        self.tiers[tier].decide(cost, yields, now)
    }

    /// What [`decide`](Self::decide) would ask now: each check with its answer and its numbers. Takes nothing.
    pub fn checks(&mut self, tier: Tier, cost: Cost, now: Moment) -> Checks {
        let yields = self.must_yield(tier);
        self.tiers[tier].checks(cost, yields, now)
    }

    /// What is left of a tier's allowance. Takes nothing.
    pub fn allowance(&mut self, tier: Tier, now: Moment) -> RateLimit {
        let yields = self.must_yield(tier);
        self.tiers[tier].allowance(yields, now)
    }

    /// Whether every tier of the set would refuse a job now; the refusal of the most critical one if so.
    /// A refusal enters the ledger of promised returns, as any other.
    pub fn all_shut(&mut self, tiers: TierSet, now: Moment) -> Option<Refusal> {
        let mut first = None;
        for tier in tiers.iter() {
            let yields = self.must_yield(tier);
            let reason = self.tiers[tier].check(Cost::ONE, yields, now)?;
            first = first.or(Some((tier, reason, yields)));
        }
        first.map(|(tier, reason, yields)| self.tiers[tier].refuse(reason, Cost::ONE, yields, now))
    }

    /// Gives back what an admitted request did not use: its jobs were not stored.
    pub fn give_back(&mut self, tier: Tier, cost: Cost, now: Moment) {
        self.tiers[tier].give_back(cost, now);
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

    /// Puts new settings in force; tokens, integral, ledger and shed state stay.
    pub fn apply(&mut self, settings: &RegulatorSettings, now: Moment) {
        for (tier, law) in self.tiers.iter_mut() {
            law.apply(settings.tiers[tier], settings.controller, now);
        }
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
