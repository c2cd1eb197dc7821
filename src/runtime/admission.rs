//! The regulator, shared by all requests: one short lock, never held across an await.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::admission::decision::{Decision, RateLimit, Refusal};
use crate::admission::tenants::roll::TenantReport;
use crate::clock::Clock;
use crate::domain::backlog::Reading;
use crate::domain::tier::{Tier, TierMap, TierSet};
use crate::domain::units::Cost;
use crate::policy::Policy;
use crate::queue::Spool;
use crate::regulator::Regulator;
use crate::regulator::report::TickReport;
use crate::regulator::settings::RegulatorSettings;
use crate::regulator::share::part::Intake;
use crate::runtime::shadow::Shadow;
use crate::runtime::shadow::sample::Step;
use crate::runtime::share::Share;
use crate::telemetry::metrics::Metrics;

/// The handle through which requests ask and the control loop steers.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    regulator: Mutex<Regulator>,
    reports: watch::Sender<TierMap<TickReport>>,
    shadow: Shadow,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Admission {
    /// Puts a regulator in force.
    pub fn new(regulator: Regulator, clock: Clock, metrics: Arc<Metrics>) -> Admission {
        let reports = watch::Sender::new(TierMap::default());
        let shadow = Shadow::empty(Arc::clone(&metrics), clock);
        Admission(Arc::new(Shared { regulator: Mutex::new(regulator), reports, shadow, clock, metrics }))
    }

    /// Asks for `cost` jobs of a tier and a tenant; `None` are the operators, whose jobs are nobody's.
    ///
    /// # Errors
    /// The refusal, with its promised return.
    pub fn admit(&self, tier: Tier, cost: Cost, tenant: Option<&Arc<str>>) -> Result<Permit, Refusal> {
        let now = self.0.clock.now();
        let name = tenant.map(|name| &**name);
        let mut regulator = self.regulator();
        let decision = regulator.decide(tier, cost, name, now);
        let is_watched = name.is_some_and(|name| regulator.is_watched(name));
        drop(regulator);
        self.0.metrics.decision(self.0.clock.now().since(now));
        let tenant = tenant.cloned();
        match decision {
            Decision::Admitted(limit) => {
                let unused = Some(cost);
                Ok(Permit { admission: self.clone(), tier, tenant, is_watched, unused, limit })
            }
            Decision::Refused(refusal) => {
                if let (true, Some(tenant)) = (is_watched, &tenant) {
                    self.0.metrics.tenants.refused(tenant, refusal.reason.code());
                }
                Err(refusal)
            }
        }
    }

    /// What is left of a tier's allowance for a tenant. Takes nothing.
    pub fn allowance(&self, tier: Tier, tenant: &str) -> RateLimit {
        self.regulator().allowance(tier, Some(tenant), self.0.clock.now())
    }

    /// The refusal of the most critical tier of the set, if every one of them would refuse a tenant's job now.
    pub fn all_shut(&self, tiers: TierSet, tenant: &str) -> Option<Refusal> {
        let mut regulator = self.regulator();
        let refusal = regulator.all_shut(tiers, Some(tenant), self.0.clock.now())?;
        if regulator.is_watched(tenant) {
            self.0.metrics.tenants.refused(tenant, refusal.reason.code());
        }
        Some(refusal)
    }

    /// The tenants that asked for most of late, the loudest first, at most `most`.
    pub fn loudest(&self, most: usize) -> Vec<TenantReport> {
        self.regulator().loudest(most)
    }

    /// One step of the control law, while the jobs of some tiers go to the spool; returns what it saw and did.
    pub fn tick(&self, readings: TierMap<Option<Reading>>, spooling: TierSet) -> TierMap<TickReport> {
        let at = self.0.clock.now();
        let mut regulator = self.regulator();
        let reports = regulator.tick_beside_spool(readings, spooling, at);
        let real = regulator.intake();
        drop(regulator);
        self.0.shadow.step(|| Step { readings, spooling, parts: None, real, at });
        self.0.reports.send_replace(reports);
        reports
    }

    /// The same where other gateways have a share: on the sum of all counts. `spool` as the queue tells it.
    pub fn tick_sharing(
        &self,
        share: &Share,
        readings: TierMap<Option<Reading>>,
        spool: Spool,
    ) -> TierMap<TickReport> {
        let now = self.0.clock.now();
        let steps = share.step(readings, spool.depth, self.intake(), now);
        let (readings, parts) = (steps.map(|_, (reading, _)| reading), steps.map(|_, (_, part)| part));
        let mut regulator = self.regulator();
        regulator.hear(parts, now);
        let reports = regulator.tick_beside_spool(readings, spool.tiers, now);
        let real = regulator.intake();
        drop(regulator);
        self.0.shadow.step(|| Step { readings, spooling: spool.tiers, parts: Some(parts), real, at: now });
        self.0.reports.send_replace(reports);
        reports
    }

    /// Puts new settings in force; tokens, integral, ledger and shed state stay. `publish` is called while nobody can be
    /// decided: who sees what it publishes meets the new settings.
    pub fn put_in_force(&self, settings: &RegulatorSettings, publish: impl FnOnce()) {
        let mut regulator = self.regulator();
        regulator.apply(settings, self.0.clock.now());
        publish();
    }

    /// The place of a candidate that is asked without acting.
    pub fn shadow(&self) -> &Shadow {
        &self.0.shadow
    }

    /// Tries a candidate: its law begins where the acting one is, as if the candidate took force now.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn try_in_shadow(&self, policy: Arc<Policy>) -> io::Result<()> {
        let mut regulator = self.regulator().clone();
        regulator.apply(&policy.regulator, self.0.clock.now());
        self.0.shadow.put(policy, regulator)
    }

    /// What this gateway let in, for the others.
    pub fn intake(&self) -> TierMap<Intake> {
        self.regulator().intake()
    }

    /// The reports of the last control step.
    pub fn reports(&self) -> TierMap<TickReport> {
        *self.0.reports.borrow()
    }

    // A panic under the lock is a bug of one decision; the gate goes on for all others.
    fn regulator(&self) -> MutexGuard<'_, Regulator> {
        self.0.regulator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to store `cost` jobs. Dropped unused, it gives its tokens back.
#[derive(Debug)]
#[must_use = "a permit that is dropped gives its tokens back"]
pub struct Permit {
    admission: Admission,
    tier: Tier,
    tenant: Option<Arc<str>>,
    /// Whether the metrics name the tenant.
    is_watched: bool,
    unused: Option<Cost>,
    limit: RateLimit,
}

impl Permit {
    /// The tier it is for.
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// What is left of the tier's allowance.
    pub const fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Narrows the permit to this many jobs, giving the rest back now; never widens it.
    pub fn narrow_to(&mut self, jobs: usize) {
        let granted = self.unused.map_or(0, Cost::count);
        let kept = u32::try_from(jobs).unwrap_or(u32::MAX).min(granted);
        self.give_back(Cost::jobs(granted - kept));
        self.unused = Cost::jobs(kept);
    }

    /// Takes over another permit of the same tier and tenant, so that jobs admitted one by one are stored together. Any
    /// other is given back.
    pub fn join(&mut self, mut other: Permit) {
        if (other.tier, &other.tenant) == (self.tier, &self.tenant) {
            let both = [self.unused, other.unused.take()].into_iter().flatten().map(Cost::count);
            self.unused = Cost::jobs(both.fold(0, u32::saturating_add));
            self.limit = other.limit;
        }
    }

    /// The jobs are stored, or may be: nothing is given back.
    pub fn used(mut self) {
        let used = self.unused.take();
        if let (Some(jobs), true, Some(tenant)) = (used, self.is_watched, &self.tenant) {
            self.admission.0.metrics.tenants.admitted(tenant, u64::from(jobs.count()));
        }
    }

    fn give_back(&self, cost: Option<Cost>) {
        if let Some(cost) = cost {
            let now = self.admission.0.clock.now();
            self.admission.regulator().give_back(self.tier, cost, self.tenant.as_deref(), now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(self.unused);
    }
}
