//! Who asks the gate of a tier, as far as the gate needs to know.

use crate::domain::units::Rate;

/// A tenant at the gate of one tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asker {
    /// Its place in the roll of tenants.
    pub place: usize,
    /// Its weight beside the other tenants.
    pub weight: u32,
    /// Its own rate, where it has one.
    pub quota: Option<QuotaSeen>,
}

/// A tenant's own rate as the gate sees it for one cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuotaSeen {
    /// The rate.
    pub rate: Rate,
    /// Jobs that may come at once when all was unused.
    pub burst: f64,
    /// Jobs that may come now; negative is a debt.
    pub tokens: f64,
    /// Whether they suffice for the cost.
    pub holds: bool,
    /// Seconds until they do, and until everything that the tenant was promised before is due.
    pub not_before: f64,
}

impl Asker {
    /// Somebody with the weight 1 and no rate of its own; operators ask so.
    pub const NOBODY: Asker = Asker { place: 0, weight: 1, quota: None };

    /// The rate that refuses, if its own does.
    pub fn over_quota(&self) -> Option<Rate> {
        self.quota.filter(|quota| !quota.holds).map(|quota| quota.rate)
    }
}
