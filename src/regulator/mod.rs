//! Floor 2: the law of one tier and of the three together. The server and the simulator run this same object.

pub mod report;
pub mod settings;

use crate::admission::decision::{Decision, Refusal};
use crate::domain::backlog::Reading;
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::time::Moment;
use crate::domain::units::Cost;
use crate::regulator::report::TickReport;
use crate::regulator::settings::RegulatorSettings;

/// The three tiers' gates and controllers.
#[derive(Debug)]
pub struct Regulator {}

#[expect(unused_variables, reason = "replaced by the real law")]
impl Regulator {
    /// `seed` feeds the jitter of the promised returns.
    pub fn new(settings: &RegulatorSettings, seed: u64, now: Moment) -> Regulator {
        unimplemented!()
    }

    /// Decides one request of `cost` jobs: bound, shed (thresholds and yields), signal, window, bucket.
    pub fn decide(&mut self, tier: Tier, cost: Cost, now: Moment) -> Decision {
        unimplemented!()
    }

    /// Whether every tier of the set would refuse a job now; the refusal of the most critical one if so.
    /// A refusal enters the ledger of promised returns, as any other.
    pub fn all_shut(&mut self, tiers: TierSet, now: Moment) -> Option<Refusal> {
        unimplemented!()
    }

    /// Gives back what an admitted request did not use: its jobs were not stored.
    pub fn give_back(&mut self, tier: Tier, cost: Cost, now: Moment) {
        unimplemented!()
    }

    /// One step of the control law. `None` is a reading that failed or has not come.
    pub fn tick(&mut self, readings: TierMap<Option<Reading>>, now: Moment) -> TierMap<TickReport> {
        unimplemented!()
    }

    /// Puts new settings in force; tokens, integral, ledger and shed state stay.
    pub fn apply(&mut self, settings: &RegulatorSettings, now: Moment) {
        unimplemented!()
    }
}
