//! Tenants at the regulator: their own rates over all tiers, what is remembered of them, and what one alone does not feel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::decision::Reason;
use crate::admission::settings::RetryAfterBounds;
use crate::admission::tenants::roll::MOST_UNNAMED;
use crate::admission::tenants::terms::{QuotaTerms, TenantTerms, Terms};
use crate::control::settings::{ControllerSettings, RateBounds, Target};
use crate::domain::backlog::{Backlog, Flows, Reading};
use crate::domain::units::Rate;
use crate::regulator::settings::{OnStale, TierSettings};

use super::*;

const fn at(millis: u64) -> Moment {
    Moment::from_nanos(millis * 1_000_000)
}

fn settings(target: u64, terms: Terms) -> RegulatorSettings {
    let tier = TierSettings {
        target: Target::Depth(target),
        max_depth: 1_000_000_000,
        rate: RateBounds { min: Rate::saturating(1.0), max: None, burst: Duration::from_secs(1) },
        shed: None,
        retention: None,
        yields: false,
        on_stale: OnStale::Hold,
        retry_after: RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_secs(600) },
    };
    RegulatorSettings {
        controller: ControllerSettings::DEFAULT,
        tiers: TierMap::from_fn(|_| tier),
        tenants: Arc::new(terms),
    }
}

fn limited(rate: f64, burst: f64) -> TenantTerms {
    TenantTerms { quota: Some(QuotaTerms { rate: Rate::saturating(rate), burst }), ..TenantTerms::UNLIMITED }
}

fn named(terms: &[(&str, TenantTerms)]) -> Terms {
    let named: BTreeMap<Arc<str>, TenantTerms> =
        terms.iter().map(|(name, terms)| (Arc::from(*name), *terms)).collect();
    Terms { default: TenantTerms::UNLIMITED, named }
}

fn refused(decision: Decision) -> Option<Refusal> {
    match decision {
        Decision::Admitted(_) => None,
        Decision::Refused(refusal) => Some(refusal),
    }
}

/// How many of so many single jobs come in.
fn admitted(regulator: &mut Regulator, tier: Tier, tenant: &str, asked: u32, now: Moment) -> u32 {
    let ask = |_: &u32| refused(regulator.decide(tier, Cost::ONE, Some(tenant), now)).is_none();
    (0..asked).filter(ask).count() as u32
}

#[test]
fn a_tenants_own_rate_is_one_over_all_tiers() {
    let terms = named(&[("acme", limited(100.0, 50.0))]);
    let mut regulator = Regulator::new(&settings(1_000_000, terms), 1, at(0));
    assert_eq!(admitted(&mut regulator, Tier::P0, "acme", 30, at(0)), 30);
    assert_eq!(admitted(&mut regulator, Tier::P2, "acme", 30, at(0)), 20);
    let refusal = refused(regulator.decide(Tier::P1, Cost::ONE, Some("acme"), at(0))).unwrap();
    assert_eq!(refusal.reason, Reason::TenantQuota { rate: Rate::saturating(100.0) });
    assert!((1.0..=2.0).contains(&refusal.retry_after.as_secs_f64()), "{refusal:?}");
    assert_eq!((refusal.limit.remaining, refusal.limit.reset), (0, refusal.retry_after));
    assert_eq!(admitted(&mut regulator, Tier::P1, "other", 500, at(0)), 500, "nobody else's");
    assert_eq!(admitted(&mut regulator, Tier::P1, "acme", 500, at(1_000)), 50);
    assert_eq!(refused(regulator.decide(Tier::P1, Cost::ONE, None, at(1_000))), None, "operators have none");
}

#[test]
fn a_rate_in_default_is_of_each_tenant_that_is_not_named() {
    let mut terms = named(&[("acme", TenantTerms::UNLIMITED)]);
    terms.default = limited(10.0, 10.0);
    let mut regulator = Regulator::new(&settings(1_000_000, terms), 1, at(0));
    for tenant in ["anonymous", "one", "two"] {
        assert_eq!(admitted(&mut regulator, Tier::P1, tenant, 50, at(0)), 10, "{tenant}");
    }
    assert_eq!(admitted(&mut regulator, Tier::P1, "acme", 500, at(0)), 500);
}

#[test]
fn the_returns_of_a_tenant_over_its_rate_come_at_its_rate_and_leave_the_others_theirs() {
    let terms = named(&[("acme", limited(10.0, 10.0))]);
    let mut regulator = Regulator::new(&settings(100_000, terms), 1, at(0));
    let told = |regulator: &mut Regulator, tenant| {
        let decision = regulator.decide(Tier::P1, Cost::ONE, Some(tenant), at(0));
        refused(decision).map(|refusal| refusal.retry_after.as_secs_f64())
    };
    assert_eq!(admitted(&mut regulator, Tier::P1, "acme", 10, at(0)), 10);
    let mut per_second = [0_u32; 40];
    for _ in 0..300 {
        per_second[told(&mut regulator, "acme").unwrap().ceil() as usize] += 1;
    }
    assert!(per_second.iter().all(|returns| *returns <= 20), "{per_second:?}");
    assert!(per_second[3..30].iter().all(|returns| *returns >= 9), "{per_second:?}");
    for _ in 0..5_000 {
        told(&mut regulator, "acme");
    }
    while told(&mut regulator, "other").is_none() {}
    assert!(told(&mut regulator, "other").unwrap() < 3.0);
}

#[test]
fn what_was_not_stored_is_the_tenants_again() {
    let terms = named(&[("acme", limited(1.0, 10.0))]);
    let mut regulator = Regulator::new(&settings(1_000_000, terms), 1, at(0));
    assert_eq!(admitted(&mut regulator, Tier::P1, "acme", 20, at(0)), 10);
    regulator.give_back(Tier::P1, Cost::jobs(4).unwrap(), Some("acme"), at(0));
    assert_eq!(admitted(&mut regulator, Tier::P0, "acme", 20, at(0)), 4);
}

#[test]
fn a_later_check_that_refuses_leaves_the_tenants_tokens_alone() {
    let terms = named(&[("acme", limited(1.0, 10.0))]);
    let mut full = settings(1_000, terms);
    full.tiers[Tier::P1].max_depth = 5;
    let mut regulator = Regulator::new(&full, 1, at(0));
    assert_eq!(admitted(&mut regulator, Tier::P1, "acme", 50, at(0)), 5, "queue_full after that");
    assert_eq!(admitted(&mut regulator, Tier::P0, "acme", 50, at(0)), 5);
}

#[test]
fn new_terms_keep_what_was_used_and_who_is_loud() {
    let terms = |rate, burst| settings(1_000_000, named(&[("acme", limited(rate, burst))]));
    let mut regulator = Regulator::new(&terms(10.0, 10.0), 1, at(0));
    assert_eq!(admitted(&mut regulator, Tier::P1, "acme", 50, at(0)), 10);
    regulator.apply(&terms(100.0, 1_000.0), at(0));
    assert_eq!(admitted(&mut regulator, Tier::P1, "acme", 50, at(0)), 0, "nothing is minted");
    assert_eq!(admitted(&mut regulator, Tier::P1, "acme", 50, at(100)), 10, "the new rate");
    regulator.apply(&settings(1_000_000, Terms::default()), at(100));
    assert_eq!(admitted(&mut regulator, Tier::P1, "acme", 50, at(100)), 50, "no rate of its own any more");
    let loudest = regulator.loudest(10).remove(0);
    assert_eq!((&*loudest.name, loudest.admitted, loudest.refused), ("acme", 70, 130));
}

#[test]
fn a_gateway_with_half_the_share_lets_in_half_of_a_tenants_rate() {
    let terms = named(&[("acme", limited(100.0, 100.0))]);
    let mut regulator = Regulator::new(&settings(1_000_000, terms), 1, at(0));
    regulator.hear(TierMap::from_fn(|_| Part { share: Some(0.5), ..Part::WHOLE }), at(0));
    regulator.tick(TierMap::default(), at(0));
    assert_eq!(admitted(&mut regulator, Tier::P1, "acme", 200, at(0)), 50);
}

#[test]
fn tenants_without_end_take_no_memory_without_end_and_idle_ones_are_forgotten() {
    let mut terms = named(&[("acme", TenantTerms::UNLIMITED)]);
    terms.default = limited(1.0, 2.0);
    let mut regulator = Regulator::new(&settings(1_000_000, terms), 1, at(0));
    for tenant in 0..MOST_UNNAMED + 5_000 {
        regulator.decide(Tier::P1, Cost::ONE, Some(&format!("t{tenant}")), at(0));
    }
    assert_eq!(regulator.tenants(), MOST_UNNAMED);
    assert_eq!(
        admitted(&mut regulator, Tier::P1, "one-too-many", 10, at(2_500)),
        2,
        "the rest share one rate"
    );
    assert_eq!(admitted(&mut regulator, Tier::P1, "another", 10, at(2_500)), 0);
    assert_eq!(admitted(&mut regulator, Tier::P1, "acme", 10, at(2_500)), 10, "a named one has its place");
    assert_eq!(regulator.tenants(), MOST_UNNAMED + 1);
    for step in 0..30 {
        regulator.tick(TierMap::default(), at(603_000 + 100 * step));
    }
    assert_eq!(regulator.tenants(), 0);
    regulator.decide(Tier::P1, Cost::ONE, Some("another"), at(607_000));
    assert_eq!(regulator.tenants(), 1, "there is room again");
}

/// A closed loop: workers take `drain` jobs a second, readings come every 100 ms, tenants ask evenly.
fn closed_loop(
    tenants: &[(Option<&str>, f64)],
    drain: f64,
    seconds: u64,
    terms: Terms,
) -> (Vec<[f64; 2]>, f64) {
    let mut regulator = Regulator::new(&settings(2_000, terms), 1, at(0));
    let mut answers = vec![[0.0; 2]; tenants.len()];
    let mut owed = vec![0.0; tenants.len()];
    let (mut depth, mut stored, mut work, mut drained) = (0_u64, 0_u64, 0.0, 0.0);
    for millis in 0..seconds * 1_000 {
        let counts = millis >= seconds * 500;
        if millis % 100 == 0 {
            let mut readings = TierMap::default();
            let backlog = Backlog { waiting: depth, ..Backlog::default() };
            let flows = Flows { stored, ..Flows::default() };
            readings[Tier::P1] = Some(Reading { backlog, flows, taken: at(millis) });
            regulator.tick(readings, at(millis));
        }
        for (index, (name, demand)) in tenants.iter().enumerate() {
            owed[index] += demand / 1_000.0;
            while owed[index] >= 1.0 {
                owed[index] -= 1.0;
                let is_in = refused(regulator.decide(Tier::P1, Cost::ONE, *name, at(millis))).is_none();
                stored += u64::from(is_in);
                depth += u64::from(is_in);
                answers[index][usize::from(!is_in)] += f64::from(u8::from(counts || !is_in));
            }
        }
        work += drain / 1_000.0;
        while work >= 1.0 {
            work -= 1.0;
            drained += f64::from(u8::from(depth > 0 && counts));
            depth = depth.saturating_sub(1);
        }
    }
    (answers, drained / (drain * seconds as f64 / 2.0))
}

#[test]
fn in_the_closed_loop_the_quiet_are_untouched_the_loud_share_by_weight_and_the_workers_are_busy() {
    let weight = |weight| TenantTerms { weight, ..TenantTerms::UNLIMITED };
    let terms = named(&[("two", weight(2)), ("five", weight(5)), ("quiet", weight(1))]);
    let tenants = [(Some("two"), 3_000.0), (Some("five"), 3_000.0), (Some("quiet"), 50.0)];
    let (answers, used) = closed_loop(&tenants, 500.0, 60, terms);
    assert_eq!(answers[2][1], 0.0, "the quiet one from the start on: {answers:?}");
    let [two, five] = [answers[0][0], answers[1][0]];
    assert!((five / two - 2.5).abs() < 0.03, "{two} {five}");
    assert!(used > 0.999, "{used}");
}

#[test]
fn one_tenant_alone_is_decided_on_as_if_there_were_no_tenants() {
    let run = |tenant| closed_loop(&[(tenant, 3_000.0)], 500.0, 20, Terms::default());
    assert_eq!(run(None), run(Some("anonymous")));
    let (_, used) = run(None);
    assert!(used > 0.999, "{used}");
}
