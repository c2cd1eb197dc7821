//! The regulator, shared by all requests: one short lock, never held across an await.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::admission::decision::{Decision, RateLimit, Refusal};
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

    /// Asks for `cost` jobs of a tier.
    ///
    /// # Errors
    /// The refusal, with its promised return.
    pub fn admit(&self, tier: Tier, cost: Cost) -> Result<Permit, Refusal> {
        let now = self.0.clock.now();
        let decision = self.regulator().decide(tier, cost, now);
        self.0.metrics.decision(self.0.clock.now().since(now));
        match decision {
            Decision::Admitted(limit) => {
                Ok(Permit { admission: self.clone(), tier, unused: Some(cost), limit })
            }
            Decision::Refused(refusal) => Err(refusal),
        }
    }

    /// What is left of a tier's allowance. Takes nothing.
    pub fn allowance(&self, tier: Tier) -> RateLimit {
        self.regulator().allowance(tier, self.0.clock.now())
    }

    /// The refusal of the most critical tier of the set, if every one of them would refuse now.
    pub fn all_shut(&self, tiers: TierSet) -> Option<Refusal> {
        self.regulator().all_shut(tiers, self.0.clock.now())
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

    /// Takes over another permit of the same tier, so that jobs admitted one by one are stored together. One of
    /// another tier is given back.
    pub fn join(&mut self, mut other: Permit) {
        if other.tier == self.tier {
            let both = [self.unused, other.unused.take()].into_iter().flatten().map(Cost::count);
            self.unused = Cost::jobs(both.fold(0, u32::saturating_add));
            self.limit = other.limit;
        }
    }

    /// The jobs are stored, or may be: nothing is given back.
    pub fn used(mut self) {
        self.unused = None;
    }

    fn give_back(&self, cost: Option<Cost>) {
        if let Some(cost) = cost {
            let now = self.admission.0.clock.now();
            self.admission.regulator().give_back(self.tier, cost, now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(self.unused);
    }
}
