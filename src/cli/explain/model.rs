//! The real regulator before queues of given depths: what the gate would answer there.

use std::time::Duration;

use crate::admission::checks::Checks;
use crate::admission::decision::{Decision, Refusal};
use crate::domain::backlog::{Backlog, Flows, Reading};
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::time::Moment;
use crate::domain::units::{Cost, Rate};
use crate::regulator::Regulator;
use crate::regulator::report::TickReport;
use crate::regulator::settings::RegulatorSettings;

/// What the gate sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queues {
    /// Jobs in each queue.
    pub(super) depths: TierMap<u64>,
    /// What the workers of each tier take; `None` where that is not known.
    pub(super) drains: TierMap<Option<Rate>>,
    /// The time until the backend deletes the oldest unread job of each; `None` where nothing is deleted.
    pub(super) headrooms: TierMap<Option<Duration>>,
}

/// A regulator that has seen the queues stand so for a while, and what it last reported.
#[derive(Debug)]
pub(super) struct Model {
    regulator: Regulator,
    /// The last control step.
    pub(super) reports: TierMap<TickReport>,
    now: Moment,
    tenant: String,
}

impl Model {
    /// Feeds a regulator with readings, as a control loop would: each tier at its depth, and what its workers take put
    /// back by others at once.
    pub(super) fn at(settings: &RegulatorSettings, queues: &Queues, tenant: &str, seed: u64) -> Model {
        let interval = settings.controller.interval;
        let mut now = Moment::ORIGIN;
        let regulator = Regulator::new(settings, seed, now);
        let mut model = Model { regulator, reports: TierMap::default(), now, tenant: tenant.to_owned() };
        for _ in 0..steps(interval, queues) {
            now = now.plus(interval);
            let readings = TierMap::from_fn(|tier| Some(queues.reading(tier, now)));
            model.reports = model.regulator.tick(readings, now);
        }
        model.now = now;
        model
    }

    /// What each check of a tier says of one job.
    pub(super) fn checks(&mut self, tier: Tier) -> Checks {
        self.regulator.checks(tier, Cost::ONE, Some(&self.tenant), self.now)
    }

    /// The decision on one job of a tier.
    pub(super) fn decide(&mut self, tier: Tier) -> Decision {
        self.regulator.decide(tier, Cost::ONE, Some(&self.tenant), self.now)
    }

    /// The refusal of the most critical of the tiers, if all of them would refuse.
    pub(super) fn all_shut(&mut self, tiers: TierSet) -> Option<Refusal> {
        self.regulator.all_shut(tiers, Some(&self.tenant), self.now)
    }
}

impl Queues {
    fn reading(&self, tier: Tier, taken: Moment) -> Reading {
        let taken_away = self.drains[tier]
            .map_or(0.0, |drain| drain.jobs_per_second() * taken.seconds_since(Moment::ORIGIN));
        let headroom = self.headrooms[tier];
        let backlog = Backlog { waiting: self.depths[tier], headroom, ..Backlog::default() };
        let flows = Flows { stored: self.depths[tier].saturating_add(taken_away as u64), ..Flows::default() };
        Reading { backlog, flows, taken }
    }
}

/// Readings until every drain that can be learned is learned.
fn steps(interval: Duration, queues: &Queues) -> u64 {
    let slowest = queues.drains.iter().filter_map(|(_, drain)| *drain).map(Rate::jobs_per_second);
    let slowest = slowest.filter(|rate| *rate > 0.0).reduce(f64::min);
    let seconds = slowest.map_or(0.0, |rate| (EVENTS / rate).clamp(LEARNING.0, LEARNING.1));
    ((seconds / interval.as_secs_f64()).ceil() as u64).max(LEAST_STEPS)
}

/// Jobs of the slowest drain that are seen taken away.
const EVENTS: f64 = 20.0;

/// Seconds for which the queues are watched where a drain is to be learned, at least and at most.
const LEARNING: (f64, f64) = (30.0, 600.0);

/// Readings where none is: the signal is fresh and the rate is that of the depth.
const LEAST_STEPS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn queues(depth: u64, drain: Option<f64>) -> Queues {
        let drain = drain.and_then(Rate::per_second);
        let drains = TierMap::from((None, None, drain));
        Queues { depths: TierMap::from((0, 0, depth)), drains, headrooms: TierMap::default() }
    }

    #[test]
    fn the_depth_is_seen_as_it_is_and_the_drain_is_learned() {
        let settings = Policy::default().regulator;
        for drain in [0.5, 3.0, 8.0, 50.0, 1_234.0, 1e6] {
            let model = Model::at(&settings, &queues(120_000, Some(drain)), "anonymous", 1);
            let report = model.reports[Tier::P2];
            let learned = report.drain.jobs_per_second();
            assert!((learned / drain - 1.0).abs() < 0.15, "{learned} of {drain}");
            assert_eq!((report.backlog.depth(), report.predicted_depth), (120_000, 120_000.0));
        }
        let unknown = Model::at(&settings, &queues(120_000, None), "anonymous", 1).reports[Tier::P2];
        assert_eq!(unknown.drain, Rate::ZERO);
    }
}
