//! What the policy decides about tenants.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::tier::Tier;
use crate::domain::units::Rate;

/// The terms of one tenant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TenantTerms {
    /// The highest tier that it may reach.
    pub ceiling: Tier,
    /// Its part of a tier under pressure, beside the other tenants' weights; at least 1.
    pub weight: u32,
    /// Its own rate over all tiers together; `None` is no limit of its own.
    pub quota: Option<QuotaTerms>,
    /// Whether the metrics name it.
    pub watch: bool,
}

/// A tenant's own rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuotaTerms {
    /// The rate.
    pub rate: Rate,
    /// Jobs of unused rate that it may ask for at once.
    pub burst: f64,
}

impl TenantTerms {
    /// Every tier, the weight 1 and no rate of its own.
    pub const UNLIMITED: TenantTerms =
        TenantTerms { ceiling: Tier::P0, weight: 1, quota: None, watch: false };
}

/// The terms of all tenants.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Those of each tenant that is not named: a rate here is the rate of each of them, not of all together.
    pub default: TenantTerms,
    /// Those of the named tenants.
    pub named: BTreeMap<Arc<str>, TenantTerms>,
}

impl Terms {
    /// The terms of a tenant.
    pub fn of(&self, tenant: &str) -> &TenantTerms {
        self.named.get(tenant).unwrap_or(&self.default)
    }

    /// The tenants that the metrics name.
    pub fn watched(&self) -> impl Iterator<Item = &Arc<str>> {
        self.named.iter().filter(|(_, terms)| terms.watch).map(|(name, _)| name)
    }
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { default: TenantTerms::UNLIMITED, named: BTreeMap::new() }
    }
}
