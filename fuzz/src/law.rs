//! Laws out of a fuzzer's bytes, within what a policy can say; and what holds for every decision and every report.

use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use tidegate::admission::decision::Decision;
use tidegate::admission::settings::{RetentionSettings, RetryAfterBounds, ShedSettings};
use tidegate::admission::tenants::terms::{QuotaTerms, TenantTerms, Terms};
use tidegate::control::settings::{ControllerSettings, RateBounds, Target};
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::domain::time::Moment;
use tidegate::domain::units::{Cost, Rate};
use tidegate::regulator::Regulator;
use tidegate::regulator::report::{Signal, TickReport};
use tidegate::regulator::settings::{OnStale, RegulatorSettings, TierSettings};

/// The one place that asks the gate.
pub fn decide(
    regulator: &mut Regulator,
    tier: Tier,
    cost: Cost,
    tenant: Option<&str>,
    now: Moment,
) -> Decision {
    regulator.decide(tier, cost, tenant, now)
}

/// Deed after deed, until the bytes are used up: a list of `arbitrary` ends at every second element.
pub fn deeds<'a, D: Arbitrary<'a>>(mut bytes: Unstructured<'a>) -> impl Iterator<Item = D> {
    std::iter::from_fn(move || if bytes.is_empty() { None } else { D::arbitrary(&mut bytes).ok() })
}

/// A refusal promises a return within the tier's bounds, and admits nothing.
pub fn check_decision(decision: Decision, bounds: RetryAfterBounds) {
    if let Decision::Refused(refusal) = decision {
        assert!(
            bounds.min <= refusal.retry_after && refusal.retry_after <= bounds.max,
            "{refusal:?} {bounds:?}"
        );
        assert_eq!(refusal.limit.remaining, 0);
        assert_eq!(refusal.limit.reset, refusal.retry_after);
    }
}

/// Every number is one, and the rate is within its bounds.
pub fn check_report(report: &TickReport, bounds: RateBounds) {
    let numbers = [
        report.predicted_depth,
        report.target_depth,
        report.pressure,
        report.terms.feed_forward,
        report.terms.proportional,
        report.terms.integral,
        report.terms.derivative,
        report.share,
    ];
    assert!(numbers.iter().all(|number| number.is_finite()), "{report:?}");
    assert!(report.predicted_depth >= 0.0);
    let least = report.share * bounds.min.jobs_per_second();
    assert!(report.rate.jobs_per_second() >= (1.0 - 1e-12) * least, "{report:?}");
    assert!(bounds.max.is_none_or(|max| report.rate <= max), "{report:?}");
    assert!(
        report.signal == Signal::Awaited || report.signal_age.is_some() || report.signal == Signal::Stale
    );
}

/// A whole law in small numbers; each is a place on its knob's scale.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Knobs {
    interval: u8,
    gains: [u8; 3],
    memory: u8,
    window: u8,
    tiers: [TierKnobs; 3],
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct TierKnobs {
    max_depth: u8,
    target: u8,
    delay: Option<u8>,
    at_least: u8,
    rate_min: u8,
    rate_max: Option<u8>,
    burst: u8,
    shed: Option<(u8, u8)>,
    retention: Option<(u8, u8)>,
    switches: u8,
    retry_after: (u8, u8),
}

impl Knobs {
    /// The law, as a policy could have it.
    pub fn settings(&self) -> RegulatorSettings {
        let [kp, ki, kd] = self.gains.map(|gain| if gain == 0 { 0.0 } else { scale(gain, 0.001, 100.0) });
        let controller = ControllerSettings {
            interval: millis(self.interval, 10.0, 10_000.0),
            kp,
            ki,
            kd,
            drain_memory: millis(self.memory, 10.0, 600_000.0),
            window: 1.0 + f64::from(self.window) / 255.0,
        };
        let tiers = TierMap::from_fn(|tier| self.tiers[usize::from(tier.number())].settings(tier));
        RegulatorSettings { controller, tiers, tenants: Arc::new(tenants()) }
    }
}

/// The tenants that ask: a loud one beside a heavier one, one with a rate of its own, and one that nobody named.
pub const TENANTS: [&str; 4] = ["light", "heavy", "limited", "unnamed"];

fn tenants() -> Terms {
    let weighing = |weight| TenantTerms { weight, ..TenantTerms::UNLIMITED };
    let quota = Some(QuotaTerms { rate: Rate::saturating(20.0), burst: 30.0 });
    let named =
        [("light", weighing(2)), ("heavy", weighing(5)), ("limited", TenantTerms { quota, ..weighing(1) })];
    Terms {
        default: TenantTerms::UNLIMITED,
        named: named.into_iter().map(|(name, terms)| (Arc::from(name), terms)).collect(),
    }
}

impl TierKnobs {
    fn settings(&self, tier: Tier) -> TierSettings {
        let max_depth = jobs(self.max_depth, 1.0, 1e12);
        let top = jobs(self.target, 1.0, max_depth as f64);
        let target = match self.delay {
            None => Target::Depth(top),
            Some(delay) => Target::Delay {
                delay: millis(delay, 1.0, 1e9),
                at_least: jobs(self.at_least, 1.0, top as f64),
                at_most: top,
            },
        };
        let critical = tier == Tier::P0;
        let shed = self.shed.filter(|_| !critical && max_depth > 1).map(|(at, until)| {
            let at = jobs(at, top.max(2) as f64, max_depth as f64);
            ShedSettings { at, until: jobs(until, 1.0, (at - 1) as f64), unavailable: self.switches & 1 != 0 }
        });
        let min = if self.rate_min == 0 { 0.0 } else { scale(self.rate_min, 0.01, 1e9) };
        let retention = self.retention.filter(|_| !critical).map(|(shed_at, more)| {
            let shed_at = millis(shed_at, 1.0, 1e9);
            RetentionSettings { shed_at, until: shed_at + millis(more, 1.0, 1e9) }
        });
        let (least, more) = self.retry_after;
        let least = scale(least, 1.0, 86_400.0) as u64;
        TierSettings {
            target,
            max_depth,
            rate: RateBounds {
                min: Rate::saturating(min),
                max: self.rate_max.map(|max| Rate::saturating(min + scale(max, 0.01, 1e9))),
                burst: millis(self.burst, 10.0, 3_600_000.0),
            },
            shed,
            retention,
            yields: !critical && self.switches & 2 != 0,
            on_stale: [OnStale::Hold, OnStale::Floor, OnStale::Shut, OnStale::Open]
                [usize::from(self.switches >> 2 & 3)],
            retry_after: RetryAfterBounds {
                min: Duration::from_secs(least),
                max: Duration::from_secs((least + scale(more, 1.0, 86_400.0) as u64).min(86_400)),
            },
        }
    }
}

/// The place on a scale of magnitudes.
fn scale(place: u8, least: f64, most: f64) -> f64 {
    least * (most.max(least) / least).powf(f64::from(place) / 255.0)
}

fn jobs(place: u8, least: f64, most: f64) -> u64 {
    (scale(place, least, most) as u64).clamp(least as u64, most.max(least) as u64)
}

fn millis(place: u8, least: f64, most: f64) -> Duration {
    Duration::from_millis(scale(place, least, most) as u64)
}
