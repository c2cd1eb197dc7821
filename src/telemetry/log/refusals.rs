//! Refused jobs in the log: for each tier and code one of them in a while, with the number of those since.

use tracing::{info, warn};

use crate::domain::code::Code;
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::telemetry::log::sampled::Sampled;

/// All refusals of one gateway, as far as the log knows of them.
#[derive(Debug)]
pub struct RefusalLog {
    tiers: TierMap<OfTier>,
    /// Refused before they had a tier.
    unclassified: OfTier,
}

/// One refused job, of which a line tells.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The tier, where the job had one.
    pub tier: Option<Tier>,
    /// Why.
    pub code: Code,
    /// Why, in words, as the client was told.
    pub detail: &'a str,
    /// Whose job it was, where the gate refused it.
    pub tenant: Option<&'a str>,
    /// The Retry-After given, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// By the place of the code in [`Code::ALL`].
type OfTier = [Sampled; Code::ALL.len()];

impl Default for RefusalLog {
    fn default() -> RefusalLog {
        let none = || std::array::from_fn(|_| Sampled::default());
        RefusalLog { tiers: TierMap::from_fn(|_| none()), unclassified: none() }
    }
}

impl RefusalLog {
    /// One more was refused, then.
    pub fn tell(&self, sample: Sample<'_>, now: Moment) {
        let Sample { tier, code, detail, tenant, retry_after_ms } = sample;
        let Some(jobs) = self.kind(tier, code).and_then(|kind| kind.one_more(now)) else { return };
        let (tier, code) = (word(tier), code.as_str());
        if tier == Tier::P0.as_str() {
            warn!(
                tier,
                code,
                jobs,
                retry_after_ms,
                tenant,
                detail,
                "critical jobs are refused, this one the last of them"
            );
        } else {
            info!(
                tier,
                code, jobs, retry_after_ms, tenant, detail, "jobs are refused, this one the last of them"
            );
        }
    }

    /// Tells of those that no line has told of and after which no more came.
    pub fn tell_of_the_left(&self, now: Moment) {
        let tiers = Tier::ALL.into_iter().map(Some).chain([None]);
        for (tier, code) in tiers.flat_map(|tier| Code::ALL.iter().map(move |code| (tier, *code))) {
            if let Some(jobs) = self.kind(tier, code).and_then(|kind| kind.left(now)) {
                info!(tier = word(tier), code = code.as_str(), jobs, "jobs were refused");
            }
        }
    }

    fn kind(&self, tier: Option<Tier>, code: Code) -> Option<&Sampled> {
        let codes = tier.map_or(&self.unclassified, |tier| &self.tiers[tier]);
        Code::ALL.iter().position(|other| *other == code).and_then(|place| codes.get(place))
    }
}

/// As the metrics' label.
fn word(tier: Option<Tier>) -> &'static str {
    tier.map_or("none", Tier::as_str)
}
