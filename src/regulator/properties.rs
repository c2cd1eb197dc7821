//! Invariants of the law, whatever is thrown at it.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::admission::decision::Decision;
use crate::admission::settings::{RetentionSettings, RetryAfterBounds, ShedSettings};
use crate::control::settings::{ControllerSettings, RateBounds, Target};
use crate::domain::backlog::{Backlog, Flows, Reading};
use crate::domain::tier::{Tier, TierMap};
use crate::domain::time::Moment;
use crate::domain::units::{Cost, Rate};
use crate::regulator::Regulator;
use crate::regulator::report::{Signal, TickReport};
use crate::regulator::settings::{OnStale, RegulatorSettings, TierSettings};
use crate::regulator::share::part::Part;

/// One thing that can happen to a regulator.
#[derive(Clone, Debug)]
enum Deed {
    Ask(u32),
    GiveBack,
    Tick(Option<Reading>),
    Apply(Box<RegulatorSettings>),
    Hear(Part),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_that_happens_brings_out_what_is_no_number_or_out_of_bounds(
        first in settings(), deeds in prop::collection::vec((any_moment(), deed()), 1..60),
    ) {
        let mut settings = first;
        let mut regulator = Regulator::new(&settings, 1, Moment::ORIGIN);
        for (now, deed) in deeds {
            match deed {
                Deed::Ask(cost) => {
                    let decision = regulator.decide(Tier::P1, Cost::jobs(cost).unwrap(), None, now);
                    check_decision(decision, settings.tiers[Tier::P1].retry_after)?;
                }
                Deed::GiveBack => regulator.give_back(Tier::P1, Cost::ONE, None, now),
                Deed::Apply(new) => {
                    settings = *new;
                    regulator.apply(&settings, now);
                }
                Deed::Hear(part) => regulator.hear(TierMap::from_fn(|_| part), now),
                Deed::Tick(reading) => {
                    let report = regulator.tick(only_p1(reading), now)[Tier::P1];
                    check_report(&report, settings.tiers[Tier::P1].rate)?;
                }
            }
        }
    }

    #[test]
    fn between_two_readings_no_more_comes_in_than_the_window_and_the_modelled_drain_allow(
        settings in settings(),
        steps in prop::collection::vec((0_u64..100_000, prop::collection::vec(1_u32..5_000, 0..40)), 1..30),
    ) {
        let mut regulator = Regulator::new(&settings, 1, Moment::ORIGIN);
        let mut stored = 0_u64;
        for (step, (depth, costs)) in steps.into_iter().enumerate() {
            let taken = at(100 * step as u64);
            let flows = Flows { stored, ..Flows::default() };
            let report = regulator.tick(only_p1(Some(reading(depth, flows, taken))), taken)[Tier::P1];
            let (mut admitted, mut now) = (0_u64, taken);
            for cost in costs {
                now = now.plus(Duration::from_millis(2));
                if let Decision::Admitted(_) = regulator.decide(Tier::P1, Cost::jobs(cost).unwrap(), None, now) {
                    admitted += u64::from(cost);
                }
            }
            stored += admitted;
            let room = (settings.controller.window * report.target_depth - report.predicted_depth).max(0.0);
            let drained = report.drain.jobs_per_second() * now.seconds_since(taken);
            prop_assert!(admitted as f64 <= room + drained + 1e-6 * report.target_depth, "{admitted}: {report:?}");
        }
    }

    #[test]
    fn new_gains_and_a_new_target_move_the_rate_by_no_step_and_then_hold(
        kp in 0.05..10.0, ki in 0.0..10.0, interval in 20_u64..300, target in 500_u64..20_000,
    ) {
        let mut settings = law(Target::Depth(2_000));
        let mut plant = Plant::new(&settings);
        plant.run(400, &settings);
        let before = plant.look().rate.jobs_per_second();
        settings.controller = ControllerSettings {
            kp, ki, interval: Duration::from_millis(interval), ..settings.controller
        };
        settings.tiers[Tier::P1].target = Target::Depth(target);
        plant.regulator.apply(&settings, plant.now);
        let report = plant.look();
        let after = report.rate.jobs_per_second();
        prop_assert!((after / before - 1.0).abs() <= 0.01, "{before} {after}");
        prop_assert_eq!(report.target_depth, target as f64);
        if target < 1_900 {
            let decision = plant.regulator.decide(Tier::P1, Cost::ONE, None, plant.now);
            prop_assert!(matches!(decision, Decision::Refused(_)), "a lower target is safe at once");
        }
        // Slow gains close in slowly.
        plant.run(600 + (200.0 / kp) as u64, &settings);
        let reached = plant.depth as f64 / target as f64;
        prop_assert!((reached - 1.0).abs() <= 0.05, "{reached}");
    }

    #[test]
    fn with_the_same_drain_more_depth_never_gives_more_rate(
        mut settings in settings(), more in 0_u64..1_000_000,
        depths in prop::collection::vec((1_u64..100_000, prop_oneof![Just(0), 0_u64..100, 0_u64..10_000]), 2..40),
    ) {
        // The derivative answers the slope of the depth, not the depth.
        settings.controller.kd = 0.0;
        let mut twins = [0, more].map(|more| (more, Regulator::new(&settings, 1, Moment::ORIGIN)));
        let (mut stored, mut last) = (0, 0);
        for (step, (depth, consumed)) in depths.into_iter().enumerate() {
            let now = at(100 * step as u64);
            stored += depth.saturating_sub(last) + consumed;
            last = depth;
            let flows = Flows { stored, ..Flows::default() };
            let [shallow, deep] = twins.each_mut().map(|(more, twin)| {
                twin.tick(only_p1(Some(reading(depth + *more, flows, now))), now)[Tier::P1]
            });
            // A busy queue teaches more of the workers than an idle one: from then on the drain is not the same.
            if deep.drain > shallow.drain {
                break;
            }
            prop_assert!(deep.rate <= shallow.rate, "{deep:?}\n{shallow:?}");
        }
    }
}

/// A fixed target, no thresholds, the default gains.
fn law(target: Target) -> RegulatorSettings {
    let tier = TierSettings {
        target,
        max_depth: 1_000_000,
        rate: RateBounds { min: Rate::ZERO, max: None, burst: Duration::from_secs(1) },
        shed: None,
        retention: None,
        yields: false,
        on_stale: OnStale::Hold,
        retry_after: RetryAfterBounds { min: Duration::from_secs(1), max: Duration::from_secs(60) },
    };
    RegulatorSettings {
        controller: ControllerSettings::DEFAULT,
        tiers: TierMap::from_fn(|_| tier),
        tenants: Arc::default(),
    }
}

/// A queue that loses 1,000 jobs a second and is offered five times as many.
struct Plant {
    regulator: Regulator,
    now: Moment,
    depth: u64,
    stored: u64,
}

impl Plant {
    fn new(settings: &RegulatorSettings) -> Plant {
        let regulator = Regulator::new(settings, 1, Moment::ORIGIN);
        Plant { regulator, now: Moment::ORIGIN, depth: 0, stored: 0 }
    }

    fn run(&mut self, steps: u64, settings: &RegulatorSettings) {
        let interval = settings.controller.interval;
        for _ in 0..steps * 100 / interval.as_millis() as u64 {
            let flows = Flows { stored: self.stored, ..Flows::default() };
            self.regulator.tick(only_p1(Some(reading(self.depth, flows, self.now))), self.now);
            for _ in 0..interval.as_millis() {
                self.now = self.now.plus(Duration::from_millis(1));
                self.depth = self.depth.saturating_sub(1);
                for _ in 0..5 {
                    if let Decision::Admitted(_) = self.regulator.decide(Tier::P1, Cost::ONE, None, self.now)
                    {
                        self.depth += 1;
                        self.stored += 1;
                    }
                }
            }
        }
    }

    /// What the law has set.
    fn look(&mut self) -> TickReport {
        self.regulator.tick(TierMap::default(), self.now)[Tier::P1]
    }
}

fn check_decision(decision: Decision, bounds: RetryAfterBounds) -> Result<(), TestCaseError> {
    if let Decision::Refused(refusal) = decision {
        prop_assert!(refusal.retry_after >= bounds.min && refusal.retry_after <= bounds.max, "{refusal:?}");
        prop_assert_eq!(refusal.limit.remaining, 0);
        prop_assert_eq!(refusal.limit.reset, refusal.retry_after);
    }
    Ok(())
}

fn check_report(report: &TickReport, bounds: RateBounds) -> Result<(), TestCaseError> {
    let numbers = [
        report.predicted_depth,
        report.target_depth,
        report.pressure,
        report.terms.feed_forward,
        report.terms.proportional,
        report.terms.integral,
        report.terms.derivative,
    ];
    prop_assert!(numbers.iter().all(|number| number.is_finite()), "{report:?}");
    prop_assert!(report.predicted_depth >= 0.0);
    let least = report.share * bounds.min.jobs_per_second();
    prop_assert!(report.rate.jobs_per_second() >= (1.0 - 1e-12) * least, "{report:?}");
    prop_assert!(bounds.max.is_none_or(|max| report.rate <= max), "{report:?}");
    prop_assert!(
        report.signal == Signal::Awaited || report.signal_age.is_some() || report.signal == Signal::Stale
    );
    Ok(())
}

/// Any settings that a policy could hold, absurd ones included.
fn settings() -> impl Strategy<Value = RegulatorSettings> {
    let controller = (1_u64..10_000, gain(), gain(), gain(), 1_u64..100_000, 1.0..3.0).prop_map(
        |(interval, kp, ki, kd, memory, window)| ControllerSettings {
            interval: Duration::from_millis(interval),
            kp,
            ki,
            kd,
            drain_memory: Duration::from_millis(memory),
            window,
        },
    );
    let target = prop_oneof![
        (1_u64..1_000_000).prop_map(Target::Depth),
        Just(Target::Depth(u64::MAX)),
        (1_u64..10_000_000, 1_u64..10_000, 0_u64..10_000_000).prop_map(|(delay, at_least, span)| {
            Target::Delay { delay: Duration::from_millis(delay), at_least, at_most: at_least + span }
        }),
    ];
    let rate =
        (0.0..1e4, prop::option::of(0.0..1e9), 0_u64..100_000).prop_map(|(min, span, burst)| RateBounds {
            min: Rate::saturating(min),
            max: span.map(|span| Rate::saturating(min + span)),
            burst: Duration::from_millis(burst),
        });
    let shed = prop::option::of((1_u64..1_000_000, 1_u64..1_000).prop_map(|(until, more)| ShedSettings {
        at: until + more,
        until,
        unavailable: false,
    }));
    let on_stale =
        prop_oneof![Just(OnStale::Hold), Just(OnStale::Floor), Just(OnStale::Shut), Just(OnStale::Open)];
    let tier =
        (target, 1_u64..u64::MAX, rate, shed, any::<bool>(), on_stale, 1_u64..60_000, 0_u64..1_000_000)
            .prop_map(|(target, max_depth, rate, shed, yields, on_stale, min, span)| TierSettings {
                target,
                max_depth,
                rate,
                shed,
                retention: yields.then(|| RetentionSettings {
                    shed_at: Duration::from_millis(min),
                    until: Duration::from_millis(span),
                }),
                yields,
                on_stale,
                retry_after: RetryAfterBounds {
                    min: Duration::from_millis(min),
                    max: Duration::from_millis(min + span),
                },
            });
    (controller, tier).prop_map(|(controller, tier)| RegulatorSettings {
        controller,
        tiers: TierMap::from_fn(|_| tier),
        tenants: Arc::default(),
    })
}

/// Sane gains, and what no policy should hold: the law must bear it all the same.
fn gain() -> impl Strategy<Value = f64> {
    let absurd = [1e300, f64::MAX, f64::INFINITY, f64::NAN, -1.0, f64::NEG_INFINITY];
    prop_oneof![8 => 0.0..1e3, 1 => prop::sample::select(absurd.to_vec())]
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => prop_oneof![Just(1_u32), 1_u32..100_000, Just(u32::MAX)].prop_map(Deed::Ask),
        1 => Just(Deed::GiveBack),
        4 => prop::option::weighted(0.8, any_reading()).prop_map(Deed::Tick),
        1 => settings().prop_map(|settings| Deed::Apply(Box::new(settings))),
        1 => part().prop_map(Deed::Hear),
    ]
}

/// Anything that other replicas could tell.
fn part() -> impl Strategy<Value = Part> {
    let count = || prop_oneof![0_u64..100_000, any::<u64>()];
    let share = prop::option::weighted(0.8, prop_oneof![1e-4..1.0, Just(1.0)]);
    (share, count(), 0.0..1e15, 0.0..1e9, any::<bool>(), prop::option::of(-1e9..1e9)).prop_map(
        |(share, others, presumed, doubt, held_back, integral)| Part {
            share,
            others,
            presumed,
            besides: doubt,
            doubt,
            held_back,
            integral,
            lateness: Duration::from_millis(300),
        },
    )
}

/// Any reading: counters that run backwards, depths beyond belief, times that jump.
fn any_reading() -> impl Strategy<Value = Reading> {
    let count = || prop_oneof![0_u64..100_000, any::<u64>(), Just(u64::MAX)];
    (count(), count(), count(), count(), count(), count(), count(), any_moment()).prop_map(
        |(waiting, leased, stored, replayed, expired, dead, lost, taken)| Reading {
            backlog: Backlog {
                waiting,
                leased,
                headroom: (lost % 2 == 0).then(|| Duration::from_millis(dead)),
                ..Backlog::default()
            },
            flows: Flows { stored, replayed, expired, dead, lost },
            taken,
        },
    )
}

/// Moments near each other, and now and then a clock that leaps ahead or back.
fn any_moment() -> impl Strategy<Value = Moment> {
    prop_oneof![8 => (0_u64..60_000).prop_map(at), 1 => any::<u64>().prop_map(Moment::from_nanos)]
}

fn reading(depth: u64, flows: Flows, taken: Moment) -> Reading {
    Reading { backlog: Backlog { waiting: depth, ..Backlog::default() }, flows, taken }
}

fn only_p1(reading: Option<Reading>) -> TierMap<Option<Reading>> {
    let mut readings = TierMap::default();
    readings[Tier::P1] = reading;
    readings
}

const fn at(millis: u64) -> Moment {
    Moment::from_nanos(millis * 1_000_000)
}
