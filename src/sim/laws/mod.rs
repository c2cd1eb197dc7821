//! The law that is played: the gateway's own, or one to compare it with.

pub mod answer;
pub mod rival;

use std::time::Duration;

use crate::admission::decision::{Decision, Reason};
use crate::domain::backlog::Reading;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::domain::units::Cost;
use crate::regulator::Regulator;
use crate::regulator::report::{Signal, TickReport};
use crate::regulator::settings::TierSettings;
use crate::sim::laws::answer::{Answer, Setting};
use crate::sim::laws::rival::{Method, RETRY_AFTER, Rival};
use crate::sim::scenario::Scenario;

/// Which law is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LawName {
    /// The gateway's own.
    Tidegate,
    /// Another one.
    Rival(Method),
}

impl LawName {
    /// The name in tables, JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            LawName::Tidegate => "tidegate",
            LawName::Rival(method) => method.as_str(),
        }
    }

    /// The longest time to return that this law tells a tier with these settings.
    pub const fn longest_retry_after(self, settings: &TierSettings) -> Duration {
        match self {
            LawName::Tidegate => settings.retry_after.max,
            LawName::Rival(_) => RETRY_AFTER,
        }
    }
}

/// A law at work.
#[derive(Debug)]
pub enum Law {
    /// The very object that the server runs.
    Tidegate(Box<Regulator>),
    /// One rival for each tier.
    Rivals(Box<TierMap<Rival>>),
}

impl Law {
    /// The law as it is when the gateway starts.
    pub fn new(name: LawName, scenario: &Scenario, now: Moment) -> Law {
        match name {
            LawName::Tidegate => {
                Law::Tidegate(Box::new(Regulator::new(&scenario.regulator, scenario.seed, now)))
            }
            LawName::Rival(method) => {
                let rival = |tier: Tier| {
                    let load = &scenario.tiers[tier];
                    let workers = load.drain.as_ref().unwrap_or(&scenario.workers.rate);
                    Rival::new(
                        method,
                        scenario.regulator.tiers[tier],
                        scenario.regulator.controller,
                        load.offered.highest(),
                        workers.first(),
                        now,
                    )
                };
                Law::Rivals(Box::new(TierMap::from_fn(rival)))
            }
        }
    }

    /// Decides one request.
    pub fn decide(&mut self, tier: Tier, cost: Cost, now: Moment) -> Answer {
        match self {
            Law::Tidegate(regulator) => match regulator.decide(tier, cost, None, now) {
                Decision::Admitted(_) => Answer::Admitted,
                Decision::Refused(refusal) => match refusal.reason {
                    Reason::Throttled | Reason::TenantQuota { .. } | Reason::QueueFull => {
                        Answer::Throttled(refusal.retry_after)
                    }
                    Reason::Shed { .. } | Reason::SignalStale => Answer::Shed(refusal.retry_after),
                },
            },
            Law::Rivals(rivals) => rivals[tier].decide(cost, now),
        }
    }

    /// One control step.
    pub fn tick(&mut self, readings: TierMap<Option<Reading>>, now: Moment) -> TierMap<Setting> {
        match self {
            Law::Tidegate(regulator) => regulator.tick(readings, now).map(|_, report| Setting::of(&report)),
            Law::Rivals(rivals) => readings.map(|tier, reading| rivals[tier].tick(reading, now)),
        }
    }
}

impl Setting {
    fn of(report: &TickReport) -> Setting {
        Setting {
            target: report.target_depth,
            rate: report.rate.jobs_per_second(),
            drain: report.drain.jobs_per_second(),
            blind: matches!(report.signal, Signal::Modelled | Signal::Stale),
        }
    }
}
