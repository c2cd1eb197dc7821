//! The regulator, shared by all requests: one short lock, never held across an await.

use crate::admission::decision::{RateLimit, Refusal};
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::units::Cost;
use crate::regulator::report::TickReport;

/// The handle through which requests ask and the control loop steers.
#[derive(Clone, Debug)]
pub struct Admission {}

#[expect(unused_variables, reason = "replaced by the real handle")]
impl Admission {
    /// Asks for `cost` jobs of a tier.
    ///
    /// # Errors
    /// The refusal, with its promised return.
    pub fn admit(&self, tier: Tier, cost: Cost) -> Result<Permit, Refusal> {
        unimplemented!()
    }

    /// The refusal of the most critical tier of the set, if every one of them would refuse now.
    pub fn all_shut(&self, tiers: TierSet) -> Option<Refusal> {
        unimplemented!()
    }

    /// The reports of the last control step.
    pub fn reports(&self) -> TierMap<TickReport> {
        unimplemented!()
    }
}

/// Leave to store `cost` jobs. Dropped unused, it gives its tokens back.
#[derive(Debug)]
pub struct Permit {
    tier: Tier,
    cost: Cost,
    limit: RateLimit,
}

impl Permit {
    /// The tier it is for.
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// The jobs it is for.
    pub const fn cost(&self) -> Cost {
        self.cost
    }

    /// What is left of the tier's allowance.
    pub const fn limit(&self) -> RateLimit {
        self.limit
    }
}
